// A trace as the waterfall shows it: which rows are open, which one is active, what part of time is seen. Who changes it dispatches "change" with
// what has changed: rows, active, selected, time, found or looks.

// Marks, as the server numbers them.
export const orphan = 1, cycle = 2, early = 4, late = 8, repeated = 16;

const kinds = ["", "internal", "server", "client", "producer", "consumer"];

export class Trace extends EventTarget {
  constructor(d) {
    super();
    this.d = d;
    this.id = d.trace;
    this.count = d.id.length;
    this.duration = Math.max(d.duration, 1);
    this.depth = new Int32Array(this.count);
    this.errorsBelow = new Int32Array(this.count);
    this.closed = new Uint8Array(this.count);
    this.errors = [];
    this.levels = 0;
    for (let i = 0; i < this.count; i++) {
      this.depth[i] = d.parent[i] < 0 ? 0 : this.depth[d.parent[i]] + 1; // parents come first
      this.levels = Math.max(this.levels, this.depth[i] + 1);
      if (this.failed(i)) this.errors.push(i);
    }
    for (let i = this.count - 1; i >= 0; i--) {
      if (d.parent[i] >= 0) this.errorsBelow[d.parent[i]] += this.errorsBelow[i] + (this.failed(i) ? 1 : 0);
    }
    this.rowOf = new Map();
    for (let i = this.count - 1; i >= 0; i--) this.rowOf.set(d.id[i], i);
    // shown are the rows that no closed row hides, and place where each is among them, -1 for hidden.
    this.shown = new Int32Array(0);
    this.place = new Int32Array(this.count);
    this.active = 0;
    this.selected = -1;
    this.from = 0;
    this.until = this.duration;
    this.found = [];
    this.foundSet = new Set();
    this.query = "";
    this.critical = this.count > 1; // of one span it is all
    this.list();
  }

  name(i) { return this.d.names[this.d.name[i]]; }
  service(i) { return this.d.services[this.d.service[i]]; }
  kind(i) { return kinds[this.d.kind[i]] ?? `kind ${this.d.kind[i]}`; }
  message(i) { return this.d.messages[i] ?? ""; }
  failed(i) { return this.d.status[i] === 2; }
  marked(i, mark) { return (this.d.marks[i] & mark) !== 0; }

  // tokens are null for a span that tells of no model.
  tokens(i) {
    const t = this.d.tokens[i];
    return t ? { input: t[0], output: t[1], model: this.d.models[t[2]], counted: t[3] === 1 } : null;
  }

  changed(what) { this.dispatchEvent(new CustomEvent("change", { detail: what })); }

  // on calls back when one of these has changed.
  on(what, call) {
    this.addEventListener("change", (e) => { if (what.includes(e.detail)) call(e.detail); });
  }

  list() {
    const shown = new Int32Array(this.count);
    let n = 0;
    this.place.fill(-1);
    for (let i = 0; i < this.count; i++) {
      this.place[i] = n;
      shown[n++] = i;
      if (this.closed[i]) i += this.d.below[i];
    }
    this.shown = shown.subarray(0, n);
  }

  relist() {
    this.list();
    // A row that was closed takes over from those in it.
    while (this.place[this.active] < 0) this.active = this.d.parent[this.active];
    this.changed("rows");
  }

  toggle(i, close = !this.closed[i]) {
    if (this.d.below[i] === 0 || Boolean(this.closed[i]) === close) return;
    this.closed[i] = close ? 1 : 0;
    this.relist();
  }

  // open shows so many levels.
  open(levels) {
    for (let i = 0; i < this.count; i++) this.closed[i] = this.d.below[i] > 0 && this.depth[i] >= levels - 1 ? 1 : 0;
    this.relist();
  }

  // openLevels is how many levels are open, 0 if that differs between subtrees.
  get openLevels() {
    let level = this.levels;
    for (let i = 0; i < this.count; i++) if (this.closed[i]) level = Math.min(level, this.depth[i] + 1);
    for (let i = 0; i < this.count; i++) {
      if (this.d.below[i] > 0 && this.closed[i] !== (this.depth[i] >= level - 1 ? 1 : 0) && this.place[i] >= 0) return 0;
    }
    return level;
  }

  // activate makes a row the one that keys are for, and opens what hides it.
  activate(i) {
    let hidden = false;
    for (let p = this.d.parent[i]; p >= 0; p = this.d.parent[p]) {
      hidden ||= this.closed[p] === 1;
      this.closed[p] = 0;
    }
    this.active = i;
    if (hidden) this.relist();
    this.changed("active");
  }

  // select shows the detail of a row, -1 for none.
  select(i) {
    if (this.selected === i) return;
    this.selected = i;
    this.changed("selected");
  }

  move(by) { this.moveTo(this.place[this.active] + by); }

  moveTo(place) {
    this.activate(this.shown[Math.min(Math.max(place, 0), this.shown.length - 1)]);
  }

  // next is the first of some sorted rows after the active one, going round.
  next(rows, forward = true) {
    if (rows.length === 0) return -1;
    if (forward) return rows.find((i) => i > this.active) ?? rows[0];
    return rows.findLast((i) => i < this.active) ?? rows[rows.length - 1];
  }

  // see shows a part of time.
  see(from, until) {
    const least = Math.min(10, this.duration);
    const length = Math.min(Math.max(until - from, least), this.duration);
    from = Math.min(Math.max(from, 0), this.duration - length);
    if (from === this.from && from + length === this.until) return;
    this.from = from;
    this.until = from + length;
    this.changed("time");
  }

  // seeAround zooms by a factor, with one moment staying where it is.
  seeAround(at, factor) {
    const share = (at - this.from) / (this.until - this.from);
    const length = Math.min((this.until - this.from) * factor, this.duration);
    const from = at - share * length;
    this.see(from, from + length);
  }

  get zoomed() { return this.until - this.from < this.duration; }

  find(query, rows) {
    this.query = query;
    this.found = rows;
    this.foundSet = new Set(rows);
    this.changed("found");
  }
}
