// The whole trace in small: every span is a line, errors are red, and a frame shows what is seen. Dragging zooms, the frame can be moved, and a
// click goes to the rows there.
import { colourClass } from "./colours.js";
import { h } from "./dom.js";
import { dragRange } from "./trace-time.js";

const least = 20; // spans from which on it helps

export function minimap(trace, box, rows) {
  if (trace.count < least) return;
  box.hidden = false;
  const canvas = box.querySelector("canvas");
  const before = h("div", { class: "wf-map-out" }), after = h("div", { class: "wf-map-out wf-map-after" });
  const frame = h("div", { class: "wf-map-frame", title: "Drag to zoom, click to go there; double-click shows everything" });
  const selection = h("div", { class: "wf-selecting", hidden: true });
  box.append(before, after, frame, selection);

  const paint = () => paintSpans(trace, box, canvas);
  new ResizeObserver(paint).observe(box);
  document.addEventListener("themechange", paint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

  let seen = [0, 0];
  const show = () => {
    const left = trace.from / trace.duration, right = trace.until / trace.duration;
    before.style.width = `${left * 100}%`;
    after.style.width = `${(1 - right) * 100}%`;
    const top = trace.shown[Math.max(seen[0], 0)] / trace.count;
    const last = trace.shown[Math.min(Math.max(seen[1], 0), trace.shown.length - 1)];
    const bottom = (last + 1 + (trace.closed[last] ? trace.d.below[last] : 0)) / trace.count;
    frame.style.left = `${left * 100}%`;
    frame.style.width = `${(right - left) * 100}%`;
    frame.style.top = `${top * 100}%`;
    frame.style.height = `${Math.max(bottom - top, 0.02) * 100}%`;
    frame.classList.toggle("wf-zoomed", trace.zoomed);
  };
  rows.onview = (first, last) => {
    seen = [first, last];
    show();
  };
  trace.on(["time"], show);
  moves(trace, box, rows, selection, frame);
}

// moves are what the mouse does: inside the frame of a zoomed view it moves that, elsewhere it chooses a new range.
function moves(trace, box, rows, selection, frame) {
  const inFrame = (e) => trace.zoomed && e.target === frame;
  dragRange(box, selection, (share) => share * trace.duration, (from, until) => trace.see(from, until), (e) => !inFrame(e));
  frame.addEventListener("pointerdown", (down) => {
    if (down.button !== 0 || !trace.zoomed) return;
    down.preventDefault();
    frame.setPointerCapture(down.pointerId);
    const { from, until } = trace;
    const move = (e) => {
      const by = ((e.clientX - down.clientX) / box.clientWidth) * trace.duration;
      const begin = Math.min(Math.max(from + by, 0), trace.duration - (until - from));
      trace.see(begin, begin + (until - from));
    };
    const end = () => frame.removeEventListener("pointermove", move);
    frame.addEventListener("pointermove", move);
    frame.addEventListener("pointerup", end, { once: true });
    frame.addEventListener("pointercancel", end, { once: true });
  });
  box.addEventListener("dblclick", () => trace.see(0, trace.duration));
  let down = 0;
  box.addEventListener("pointerdown", (e) => { down = e.clientX; }, true);
  box.addEventListener("click", (e) => {
    if (Math.abs(e.clientX - down) >= 4) return;
    const area = box.getBoundingClientRect();
    let row = Math.min(Math.floor(((e.clientY - area.top) / area.height) * trace.count), trace.count - 1);
    while (trace.place[row] < 0) row = trace.d.parent[row];
    trace.activate(row);
    rows.show(row);
  });
}

// paintSpans draws the lines. Thousands of them share few pixels: those that failed come last, so that none is covered.
function paintSpans(trace, box, canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(box.clientWidth * scale), height = Math.round(box.clientHeight * scale);
  if (width === 0 || height === 0) return;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const colours = trace.d.services.map((name) => resolved(box, colourClass(name), "--service"));
  const bad = resolved(box, "", "--error");
  // Whole pixels: what is drawn over something else covers it.
  const line = Math.min(Math.max(Math.round((height / trace.count) * 0.7), 1), 4 * scale);
  const draw = (i, colour, thick) => {
    context.fillStyle = colour;
    const from = (trace.d.from[i] / trace.duration) * width, wide = (trace.d.length[i] / trace.duration) * width;
    context.fillRect(Math.floor(Math.min(from, width - 2)), Math.floor((i / trace.count) * height), Math.ceil(Math.max(wide, 1.5 * scale)), thick);
  };
  for (let i = 0; i < trace.count; i++) if (!trace.failed(i)) draw(i, colours[trace.d.service[i]], line);
  for (const i of trace.errors) draw(i, bad, Math.max(line, 2 * scale));
}

// resolved is a colour of the style sheet as a canvas takes it.
function resolved(box, name, variable) {
  const probe = h("i", { class: name, hidden: true });
  probe.style.color = `var(${variable})`;
  box.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
