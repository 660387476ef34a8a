// Keys of the waterfall, and the list of them.
import { h } from "./dom.js";

const table = [
  ["↑ ↓", "the span above or below"],
  ["← →", "close, or go to the parent; open, or go to the first child"],
  ["Home End Page↑ Page↓", "far up or down"],
  ["Enter", "show the detail of the span"],
  ["Escape", "close the detail"],
  ["/", "search in this trace"],
  ["n N", "next match, the one before (also F3)"],
  ["e E", "next error, the one before"],
  ["Shift ← →", "close all, open all"],
  ["1 … 9", "open so many levels"],
  ["+ − 0", "zoom in on the span, out, show everything"],
  ["z", "zoom to the span"],
  ["c", "mark the critical path"],
  ["?", "these keys"],
];

// keys calls what is in does, by the name of the key.
export function keys(trace, rows, does) {
  const dialog = help();
  document.getElementById("help").addEventListener("click", () => dialog.showModal());
  const all = { ...movements(trace, rows, does), ...commands(trace, does), "?": () => dialog.showModal() };
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || dialog.open) return;
    const { target } = e;
    if (target.closest?.("input, textarea, select, [contenteditable]")) return;
    const name = e.shiftKey && (e.key.startsWith("Arrow") || e.key === "F3") ? `Shift${e.key}` : e.key;
    // Keys that mean something to what has the focus are for it; letters are for the waterfall from everywhere.
    const here = target === document.body || rows.body.contains(target);
    const far = name.length === 1 || name.endsWith("F3") || name === "Escape";
    if (!Object.hasOwn(all, name) || !here && (!far || name === " ")) return;
    e.preventDefault();
    all[name]();
  });
}

function movements(trace, rows, does) {
  const move = (by) => () => {
    trace.move(by());
    does.moved();
  };
  const to = (place) => () => {
    trace.moveTo(place());
    does.moved();
  };
  const left = () => {
    const i = trace.active;
    if (trace.d.below[i] > 0 && !trace.closed[i]) trace.toggle(i, true);
    else if (trace.d.parent[i] >= 0) trace.activate(trace.d.parent[i]);
    does.moved();
  };
  const right = () => {
    const i = trace.active;
    if (trace.closed[i]) trace.toggle(i, false);
    else if (trace.d.below[i] > 0) trace.activate(i + 1);
    does.moved();
  };
  const all = (levels) => () => {
    trace.open(levels());
    does.moved();
  };
  return {
    ArrowDown: move(() => 1), ArrowUp: move(() => -1), ArrowLeft: left, ArrowRight: right,
    PageDown: move(() => rows.page), PageUp: move(() => -rows.page), Home: to(() => 0), End: to(() => trace.shown.length - 1),
    ShiftArrowLeft: all(() => 1), ShiftArrowRight: all(() => trace.levels),
    ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => [String(n), all(() => n)])),
  };
}

function commands(trace, does) {
  const middle = () => trace.d.from[trace.active] + trace.d.length[trace.active] / 2;
  const zoom = (factor) => () => {
    const at = middle();
    trace.seeAround(at > trace.from && at < trace.until ? at : (trace.from + trace.until) / 2, factor);
  };
  const fit = () => {
    const i = trace.active, length = Math.max(trace.d.length[i], trace.duration / 1e6);
    trace.see(trace.d.from[i] - length * 0.05, trace.d.from[i] + length * 1.05);
  };
  return {
    Enter: does.open, " ": does.open, Escape: does.close, "/": does.search,
    n: () => does.step(true), N: () => does.step(false), F3: () => does.step(true), ShiftF3: () => does.step(false),
    e: () => does.error(true), E: () => does.error(false), c: does.critical,
    "+": zoom(0.5), "-": zoom(2), 0: () => trace.see(0, trace.duration), z: fit,
  };
}

function help() {
  const dialog = h("dialog", { class: "wf-keys", "aria-label": "Keys" },
    h("h2", {}, "Keys"),
    h("table", {}, h("tbody", {}, table.map(([names, what]) => h("tr", {}, h("td", { class: "nowrap" }, names.split(" ").map((k) => h("kbd", {}, k))), h("td", {}, what))))),
    h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")));
  dialog.addEventListener("click", (e) => { if (e.target === dialog) dialog.close(); });
  document.body.append(dialog);
  return dialog;
}
