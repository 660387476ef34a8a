// The page of one trace: puts the waterfall together, and keeps its address so that it can be shared.
import { data } from "./dom.js";
import { duration, noun } from "./format.js";
import { detail, resizable } from "./trace-detail.js";
import { keys } from "./trace-keys.js";
import { minimap } from "./trace-minimap.js";
import { Trace } from "./trace-model.js";
import { Rows } from "./trace-rows.js";
import { search } from "./trace-search.js";
import { axis } from "./trace-time.js";
import { young } from "./trace-young.js";

const trace = new Trace(data("trace"));
const scroll = document.getElementById("scroll"), body = document.getElementById("rows"), axisBox = document.getElementById("axis");
const rows = new Rows(trace, scroll, body);
let reading = false;

// go makes a row the active one and shows it; an open panel follows.
function go(i) {
  trace.activate(i);
  moved();
}

function moved() {
  rows.show(trace.active);
  rows.focus();
  if (trace.selected >= 0 && trace.selected !== trace.active) {
    trace.select(trace.active);
    write("replace");
  }
}

// open and close are steps that the browser's Back undoes.
function open(i = trace.active) {
  const was = trace.selected;
  trace.activate(i);
  trace.select(i);
  rows.show(i);
  if (was !== i) write(was < 0 ? "push" : "replace");
}

function close() {
  if (trace.selected < 0) return;
  trace.select(-1);
  write("push");
  rows.show(trace.active);
  rows.focus();
}

// write puts into the address what is seen: the span, the search, and the part of time in nanoseconds.
function write(how) {
  if (reading) return;
  const words = new URLSearchParams();
  if (trace.selected >= 0) words.set("span", trace.d.id[trace.selected]);
  if (finder.field.value.trim()) words.set("q", finder.field.value.trim());
  if (trace.zoomed) {
    words.set("from", Math.floor(trace.from));
    words.set("until", Math.ceil(trace.until));
  }
  const address = location.pathname + (words.size > 0 ? `?${words}` : "");
  if (address === location.pathname + location.search) return;
  if (how === "push") history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

// read does what the address says, and leaves that as it is.
function read() {
  const words = new URLSearchParams(location.search);
  const from = Number(words.get("from")), until = Number(words.get("until"));
  const i = trace.rowOf.get(words.get("span"));
  reading = true;
  if (until > from) trace.see(from, until);
  else trace.see(0, trace.duration);
  finder.field.value = words.get("q") ?? "";
  finder.look();
  document.getElementById("lost").hidden = i !== undefined || !words.get("span");
  // Of spans with the same id the one that is selected stays.
  if (i !== undefined && trace.d.id[trace.selected] !== trace.d.id[i]) {
    trace.activate(i);
    trace.select(i);
    rows.show(i);
  } else if (i === undefined) {
    trace.select(-1);
  }
  reading = false;
}

const drawAxis = axis(trace, axisBox, body);
minimap(trace, document.getElementById("map"), rows);
detail(trace, close);
const finder = search(trace, go);
rows.onopen = open;

function nextError(forward = true) {
  const i = trace.next(trace.errors, forward);
  if (i >= 0) go(i);
}

function toggleCritical() {
  if (trace.count < 2) return;
  trace.critical = !trace.critical;
  trace.changed("looks");
}

function tools() {
  const critical = document.getElementById("critical"), unzoom = document.getElementById("unzoom"), levels = document.getElementById("levels");
  critical.addEventListener("click", toggleCritical);
  critical.hidden = trace.count < 2;
  trace.on(["looks"], () => critical.setAttribute("aria-pressed", trace.critical));
  document.getElementById("next-error")?.addEventListener("click", () => nextError());
  unzoom.addEventListener("click", () => trace.see(0, trace.duration));
  trace.on(["time"], () => {
    unzoom.hidden = !trace.zoomed;
    unzoom.textContent = `${duration(trace.from)} to ${duration(trace.until)} ✕`;
    write("replace");
  });
  trace.on(["found"], () => write("replace"));
  const most = Math.min(trace.levels, 10);
  for (let n = 1; n <= most; n++) levels.add(new Option(n === trace.levels ? `all ${n}` : String(n), n));
  if (trace.levels > most) levels.add(new Option(`all ${trace.levels}`, trace.levels));
  const some = new Option("some", 0);
  some.hidden = true;
  levels.add(some);
  const say = () => { levels.value = trace.openLevels; };
  say();
  trace.on(["rows"], say);
  levels.parentElement.hidden = trace.levels < 2;
  levels.addEventListener("change", () => {
    trace.open(Number(levels.value) || trace.levels);
    rows.show(trace.active);
  });
}

// follow has links to spans of this trace select them here.
function follow(e) {
  const link = e.target.closest("a[data-span]");
  if (!link || e.button !== 0 || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
  const i = trace.rowOf.get(link.dataset.span);
  if (i === undefined || new URL(link.href).pathname !== location.pathname) return;
  e.preventDefault();
  trace.activate(i);
  trace.select(i);
  rows.show(i);
  write("push");
}

function wheel(e) {
  if (!e.ctrlKey && !e.shiftKey || !e.target.closest(".wf-time, .wf-axis")) return;
  e.preventDefault();
  const box = axisBox.getBoundingClientRect();
  const length = trace.until - trace.from;
  if (e.ctrlKey) trace.seeAround(trace.from + ((e.clientX - box.left) / box.width) * length, e.deltaY > 0 ? 1.25 : 0.8);
  else trace.see(trace.from + length * 0.1 * Math.sign(e.deltaY || e.deltaX), trace.until + length * 0.1 * Math.sign(e.deltaY || e.deltaX));
}

tools();
document.addEventListener("click", follow);
scroll.addEventListener("wheel", wheel, { passive: false });
resizable(document.getElementById("grip"), "spanlake_names", (share) => scroll.style.setProperty("--name", `${share}%`), (x) => {
  const box = scroll.getBoundingClientRect();
  return Math.min(Math.max(((x - box.left) / box.width) * 100, 15), 75);
});
keys(trace, rows, {
  moved, close, open: () => open(), step: (forward) => finder.step(forward), error: nextError, critical: toggleCritical,
  search: () => finder.field.select(),
});
const fit = () => {
  if (axisBox.clientWidth <= 0) return;
  drawAxis();
  rows.measure(axisBox.clientWidth);
};
fit();
const sizes = new ResizeObserver(fit);
sizes.observe(axisBox);
sizes.observe(scroll);
read();
addEventListener("popstate", read);
body.setAttribute("aria-label", `Spans of the trace: ${noun(trace.count, "span")}`);
document.documentElement.dataset.ready = "trace"; // rows are shown and keys are heard
performance.mark("waterfall");
young(trace);
