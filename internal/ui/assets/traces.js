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
const hover = matchMedia("(hover: hover)");
let list;

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
  for (const event of ["pointerover", "focusin"]) {
    list.element.addEventListener(event, (e) => mark(list.keyOf(e.target.closest("li"))));
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
  box.querySelector(".after").replaceChildren(h("a", { class: "button newest", href: address({ since: null, live: null, until: last.at }) }, "Older traces"));
}

function startLive() {
  const live = document.getElementById("live");
  if (!live) return;
  new Live({
    button: live, says: document.getElementById("live-says"), pill: document.getElementById("pill"), list, enliven: (rows) => rows.forEach(enliven), older,
    more: () => Boolean(box.querySelector(".more, .newest")),
    // Rows must not move when the page is scrolled, or somebody points at one or has gone to it with the keyboard.
    looking: () => scrollY > 4 || (hover.matches && Boolean(document.querySelector("#list ol:hover, #plot:hover"))) || list.element.contains(document.activeElement),
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

searchForm(document.getElementById("search"));
if (document.getElementById("unused")) awaitFirst();
if (box) {
  start();
  startLive();
}
