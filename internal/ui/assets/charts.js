// Charts over time: lines, areas and bars in SVG, with axes in the reader's zone and a readout for mouse and keyboard.
import { h, svg } from "./dom.js";
import { local } from "./format.js";

const pad = (n) => String(n).padStart(2, "0");
const margin = { top: 8, right: 12, bottom: 22, left: 52 };
const height = 168;
const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

// niceSteps are distances of ticks on an axis of numbers: 1, 2 and 5 times a power of ten.
export function niceTicks(most, wanted = 4) {
  if (!(most > 0)) return [0, 1];
  const raw = most / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999);
  const ticks = [];
  for (let i = 0; i * step < most + step * 0.999; i++) ticks.push(i * step);
  return ticks;
}

// durationTicks are distances that people use: 1, 2, 5 and so on of ns, and 1, 2, 5, 10, 15, 30 of what has 60.
export function durationTicks(most, wanted = 4) {
  const minute = 6e10;
  if (most < minute) return niceTicks(most, wanted);
  const step = [15e9, 30e9, 1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 960].map((n) => (n > 1000 ? n : n * minute)).find((n) => n >= most / wanted);
  if (!step) return niceTicks(most, wanted);
  const ticks = [];
  for (let at = 0; at < most + step * 0.999; at += step) ticks.push(at);
  return ticks;
}

// timeTicks are round times of the reader's zone between two, in milliseconds.
export function timeTicks(from, until, wanted) {
  const minute = 60e3;
  const hour = 60 * minute;
  const sizes = [15e3, 30e3, minute, 2 * minute, 5 * minute, 10 * minute, 15 * minute, 30 * minute, hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour];
  const size = sizes.find((s) => (until - from) / s <= wanted);
  const ticks = [];
  if (size) {
    // From midnight on, by the clock of the reader: hours that are left out or come twice move no tick to another one.
    const day = new Date(from);
    const at = (n) => new Date(day.getFullYear(), day.getMonth(), day.getDate(), 0, 0, (n * size) / 1000).getTime();
    for (let n = 0; at(n) <= until; n++) if (at(n) >= from && at(n) !== ticks.at(-1)) ticks.push(at(n));
    return { ticks, text: (at) => clockText(new Date(at), size < minute, until - from > 26 * hour) };
  }
  const every = Math.max(1, Math.ceil((until - from) / (24 * hour) / wanted));
  const day = new Date(from);
  day.setHours(0, 0, 0, 0);
  for (; day.getTime() <= until; day.setDate(day.getDate() + every)) if (day.getTime() >= from) ticks.push(day.getTime());
  return { ticks, text: (at) => dateText(new Date(at)) };
}

function clockText(date, seconds, withDay) {
  if (withDay && date.getHours() === 0 && date.getMinutes() === 0) return `${days[date.getDay()]} ${date.getDate()}`;
  return `${pad(date.getHours())}:${pad(date.getMinutes())}${seconds ? `:${pad(date.getSeconds())}` : ""}`;
}

const dateText = (date) => `${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;

// span of a step in words: the day is said once.
function stepText(start, step) {
  const end = new Date(start + step);
  const short = (date) => local(date).slice(0, step < 60e3 ? 19 : 16);
  return step >= 86400e3 ? `${short(new Date(start))} – ${short(end)}` : `${short(new Date(start))} – ${short(end).slice(11)}`;
}

// Group has charts of the same times under one cursor.
export class Group {
  constructor({ times, step, from, until, open }) {
    Object.assign(this, { times, step, from, until, open });
    this.charts = [];
    this.at = null;
  }

  // add draws a chart into an element. series: {name, class, values, kind: "line", "area" or "bars"}; a value that is null is a gap.
  add(element, options) {
    const chart = new Chart(this, element, options);
    this.charts.push(chart);
    return chart;
  }

  point(at) {
    this.at = at;
    for (const chart of this.charts) chart.point(at);
  }

  // nearest is the number of the step that a time is in.
  nearest(time) {
    const i = Math.floor((time - this.times[0]) / this.step);
    return Math.min(Math.max(i, 0), this.times.length - 1);
  }

  move(by) {
    const last = this.times.length - 1;
    this.point(this.at === null && Number.isFinite(by) ? (by > 0 ? 0 : last) : Math.min(Math.max((this.at ?? 0) + by, 0), last));
  }
}

class Chart {
  constructor(group, element, { label, series, format, ticks = niceTicks, most }) {
    Object.assign(this, { group, element, label, series, format, ticks, most });
    this.readout = h("p", { class: "readout", "aria-live": "polite" });
    this.box = h("div", { class: "plot" });
    element.append(this.box, this.readout);
    this.width = 0;
    new ResizeObserver(() => this.draw()).observe(this.box);
    this.draw();
  }

  draw() {
    const width = Math.floor(this.box.clientWidth);
    if (width === this.width || width < 50) return;
    this.width = width;
    const focused = this.box.contains(document.activeElement);
    const { from, until } = this.group;
    const values = this.series.flatMap((s) => s.values).filter((v) => v !== null);
    const most = Math.max(...values, this.most ?? 0, 0);
    this.yTicks = this.ticks(most);
    this.top = Math.max(this.yTicks.at(-1), most) || 1;
    this.x = (time) => margin.left + ((time - from) / (until - from)) * (width - margin.left - margin.right);
    this.y = (value) => margin.top + (1 - value / this.top) * (height - margin.top - margin.bottom);
    this.cursor = svg("line", { class: "cursor", y1: margin.top, y2: height - margin.bottom, visibility: "hidden" });
    this.dots = this.series.map((s) => svg("circle", { class: `point ${s.class}`, r: 3.5, visibility: "hidden" }));
    this.box.replaceChildren(
      svg(
        "svg",
        { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0, "aria-label": this.summary(), ...this.handlers() },
        this.axes(width),
        this.series.flatMap((s) => this.shape(s)),
        this.cursor,
        this.dots,
      ),
    );
    if (focused) this.box.firstChild.focus();
    this.point(this.group.at);
  }

  summary() {
    const parts = this.series.map((s) => {
      const known = s.values.filter((v) => v !== null);
      return known.length ? `${s.name} from ${this.format(Math.min(...known))} to ${this.format(Math.max(...known))}` : `${s.name}: none`;
    });
    return `${this.label}: ${parts.join(", ")}. Left and right keys move along time.`;
  }

  axes(width) {
    const { from, until } = this.group;
    const time = timeTicks(from, until, Math.max(2, Math.floor((width - margin.left) / 62)));
    const lines = this.yTicks.map((v) => [
      svg("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: this.y(v), y2: this.y(v) }),
      svg("text", { class: "tick", x: margin.left - 6, y: this.y(v) + 4, "text-anchor": "end" }, this.format(v)),
    ]);
    const marks = time.ticks
      .filter((at) => this.x(at) > margin.left + 8 && this.x(at) < width - 24)
      .map((at) => [
        svg("line", { class: "tick-mark", x1: this.x(at), x2: this.x(at), y1: height - margin.bottom, y2: height - margin.bottom + 4 }),
        svg("text", { class: "tick", x: this.x(at), y: height - 5, "text-anchor": "middle" }, time.text(at)),
      ]);
    return [...lines, ...marks].flat();
  }

  // middle is where the point of a step stands: in the middle of what is shown of it.
  middle(i) {
    const { times, step, from, until } = this.group;
    return this.x((Math.max(times[i], from) + Math.min(times[i] + step, until)) / 2);
  }

  shape(s) {
    if (s.kind === "bars") return this.bars(s);
    const zero = this.y(0);
    let line = "";
    let area = "";
    let begin = null;
    const close = (i) => {
      if (begin !== null) area += `L${this.middle(i).toFixed(1)} ${zero}L${this.middle(begin).toFixed(1)} ${zero}z`;
      begin = null;
    };
    s.values.forEach((v, i) => {
      if (v === null) return close(i - 1);
      const at = `${this.middle(i).toFixed(1)} ${this.y(v).toFixed(1)}`;
      line += (begin === null ? "M" : "L") + at;
      area += (begin === null ? "M" : "L") + at;
      begin ??= i;
      // A point between gaps has no line: it gets a short one.
      if (s.values[i - 1] == null && s.values[i + 1] == null) line += "h0.01";
    });
    close(s.values.length - 1);
    return [s.kind === "area" && svg("path", { class: `area ${s.class}`, d: area }), svg("path", { class: `line ${s.class}`, d: line })].filter(Boolean);
  }

  bars(s) {
    const { times, step, from, until } = this.group;
    let path = "";
    s.values.forEach((v, i) => {
      if (!v) return;
      const left = this.x(Math.max(times[i], from));
      const right = this.x(Math.min(times[i] + step, until));
      const top = Math.min(this.y(v), this.y(0) - 1);
      path += `M${left.toFixed(1)} ${this.y(0)}V${top.toFixed(1)}H${Math.max(right - Math.min(1, (right - left) / 5), left + 0.5).toFixed(1)}V${this.y(0)}z`;
    });
    return [svg("path", { class: `bars ${s.class}`, d: path })];
  }

  handlers() {
    const step = (e) => {
      const inside = (e.clientX - this.box.getBoundingClientRect().left - margin.left) / (this.width - margin.left - margin.right);
      return this.group.nearest(this.group.from + inside * (this.group.until - this.group.from));
    };
    return {
      onpointermove: (e) => this.group.point(step(e)),
      onpointerleave: () => this.group.point(null),
      onblur: () => this.group.point(null),
      onclick: (e) => this.group.open?.(step(e)),
      onkeydown: (e) => {
        const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[e.key];
        if (by) {
          e.preventDefault();
          this.group.move(by);
        } else if (e.key === "Enter" && this.group.at !== null) this.group.open?.(this.group.at);
        else if (e.key === "Escape") this.group.point(null);
      },
    };
  }

  // point shows the values of a step, null: of none.
  point(at) {
    if (!this.cursor) return;
    const show = (element, on) => element.setAttribute("visibility", on ? "visible" : "hidden");
    show(this.cursor, at !== null);
    this.series.forEach((s, k) => {
      const v = at === null ? null : s.values[at];
      show(this.dots[k], v !== null);
      if (v === null) return;
      this.dots[k].setAttribute("cx", this.middle(at));
      this.dots[k].setAttribute("cy", this.y(v));
    });
    if (at === null) {
      this.readout.textContent = "";
      return;
    }
    this.cursor.setAttribute("x1", this.middle(at));
    this.cursor.setAttribute("x2", this.middle(at));
    const { times, step } = this.group;
    this.readout.replaceChildren(
      h("span", { class: "soft" }, stepText(times[at], step)),
      ...this.series.map((s) => h("span", {}, h("i", { class: `key ${s.class}` }), ` ${s.name} `, h("b", {}, s.values[at] === null ? "–" : this.format(s.values[at])))),
    );
  }
}
