// The list of traces: its rows, and what is counted of them. The server makes the same rows (pages/traces.html) and counts (traces.go).
import { enliven } from "./app.js";
import { h, svg } from "./dom.js";
import { clock, count, duration, local } from "./format.js";

// makeRow is the row of a trace as the API tells of it.
export function makeRow(trace) {
  const at = micros(trace.start_time);
  const failed = trace.status_code === "error";
  const stamp = `${at.slice(0, 10)} ${at.slice(11, 23)} UTC`;
  const row = h("li", { class: failed && "failed", dataset: { trace: trace.trace_id, span: trace.span_id, ns: trace.duration_ns } },
    h("a", { href: `/traces/${encodeURIComponent(trace.trace_id)}` },
      h("time", { datetime: at, title: stamp }, stamp),
      h("span", { class: "service" }, h("span", { class: "dot", dataset: { service: trace.service_name } }), trace.service_name || "(no service)"),
      h("span", { class: "name" }, h("bdi", null, trace.name || "(no name)"), failed && h("span", { class: "tag error" }, "error")),
      h("span", { class: "kind" }, trace.kind),
      svg("svg", { class: "bar", "data-service": trace.service_name, "aria-hidden": "true" }, svg("rect", { width: "0%", height: "100%", rx: "2" })),
      h("span", { class: "number" }, duration(trace.duration_ns))));
  enliven(row);
  return row;
}

// micros is a time of the API with six digits after the second: such texts sort as the times do.
function micros(text) {
  const [, whole, fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(text) ?? ["", text];
  return `${whole}.${fraction.slice(0, 6).padEnd(6, "0")}Z`;
}

// entryOf is what a row says.
function entryOf(row) {
  const time = row.querySelector("time");
  const at = time?.getAttribute("datetime") ?? "";
  return {
    row, at, time,
    key: [row.dataset.trace, row.dataset.span, at, row.dataset.ns].join(" "),
    start: Date.parse(at), // NaN in a year that browsers do not know
    ns: Number(row.dataset.ns),
    failed: row.classList.contains("failed"),
    service: row.querySelector("[data-service]").dataset.service,
    name: row.querySelector("bdi").textContent,
    href: row.querySelector("a").getAttribute("href"),
  };
}

export class TraceList {
  // changed is called after rows came or went.
  constructor(element, changed) {
    this.element = element;
    this.changed = changed;
    this.entries = [...element.children].map(entryOf);
    this.keys = new Set(this.entries.map((e) => e.key));
    this.settle();
  }

  // keyOf tells rows apart.
  keyOf(row) {
    return row ? entryOf(row).key : null;
  }

  has(row) {
    return this.keys.has(this.keyOf(row));
  }

  // add puts rows where they belong, newest first, and leaves out those that are there.
  add(rows, fade) {
    const added = [];
    for (const row of rows) {
      const entry = entryOf(row);
      if (this.keys.has(entry.key)) continue;
      this.keys.add(entry.key);
      if (fade) row.classList.add("fade");
      this.put(entry);
      added.push(row);
    }
    if (added.length > 0) this.settle();
    return added;
  }

  put(entry) {
    const last = this.entries.at(-1);
    let i = this.entries.length;
    if (last && entry.at > last.at) i = this.entries.findIndex((e) => e.at <= entry.at);
    this.element.insertBefore(entry.row, this.entries[i]?.row ?? null);
    this.entries.splice(i, 0, entry);
  }

  // trim lets the oldest rows go that are too many, and tells whether there were any.
  trim(most) {
    const gone = this.entries.splice(most);
    for (const entry of gone) {
      entry.row.remove();
      this.keys.delete(entry.key);
    }
    if (gone.length > 0) this.settle();
    return gone.length > 0;
  }

  // settle is for what depends on all rows: bars are relative to the longest, and rows of today need no date.
  settle() {
    const longest = Math.max(0, ...this.entries.map((e) => e.ns));
    const today = new Date().toDateString();
    let dated = false;
    for (const { row, ns, time, start } of this.entries) {
      row.querySelector("rect").setAttribute("width", ns > 0 && longest > 0 ? `${Math.max((100 * ns) / longest, 0.8).toFixed(1)}%` : "0%");
      const date = new Date(start);
      if (date.toDateString() === today) time.textContent = clock(date);
      else {
        if (!Number.isNaN(start)) time.textContent = local(date); // a row of today may be one of yesterday by now
        dated = true;
      }
    }
    this.element.parentElement.classList.toggle("today", !dated);
    this.changed(this.entries);
  }
}

// summarize writes what the rows come to.
export function summarize(element, entries) {
  const sorted = entries.map((e) => e.ns).sort((a, b) => a - b);
  const quantile = (q) => (sorted.length === 0 ? 0 : sorted[Math.max(Math.ceil(q * sorted.length), 1) - 1]);
  const starts = entries.map((e) => e.start).filter((t) => !Number.isNaN(t));
  const over = starts.length === 0 ? 0 : (Math.max(...starts) - Math.min(...starts)) * 1e6;
  const errors = entries.filter((e) => e.failed).length;
  const figures = { count: count(entries.length), over: duration(over), errors: count(errors), p50: duration(quantile(0.5)), p95: duration(quantile(0.95)) };
  for (const [name, text] of Object.entries(figures)) element.querySelector(`[data-figure=${name}]`).textContent = text;
  element.querySelector("[data-figure=over]").parentElement.hidden = over === 0;
  element.querySelector("[data-figure=errors]").classList.toggle("bad", errors > 0);
}
