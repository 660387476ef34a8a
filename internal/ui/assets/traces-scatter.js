// Latency over time: a point for each trace of the list. The list says the same in words, so the picture is one image for those who
// do not see it, and its points take no tab stops.
import { colourClass } from "./colours.js";
import { h, svg } from "./dom.js";
import { clock, duration, local, noun } from "./format.js";

const edge = { top: 10, right: 14, bottom: 24, left: 52 };
const millisecond = 1e6; // in nanoseconds

// Durations that a logarithmic axis may have a line at, in nanoseconds: people count seconds, minutes, hours and days.
const lines = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 6e10, 6e11, 3.6e12, 3.6e13, 8.64e13, 8.64e14, 8.64e15, 8.64e16, 8.64e17, 8.64e18];

// Steps of time in milliseconds.
const second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;
const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, second, 2 * second, 5 * second, 10 * second, 15 * second, 30 * second, minute, 2 * minute,
  5 * minute, 10 * minute, 15 * minute, 30 * minute, hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 7 * day, 14 * day, 30 * day,
  90 * day, 365 * day, 3650 * day, 36500 * day];

export class Scatter {
  // pointed is called with the key of a trace that is pointed at, or null; brushed with the times of a range that was drawn.
  constructor(element, { pointed, brushed }) {
    this.element = element;
    this.pointed = pointed;
    this.brushed = brushed;
    this.entries = [];
    this.places = new Map();
    new ResizeObserver(() => this.drawSoon()).observe(element);
  }

  show(entries) {
    this.entries = entries.filter((e) => !Number.isNaN(e.start));
    this.drawSoon();
  }

  drawSoon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    if (this.from !== undefined && this.brush) return; // while somebody draws a range
    this.width = this.element.clientWidth;
    this.height = this.element.clientHeight;
    this.places.clear();
    if (this.width < 100 || this.entries.length === 0) {
      this.element.replaceChildren();
      return;
    }
    this.scale();
    this.ring = svg("circle", { class: "ring", r: 7, visibility: "hidden" });
    this.picture = svg("svg", {
      role: "img", "aria-label": `Latency over time of ${noun(this.entries.length, "trace")}; the list below says the same`,
      viewBox: `0 0 ${this.width} ${this.height}`, width: this.width, height: this.height,
    }, this.durationAxis(), this.timeAxis(), this.entries.toReversed().map((e) => this.point(e)), this.ring);
    this.listen();
    this.element.replaceChildren(this.picture);
    if (this.marked) this.mark(this.marked);
  }

  scale() {
    const starts = this.entries.map((e) => e.start);
    this.first = Math.min(...starts);
    this.last = Math.max(...starts);
    const pad = Math.max((this.last - this.first) * 0.01, 0.5);
    this.first -= pad;
    this.last += pad;
    const taken = this.entries.map((e) => e.ns).filter((ns) => ns > 0);
    this.low = Math.log10(Math.min(...taken, Number.MAX_VALUE)) - 0.1;
    this.high = Math.log10(Math.max(...taken, 1)) + 0.1;
    if (taken.length === 0) [this.low, this.high] = [5.9, 6.1];
    if (this.high - this.low < 1) { // a tenth of a second must not look like a cliff
      const middle = (this.high + this.low) / 2;
      [this.low, this.high] = [middle - 0.5, middle + 0.5];
    }
  }

  x(time) {
    return edge.left + ((time - this.first) / (this.last - this.first)) * (this.width - edge.left - edge.right);
  }

  timeAt(x) {
    const inside = Math.min(Math.max(x, edge.left), this.width - edge.right);
    return this.first + ((inside - edge.left) / (this.width - edge.left - edge.right)) * (this.last - this.first);
  }

  // y puts what took no time, or less, on the ground.
  y(ns) {
    const share = ns > 0 ? (Math.log10(ns) - this.low) / (this.high - this.low) : 0;
    return this.height - edge.bottom - share * (this.height - edge.top - edge.bottom);
  }

  durationAxis() {
    const shown = (ns) => ns >= 10 ** this.low && ns <= 10 ** this.high;
    let ticks = lines.filter(shown);
    if (ticks.length < 2) ticks = lines.flatMap((ns) => [ns, 2 * ns, 5 * ns]).filter(shown);
    const most = Math.max(2, Math.floor((this.height - edge.top - edge.bottom) / 18));
    const every = Math.ceil(ticks.length / most);
    return ticks.filter((_, i) => i % every === 0).map((ns) => svg("g", { class: "tick" },
      svg("line", { x1: edge.left, x2: this.width - edge.right, y1: this.y(ns), y2: this.y(ns) }),
      svg("text", { x: edge.left - 6, y: this.y(ns) + 4, "text-anchor": "end" }, tickText(ns))));
  }

  timeAxis() {
    const most = Math.max(2, Math.floor((this.width - edge.left - edge.right) / 90));
    const step = steps.find((s) => (this.last - this.first) / s <= most) ?? steps.at(-1);
    // Lines are at full hours and days of the reader's zone.
    const shift = new Date(this.first).getTimezoneOffset() * minute;
    const all = [];
    for (let at = Math.ceil((this.first - shift) / step) * step + shift; at <= this.last && all.length < 50; at += step) {
      const x = this.x(at);
      if (x > this.width - 30) break;
      all.push(svg("g", { class: "tick" },
        svg("line", { x1: x, x2: x, y1: this.height - edge.bottom, y2: this.height - edge.bottom + 4 }),
        svg("text", { x, y: this.height - 7, "text-anchor": "middle" }, timeText(new Date(at), step))));
    }
    const date = new Date(this.first);
    if (step < day && date.toDateString() !== new Date().toDateString()) {
      all.push(svg("g", { class: "tick" }, svg("text", { x: 2, y: this.height - 7 }, local(date).slice(5, 10))));
    }
    all.push(svg("line", { class: "ground", x1: edge.left, x2: this.width - edge.right, y1: this.height - edge.bottom, y2: this.height - edge.bottom }));
    return all;
  }

  point(entry) {
    const x = this.x(entry.start), y = this.y(entry.ns);
    this.places.set(entry.key, [x, y]);
    const shape = entry.failed
      ? svg("path", { class: "failure", d: `M${x} ${y - 5}l5 5l-5 5l-5 -5z` })
      : svg("circle", { cx: x, cy: y, r: 3.5 });
    const title = `${entry.name}\n${entry.service || "(no service)"}\n${duration(entry.ns)}${entry.failed ? ", error" : ""}\n${local(new Date(entry.start))}`;
    return svg("a", { href: entry.href, class: `point ${colourClass(entry.service)}`, tabindex: -1, dataset: { key: entry.key } }, svg("title", null, title), shape);
  }

  // mark rings a point.
  mark(key) {
    this.marked = key;
    const place = this.places.get(key);
    if (!this.ring) return;
    this.ring.setAttribute("visibility", place ? "visible" : "hidden");
    if (place) {
      this.ring.setAttribute("cx", place[0]);
      this.ring.setAttribute("cy", place[1]);
    }
  }

  listen() {
    const keyOf = (event) => event.target.closest?.(".point")?.dataset.key ?? null;
    this.picture.addEventListener("pointerover", (event) => this.pointed(keyOf(event)));
    this.picture.addEventListener("pointerleave", () => this.pointed(null));
    this.picture.addEventListener("dragstart", (event) => event.preventDefault());
    this.picture.addEventListener("pointerdown", (event) => {
      if (event.button === 0) this.from = this.across(event);
    });
    this.picture.addEventListener("pointermove", (event) => this.drawRange(event));
    this.picture.addEventListener("pointerup", (event) => this.endRange(event));
    this.picture.addEventListener("pointercancel", () => this.dropRange());
    // A range that ends on a point is no click on it.
    this.picture.addEventListener("click", (event) => {
      if (this.drawn) event.preventDefault();
      this.drawn = false;
    }, true);
  }

  // drawRange shows the range of time that somebody draws.
  drawRange(event) {
    if (this.from === undefined || event.buttons === 0) return;
    const x = this.across(event);
    if (!this.brush && Math.abs(x - this.from) < 5) return;
    if (!this.brush) {
      this.picture.setPointerCapture(event.pointerId);
      this.brush = svg("rect", { class: "brush", y: edge.top, height: this.height - edge.top - edge.bottom });
      this.picture.append(this.brush);
    }
    const [a, b] = [this.x(this.timeAt(this.from)), this.x(this.timeAt(x))].sort((a, b) => a - b);
    this.brush.setAttribute("x", a);
    this.brush.setAttribute("width", b - a);
  }

  endRange(event) {
    const from = this.from;
    const drawn = Boolean(this.brush);
    this.dropRange();
    if (!drawn) return;
    this.drawn = true;
    const [a, b] = [this.timeAt(from), this.timeAt(this.across(event))].sort((a, b) => a - b);
    if (b - a >= 1) this.brushed(Math.floor(a), Math.ceil(b));
  }

  across(event) {
    return event.clientX - this.picture.getBoundingClientRect().left;
  }

  dropRange() {
    this.brush?.remove();
    this.brush = undefined;
    this.from = undefined;
  }
}

function tickText(ns) {
  for (const [size, unit] of [[8.64e13, "d"], [3.6e12, "h"], [6e10, "min"], [1e9, "s"], [millisecond, "ms"], [1e3, "µs"]]) {
    if (ns >= size) return `${Math.round(ns / size).toLocaleString("en-US")} ${unit}`;
  }
  return `${ns} ns`;
}

function timeText(date, step) {
  if (step >= day) return local(date).slice(0, 10);
  if (step >= minute) return date.getHours() + date.getMinutes() === 0 ? local(date).slice(5, 10) : clock(date).slice(0, 5);
  return step >= second ? clock(date).slice(0, 8) : clock(date);
}

const inLegend = 8;

// legend names the services of the list; each leads to its traces.
export function legend(element, entries, href) {
  const counts = Map.groupBy(entries, (e) => e.service);
  const services = [...counts].map(([service, all]) => [service, all.length]).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const items = services.slice(0, inLegend).map(([service, n]) => h(service ? "a" : "span",
    { class: `service ${colourClass(service)}`, href: service && href(service), title: `${noun(n, "trace")} of the list` }, h("span", { class: "dot" }), h("bdi", null, service || "(no service)")));
  if (services.length > inLegend) items.push(h("span", { class: "soft" }, `and ${services.length - inLegend} more`));
  if (entries.some((e) => e.failed)) {
    items.push(h("span", { class: "service" }, svg("svg", { width: 11, height: 11, "aria-hidden": "true" }, svg("path", { class: "failure", d: "M5.5 0.5l5 5l-5 5l-5 -5z" })), "error"));
  }
  element.replaceChildren(...items);
}
