// Live mode: new traces are added as they arrive, without moving what the reader looks at.
import { ask, h, part, Problem } from "./dom.js";
import { noun } from "./format.js";
import { makeRow } from "./traces-list.js";

const mostRows = 1000; // more would make the page slow
const gather = 200; // milliseconds: traces come in bursts
const hiddenTime = 60_000; // after which nobody looks
const busyTime = 10_000; // until the server is asked again that refused
const again = 3000; // the first looks of server and page may miss a trace that comes between them

export class Live {
  // parts are the elements button, says and pill, the list, looking() and older(), which is called when old rows had to go.
  constructor(parts) {
    Object.assign(this, parts);
    this.waiting = new Map();
    this.until = Date.parse(this.button.dataset.until ?? "");
    this.button.hidden = false;
    if (this.until <= Date.now()) {
      this.button.disabled = true;
      this.button.title = "The time range of the search is over: no new traces start in it";
      this.button.setAttribute("aria-pressed", "false");
      return;
    }
    this.button.addEventListener("click", () => (this.on ? this.stop() : this.start()));
    this.pill.addEventListener("click", () => {
      this.insert();
      scrollTo({ top: 0 });
    });
    for (const event of ["scroll", "pointerout", "focusout"]) addEventListener(event, () => this.settleSoon(), { passive: true });
    document.addEventListener("visibilitychange", () => this.watch());
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => event.persisted && this.on && this.connect());
    if (this.button.getAttribute("aria-pressed") === "true") this.start();
  }

  start() {
    this.on = true;
    this.remember();
    this.connect();
  }

  stop(why) {
    this.on = false;
    this.close();
    this.remember();
    this.insert();
    this.say(why);
  }

  // remember puts the state into the address and into links, so that it is shared and kept.
  remember() {
    this.button.setAttribute("aria-pressed", String(this.on));
    const change = (address) => {
      const url = new URL(address, location.href);
      if (this.on) url.searchParams.set("live", "1");
      else url.searchParams.delete("live");
      return url.pathname + url.search;
    };
    history.replaceState(history.state, "", change(location.href));
    for (const link of document.querySelectorAll(".chips a, .widen a, .legend a")) link.setAttribute("href", change(link.getAttribute("href")));
    const form = document.getElementById("search");
    form.elements.live?.remove();
    if (this.on) form.append(h("input", { type: "hidden", name: "live", value: "1" }));
  }

  say(text, bad) {
    this.says.hidden = !text;
    this.says.textContent = text ?? "";
    this.says.classList.toggle("bad", Boolean(bad));
    this.button.classList.toggle("lost", Boolean(bad));
  }

  connect() {
    this.close();
    if (this.until <= Date.now()) {
      this.stop("The time range of the search is over: no new traces start in it.");
      return;
    }
    if (this.until) this.ending = setTimeout(() => this.connect(), Math.min(this.until - Date.now() + 1, 2 ** 31 - 1));
    const source = new EventSource(this.button.dataset.tail);
    this.source = source;
    source.addEventListener("open", () => {
      this.say("Live: new traces appear on top as they arrive.");
      this.button.dataset.state = "open";
      this.catchUp();
      this.catching = setTimeout(() => this.catchUp(), again);
    });
    source.addEventListener("trace", (event) => this.arrive([makeRow(JSON.parse(event.data))]));
    source.addEventListener("error", (event) => this.failed(source, event.data));
  }

  close() {
    clearTimeout(this.ending);
    clearTimeout(this.catching);
    clearTimeout(this.retrying);
    this.source?.close();
    this.source = null;
    delete this.button.dataset.state;
  }

  // failed: the server has ended the stream, with a reason or without, or it refuses, which an EventSource does not tell more of.
  failed(source, reason) {
    if (this.source !== source) return;
    delete this.button.dataset.state;
    if (reason !== undefined) {
      const problem = JSON.parse(reason);
      this.ended = problem.detail ?? problem.title;
      return; // the connection ends next
    }
    const why = this.ended ? `The server ended it (${this.ended}).` : "The connection is lost.";
    this.ended = undefined;
    this.say(`${why} Trying again…`, true);
    if (source.readyState === EventSource.CLOSED) this.askWhy();
  }

  async askWhy() {
    const giveUp = new AbortController();
    try {
      await ask(this.button.dataset.tail, { signal: giveUp.signal });
      giveUp.abort(); // it would be answered now
      this.retrying = setTimeout(() => this.on && this.connect(), gather);
    } catch (err) {
      if (!(err instanceof Problem)) throw err;
      if (!this.on) return;
      if (err.status !== 0 && err.status !== 503) {
        this.stop();
        this.say(`The server refuses: ${err.message}`, true);
        return;
      }
      this.say(`${err.message.replace(/\.?$/, ".")} Trying again…`, true);
      this.retrying = setTimeout(() => this.on && this.connect(), busyTime);
    }
  }

  // catchUp adds what came while nobody told.
  async catchUp() {
    let nodes;
    try {
      const url = new URL(location.href);
      url.searchParams.delete("live");
      nodes = await part(url.pathname + url.search);
    } catch (err) {
      if (!(err instanceof Problem)) throw err;
      return; // the stream tells as well that something is wrong
    }
    if (!this.on) return;
    const oldest = this.list.entries.at(-1)?.at ?? "";
    const rows = nodes.flatMap((node) => [...(node.querySelectorAll?.("li") ?? [])]);
    const news = rows.filter((row) => row.querySelector("time").getAttribute("datetime") > oldest || !this.more());
    const missing = news.length > 0 && this.list.entries.length > 0 && news.length === rows.length && news.every((row) => !this.list.has(row));
    this.enliven(news);
    this.arrive(news);
    if (missing && nodes.some((node) => node.querySelector?.("a.more"))) this.say("Live again. More traces came meanwhile than are shown: reload the page to see all.");
  }

  arrive(rows) {
    for (const row of rows) {
      if (this.list.has(row)) continue;
      this.waiting.set(this.list.keyOf(row), row);
    }
    while (this.waiting.size > mostRows) this.waiting.delete(this.waiting.keys().next().value);
    this.settleSoon();
  }

  settleSoon() {
    this.settling ??= setTimeout(() => {
      this.settling = null;
      if (this.waiting.size > 0 && !this.looking()) this.insert();
      this.pill.textContent = noun(this.waiting.size, "new trace");
      this.pill.hidden = this.waiting.size === 0;
    }, gather);
  }

  insert() {
    this.list.add([...this.waiting.values()], true);
    this.waiting.clear();
    this.pill.hidden = true;
    if (this.on && this.list.trim(mostRows)) this.older();
  }

  // watch ends the stream when nobody has looked for a while: a server has only a few.
  watch() {
    clearTimeout(this.pausing);
    if (document.hidden) {
      this.pausing = setTimeout(() => {
        if (!this.on) return;
        this.close();
        this.paused = true;
        this.say("Paused while this tab is hidden.");
      }, hiddenTime);
    } else if (this.paused) {
      this.paused = false;
      if (this.on) this.connect();
    }
  }
}
