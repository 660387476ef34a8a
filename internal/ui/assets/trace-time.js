// The axis of time: ticks with labels that tell them apart, and dragging over it to zoom.
import { h } from "./dom.js";
import { duration } from "./format.js";

const steps = [1, 2, 5];
const long = [60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400].map((s) => s * 1e9);

// tickStep is a round number of nanoseconds of which at most so many fit into a length.
export function tickStep(length, most) {
  const least = length / Math.max(most, 1);
  if (least > 30e9) return long.find((s) => s >= least) ?? Math.ceil(least / 86400e9) * 86400e9;
  for (let power = 1; ; power *= 10) {
    for (const s of steps) if (s * power >= least) return s * power;
  }
}

// tickLabel is a moment, to as many digits as a step has.
export function tickLabel(at, step) {
  if (at === 0) return "0";
  if (at >= 120e9 && step >= 1e9) return duration(at);
  const [unit, name] = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]].find(([u]) => at >= u) ?? [1, "ns"];
  return (at / unit).toFixed(Math.min(Math.max(Math.ceil(Math.log10(unit / step)), 0), 12)) + name;
}

export function ticks(from, until, most) {
  const step = tickStep(until - from, most);
  const all = [];
  for (let at = Math.ceil(from / step) * step; at <= until; at += step) all.push(at);
  return { step, all };
}

// axis shows ticks in an element, and sets where the lines of the rows are.
export function axis(trace, element, rows) {
  const selection = h("div", { class: "wf-selecting", hidden: true });
  const draw = () => {
    const width = element.clientWidth;
    if (width <= 0) return;
    const length = trace.until - trace.from;
    const { step, all } = ticks(trace.from, trace.until, Math.floor(width / 90));
    const x = (at) => ((at - trace.from) / length) * width;
    element.replaceChildren(
      ...all.map((at) => {
        const tick = h("span", { class: "wf-tick" }, tickLabel(at, step));
        tick.style.left = `${x(at)}px`;
        if (x(at) > width - 60) tick.classList.add("wf-tick-last");
        return tick;
      }),
      selection,
    );
    rows.style.setProperty("--grid-step", `${(step / length) * width}px`);
    rows.style.setProperty("--grid-from", `${x(all[0] ?? 0)}px`);
  };
  dragRange(element, selection, (share) => trace.from + share * (trace.until - trace.from), (from, until) => trace.see(from, until));
  element.addEventListener("dblclick", () => trace.see(0, trace.duration));
  trace.on(["time"], draw);
  return draw;
}

// dragRange lets a range be dragged over an element; at turns a share of its width into a time. A click that is none is left to others.
export function dragRange(element, selection, at, done, claims = () => true) {
  const share = (e) => {
    const box = element.getBoundingClientRect();
    return Math.min(Math.max((e.clientX - box.left) / box.width, 0), 1);
  };
  element.addEventListener("pointerdown", (down) => {
    if (down.button !== 0 || !claims(down)) return;
    down.preventDefault();
    element.setPointerCapture(down.pointerId);
    const begin = share(down);
    let range = null;
    const move = (e) => {
      if (!range && Math.abs(e.clientX - down.clientX) < 4) return;
      range = [Math.min(begin, share(e)), Math.max(begin, share(e))];
      selection.hidden = false;
      selection.style.left = `${range[0] * 100}%`;
      selection.style.width = `${(range[1] - range[0]) * 100}%`;
    };
    const end = (e) => {
      element.removeEventListener("pointermove", move);
      element.removeEventListener("pointerup", end);
      element.removeEventListener("pointercancel", end);
      selection.hidden = true;
      if (range && e.type === "pointerup") done(at(range[0]), at(range[1]));
    };
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerup", end);
    element.addEventListener("pointercancel", end);
  });
}
