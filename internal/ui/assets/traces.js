// The page of traces.
import { enliven } from "./app.js";
import { ask, h, part, Problem } from "./dom.js";
import { searchForm } from "./traces-form.js";
import { summarize, TraceList } from "./traces-list.js";
import { Live } from "./traces-live.js";
import { legend, Scatter } from "./traces-scatter.js";

const manyRows = 1000; // from which on "load more" leads to the next page

const box = document.getElementById("list");
const card = document.getElementById("scatter");
let list;
let mouseOver = false; // rows or points

// watchMouse knows whether somebody points at a row or a point. CSS does not tell: after a touch it says that for ever.
function watchMouse(element) {
  element.addEventListener("pointerenter", (event) => (mouseOver = event.pointerType === "mouse"));
  element.addEventListener("pointerleave", () => (mouseOver = false));
}

// address is this page with other parameters, from the newest traces on; null takes one away.
function address(changes) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries({ cursor: null, ...changes })) {
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  return url.pathname + url.search;
}

function start() {
  const scatter = new Scatter(document.getElementById("plot"), {
    pointed: (key) => mark(key),
    brushed: (from, until) => location.assign(address({ since: null, live: null, from: new Date(from).toISOString(), until: new Date(until).toISOString() })),
  });
  let marked = null;
  const mark = (key) => {
    marked?.classList.remove("marked");
    marked = list.entries.find((e) => e.key === key)?.row ?? null;
    marked?.classList.add("marked");
    scatter.mark(key);
  };
  const changed = (entries) => {
    const some = entries.length > 0;
    box.hidden = !some && !box.querySelector(".more");
    card.hidden = !some;
    if (some) document.getElementById("nothing")?.remove();
    summarize(document.getElementById("summary"), entries);
    legend(document.getElementById("legend"), entries, (service) => address({ service }));
    scatter.show(entries);
  };
  list = new TraceList(box.querySelector("ol.rows"), changed);
  watchMouse(list.element);
  watchMouse(document.getElementById("plot"));
  for (const event of ["pointerover", "focusin"]) {
    list.element.addEventListener(event, (e) => {
      const row = e.target.closest("li");
      const name = row?.querySelector("bdi");
      if (name && name.scrollWidth > name.clientWidth) name.title = name.textContent; // it is cut
      mark(list.keyOf(row));
    });
  }
  for (const event of ["pointerleave", "focusout"]) list.element.addEventListener(event, () => mark(null));
  box.addEventListener("click", (event) => {
    const more = event.target.closest("a.more");
    if (!more || event.ctrlKey || event.metaKey || event.shiftKey || list.entries.length >= manyRows) return;
    event.preventDefault();
    loadMore(more);
  });
}

async function loadMore(link) {
  if (link.getAttribute("aria-busy") === "true") return;
  link.setAttribute("aria-busy", "true");
  const after = link.closest(".after");
  after.querySelector(".notice")?.remove();
  try {
    const nodes = (await part(link.getAttribute("href"))).filter((node) => node instanceof Element);
    const [notices, rows, next] = [".notices", ".rows", ".after"].map((which) => nodes.find((node) => node.matches(which)));
    enliven(rows);
    box.querySelector(".notices").replaceWith(notices);
    const added = list.add([...rows.children]);
    next.querySelector(".newest")?.remove();
    const focused = document.activeElement === link;
    after.replaceWith(next);
    if (focused) added[0]?.querySelector("a").focus({ preventScroll: true });
  } catch (err) {
    if (!(err instanceof Problem)) throw err;
    link.removeAttribute("aria-busy");
    after.append(h("p", { class: "notice error", role: "alert" }, err.message));
  }
}

// older leads on from the last row, after others were let go.
function older() {
  const last = list.entries.at(-1);
  const until = new Date(last.start + 1); // what came in the same millisecond is there again
  if (Number.isNaN(until.getTime())) return;
  box.querySelector(".after").replaceChildren(h("a", { class: "button newest", href: address({ since: null, live: null, until: until.toISOString() }) }, "Older traces"));
}

function startLive() {
  const live = document.getElementById("live");
  if (!live) return;
  new Live({
    button: live, says: document.getElementById("live-says"), pill: document.getElementById("pill"), list, enliven: (rows) => rows.forEach(enliven), older,
    more: () => Boolean(box.querySelector(".more, .newest")),
    // Rows must not move when the page is scrolled, or somebody points at one or has gone to it with the keyboard.
    looking: () => scrollY > 4 || mouseOver || list.element.contains(document.activeElement),
  });
}

// awaitFirst shows the first trace of all when it comes.
function awaitFirst() {
  const look = async () => {
    if (!document.hidden) {
      try {
        const services = await (await ask("/api/v1/services")).json();
        if (services.length > 0) {
          location.reload();
          return;
        }
      } catch (err) {
        if (!(err instanceof Problem)) throw err; // the server may come back
      }
    }
    setTimeout(look, 2000);
  };
  look();
}

const form = document.getElementById("search");
if (form) searchForm(form);
if (document.getElementById("unused")) awaitFirst();
if (box) {
  start();
  startLive();
}
