// The rows of a waterfall. Only those that are seen are elements of the page, so that a trace may have as many spans as it likes.
import { colourClass } from "./colours.js";
import { h } from "./dom.js";
import { count, duration, noun } from "./format.js";
import { cycle, early, late, orphan, repeated } from "./trace-model.js";

const height = 26; // as trace.css has it
const beyond = 8; // rows above and below what is seen, so that scrolling shows them at once
const indent = 14;

export class Rows {
  constructor(trace, scroll, body) {
    Object.assign(this, { trace, scroll, body, live: new Map(), width: 0 });
    scroll.addEventListener("scroll", () => this.draw(), { passive: true });
    body.addEventListener("click", (e) => this.click(e));
    trace.on(["rows"], () => this.redraw());
    trace.on(["time", "looks", "found", "selected"], () => this.refill());
    trace.on(["active"], () => this.refill());
  }

  // measure is called when the size may have changed.
  measure(width) {
    this.width = width;
    this.levels = Math.max(Math.floor((this.body.querySelector(".wf-name") ?? this.body).clientWidth / 2 / indent), 4);
    this.redraw();
  }

  redraw() {
    this.body.style.height = `${this.trace.shown.length * height}px`;
    this.body.setAttribute("aria-rowcount", this.trace.shown.length);
    this.refill();
  }

  refill() {
    for (const [i, element] of this.live) this.fill(element, i);
    this.draw();
  }

  // draw has the rows that are seen be there, and those that are not be gone. The active one stays: it may have the focus.
  draw() {
    const { trace, scroll, live } = this;
    const top = scroll.scrollTop;
    const first = Math.max(Math.floor(top / height) - beyond, 0);
    const last = Math.min(Math.ceil((top + scroll.clientHeight) / height) + beyond, trace.shown.length);
    const wanted = new Set(trace.shown.subarray(first, last));
    wanted.add(trace.active);
    for (const [i, element] of live) {
      if (wanted.has(i)) continue;
      element.remove();
      live.delete(i);
    }
    for (const i of wanted) {
      if (live.has(i)) continue;
      const element = h("div", { role: "row", class: "wf-row wf-columns", dataset: { row: i } });
      live.set(i, element);
      this.fill(element, i);
      this.body.append(element);
    }
    this.onview?.(Math.floor(top / height), Math.min(Math.ceil((top + scroll.clientHeight) / height), trace.shown.length) - 1);
  }

  // show scrolls to a row. A jump from afar puts it into the middle.
  show(i) {
    const { scroll } = this;
    const head = scroll.firstElementChild.offsetHeight;
    const y = this.trace.place[i] * height, seen = scroll.clientHeight - head;
    const far = y < scroll.scrollTop - 2 * height || y > scroll.scrollTop + seen + height;
    if (far) scroll.scrollTop = y - seen / 2;
    else if (y < scroll.scrollTop) scroll.scrollTop = y;
    else if (y + height > scroll.scrollTop + seen) scroll.scrollTop = y + height - seen;
    this.draw();
    // On a phone the whole page scrolls as well.
    this.live.get(i)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  focus() { this.live.get(this.trace.active)?.focus({ preventScroll: true }); }

  get page() { return Math.max(Math.floor(this.scroll.clientHeight / height) - 2, 1); }

  click(e) {
    const row = e.target.closest(".wf-row");
    if (!row) return;
    const i = Number(row.dataset.row);
    if (e.target.closest(".wf-toggle")) {
      this.trace.activate(i);
      if (e.altKey) this.toggleAll(i);
      else this.trace.toggle(i);
    } else {
      this.trace.activate(i);
      this.onopen?.(i);
    }
    this.focus();
  }

  // toggleAll closes or opens everything below a row.
  toggleAll(i) {
    const { trace } = this, close = !trace.closed[i] ? 1 : 0;
    for (let k = i; k <= i + trace.d.below[i]; k++) if (trace.d.below[k] > 0) trace.closed[k] = close;
    trace.relist();
  }

  fill(element, i) {
    const { trace } = this, { d } = trace;
    const leads = d.below[i] > 0;
    const active = i === trace.active;
    const names = ["wf-row", "wf-columns", colourClass(trace.service(i))];
    if (trace.failed(i)) names.push("wf-failed");
    if (i === trace.selected) names.push("wf-selected");
    if (active) names.push("wf-active");
    if (trace.foundSet.has(i)) names.push("wf-found");
    else if (trace.query) names.push("wf-other");
    element.className = names.join(" ");
    element.tabIndex = active ? 0 : -1;
    element.hidden = trace.place[i] < 0;
    element.style.transform = `translateY(${trace.place[i] * height}px)`;
    element.setAttribute("aria-level", trace.depth[i] + 1);
    element.setAttribute("aria-rowindex", trace.place[i] + 1);
    element.setAttribute("aria-selected", i === trace.selected);
    if (leads) element.setAttribute("aria-expanded", !trace.closed[i]);
    element.replaceChildren(this.name(i, leads), this.tokens(i), this.bar(i));
  }

  name(i, leads) {
    const { trace } = this, deep = trace.depth[i] > this.levels;
    const guides = h("span", { class: "wf-guides" });
    guides.style.width = `${Math.min(trace.depth[i], this.levels) * indent}px`;
    const hidden = trace.closed[i] ? trace.d.below[i] : 0;
    const service = trace.service(i) || "(no service)";
    return h("div", { role: "gridcell", class: "wf-name", title: `${trace.name(i)}\n${service} ${trace.kind(i)}` },
      guides,
      deep && h("span", { class: "wf-deep", title: `Level ${trace.depth[i] + 1}` }, trace.depth[i] + 1),
      leads ? h("span", { class: trace.closed[i] ? "wf-toggle wf-closed" : "wf-toggle", "aria-hidden": true, title: trace.closed[i] ? "Open" : "Close" }) : h("span", { class: "wf-leaf" }),
      h("span", { class: "dot" }),
      trace.failed(i) && h("span", { class: "wf-sign", title: trace.message(i) || "error" }, "!", h("span", { class: "visually-hidden" }, "error")),
      h("span", { class: "wf-text" }, marked(trace.name(i) || "(no name)", trace.query)),
      h("span", { class: "wf-service" }, marked(service, trace.query)),
      ...this.oddities(i),
      hidden > 0 && h("span", { class: trace.errorsBelow[i] ? "wf-hidden wf-bad" : "wf-hidden", title: noun(hidden, "span") + " hidden" + (trace.errorsBelow[i] ? `, ${noun(trace.errorsBelow[i], "error")} among them` : "") },
        `+${count(hidden)}`, trace.errorsBelow[i] > 0 && ` · ${noun(trace.errorsBelow[i], "error")}`),
    );
  }

  oddities(i) {
    const { trace } = this;
    return [
      [orphan, "no parent", "Its parent is not here: not sent yet, or not sampled"],
      [cycle, "cycle", "Following parents from here leads back here"],
      [repeated, "same id", "Another span of this trace has the same id"],
    ].filter(([mark]) => trace.marked(i, mark)).map(([, text, title]) => h("span", { class: "wf-odd", title }, text));
  }

  tokens(i) {
    const t = this.trace.tokens(i);
    const cell = h("div", { role: "gridcell", class: "wf-tokens" });
    if (!t) return cell;
    cell.append(h("span", { class: "wf-model", title: t.model }, t.model));
    if (t.input >= 0) {
      const title = `${noun(t.input, "token")} in, ${count(t.output)} out` + (t.counted ? "" : ": not in the sum, since spans below have them");
      cell.append(h("span", { class: t.counted ? "wf-used" : "wf-used wf-repeats", title }, `${count(t.input)} → ${count(t.output)}`));
    }
    return cell;
  }

  bar(i) {
    const { trace, width } = this, { d } = trace;
    const cell = h("div", { role: "gridcell", class: "wf-time" });
    const scale = width / (trace.until - trace.from);
    const x = (at) => Math.min(Math.max((at - trace.from) * scale, -4), width + 4);
    const begin = d.from[i], end = begin + d.length[i];
    const left = x(Math.min(begin, end)), right = x(Math.max(begin, end));
    const text = duration(d.length[i]);
    if (right < 0 || left > width) {
      cell.append(h("span", { class: right < 0 ? "wf-off" : "wf-off wf-off-right", title: `${text}, ${right < 0 ? "before" : "after"} what is seen` }, right < 0 ? "‹" : "›"));
      return cell;
    }
    const wide = Math.max(right - left, 2), from = Math.min(left, width - 2);
    const bar = h("div", { class: this.barClass(i), title: this.tip(i, text) });
    bar.style.left = `${from}px`;
    bar.style.width = `${wide}px`;
    if (trace.critical) bar.append(...this.parts(i, x, from));
    cell.append(bar);
    label(text, from, wide, width, cell, bar);
    return cell;
  }

  barClass(i) {
    const { trace } = this;
    let name = "wf-bar";
    if (trace.d.length[i] < 0) name += " wf-backwards";
    if (trace.marked(i, early)) name += " wf-early";
    if (trace.marked(i, late)) name += " wf-late";
    return name;
  }

  tip(i, text) {
    const { trace } = this;
    return [
      `${trace.name(i)}: ${text}, from ${duration(trace.d.from[i])} on`,
      trace.message(i),
      trace.d.length[i] < 0 && "It ends before it starts: a clock was set back",
      trace.marked(i, early) && "It starts before its parent: clocks differ",
      trace.marked(i, late) && "It ends after its parent: nobody waited for it, or clocks differ",
    ].filter(Boolean).join("\n");
  }

  // parts are those of the critical path.
  parts(i, x, from) {
    const all = [], parts = this.trace.d.parts[i] ?? [];
    for (let k = 0; k < parts.length; k += 2) {
      const part = h("i", { class: "wf-critical" });
      const left = x(parts[k]);
      part.style.left = `${left - from}px`;
      part.style.width = `${Math.max(x(parts[k + 1]) - left, 1)}px`;
      all.push(part);
    }
    return all;
  }
}

// label is the duration beside the bar where there is room, else in it.
function label(text, left, wide, width, cell, bar) {
  const room = text.length * 7 + 8;
  const element = h("span", { class: "wf-label" }, text);
  const after = left + wide + room <= width, before = left >= room;
  if (after) element.style.left = `${left + wide + 4}px`;
  else if (before) element.style.right = `${width - left + 4}px`;
  else {
    element.classList.add("wf-inside");
    element.style.right = `${Math.max(left + wide - width, 0) + 4}px`;
  }
  (after || before ? cell : bar).append(element);
}

// marked is a text in which what was searched for is marked.
function marked(text, query) {
  const at = query ? text.toLowerCase().indexOf(query) : -1;
  if (at < 0) return text;
  return [text.slice(0, at), h("mark", {}, text.slice(at, at + query.length)), text.slice(at + query.length)];
}
