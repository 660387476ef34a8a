// The page for SQL: runs the query of the editor, and shows its rows as they come.
import { ask, data, h, Problem } from "./dom.js";
import { bytes, count, noun } from "./format.js";
import { Result } from "./sqlresult.js";

const limits = data("limits");
const editor = document.getElementById("sql-query");
const cancelButton = document.getElementById("sql-cancel");
const linkButton = document.getElementById("sql-link");
const ticker = document.getElementById("sql-ticker");
const status = document.getElementById("sql-status");
const place = document.getElementById("sql-result");

// running is the query that runs: its abort, and when it began.
let running = null;

// longestAddress is what servers and proxies take; a longer query has no link.
const longestAddress = 16_000;

const address = (query) => `/sql?${new URLSearchParams({ q: query })}`;

// lines are the lines of a stream as objects, a batch for each piece that arrives.
async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const all = (rest + value).split("\n");
    rest = all.pop();
    yield all.filter(Boolean).map((line) => JSON.parse(line));
  }
  if (rest.trim()) yield [JSON.parse(rest)];
}

async function run() {
  const query = editor.value;
  if (!query.trim()) {
    editor.focus();
    return;
  }
  running?.abort.abort();
  const mine = { abort: new AbortController(), began: performance.now(), result: new Result(limits.shown) };
  running = mine;
  const here = address(query);
  if (location.pathname + location.search !== here && here.length <= longestAddress) history.pushState(null, "", here);
  markExample();
  began(mine);
  try {
    const answer = await ask("/api/v1/sql", {
      method: "POST", signal: mine.abort.signal, headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ query, max_rows: limits.rows, max_bytes: limits.bytes }),
    });
    for await (const batch of lines(answer.body)) {
      for (const line of batch) take(mine.result, line);
      if (running !== mine) return;
      mine.result.draw();
    }
    if (!mine.result.end) throw new Problem("The answer was cut off before its end: the server was stopped, or the connection was lost.", 0);
    finished(mine);
  } catch (err) {
    if (running !== mine) return; // the next query has begun
    failed(mine, err);
  } finally {
    clearInterval(mine.timer);
  }
  running = null;
  idle();
}

// take puts a line of the answer where it belongs.
function take(result, line) {
  if (line.columns) {
    result.begin(line.columns);
    place.replaceChildren(result.element);
  } else if (line.row) result.add(line.row);
  else if (line.end) result.end = line.end;
  else if (line.error) throw new Problem(line.error.detail ?? line.error.title, line.error.status);
}

function began(mine) {
  cancelButton.hidden = false;
  place.setAttribute("aria-busy", "true");
  place.replaceChildren();
  say("The query runs.");
  mine.timer = setInterval(() => {
    const rows = mine.result.rows.length;
    ticker.textContent = `${elapsed(mine)}${rows > 0 ? ` · ${noun(rows, "row")}` : ""}`;
  }, 100);
}

function idle() {
  cancelButton.hidden = true;
  ticker.textContent = "";
  place.removeAttribute("aria-busy");
}

function elapsed(mine) {
  const ms = performance.now() - mine.began;
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function finished(mine) {
  const { result } = mine;
  const notes = [];
  if (result.end.truncated) {
    const limit = result.rows.length >= limits.rows ? `${count(limits.rows)} rows` : bytes(limits.bytes);
    notes.push(h("p", { class: "notice warn" }, `There are more rows: the answer ends at ${limit}, which is as much as is sent. Add a LIMIT, or ask for less of each row.`));
  }
  const text = `${noun(result.rows.length, "row")} in ${elapsed(mine)}`;
  result.finish(text, notes);
  say(text + (result.end.truncated ? ", and there are more" : ""));
}

// failed says what went wrong, below the rows that came before it.
function failed(mine, err) {
  const { result } = mine;
  const rows = result.rows.length > 0 ? `, after ${noun(result.rows.length, "row")}` : "";
  const cancelled = err.name === "AbortError";
  const title = cancelled ? `Cancelled after ${elapsed(mine)}${rows}.` : `The query failed${rows}.`;
  const message = cancelled || !err.message ? null : h("pre", {}, err.message);
  const notice = h("div", { class: `notice ${cancelled ? "warn" : "error"} sql-error` }, h("b", {}, title), message);
  if (result.rows.length > 0) result.finish("Not complete", [notice]);
  else place.replaceChildren(notice);
  say(cancelled ? title : `${title} ${err.message}`);
}

function say(text) {
  status.textContent = text;
}

// insert puts a name where the cursor is, with spaces around it where words would run together.
function insert(name) {
  const { selectionStart: from, selectionEnd: to, value } = editor;
  const before = from > 0 && /[\w"]/.test(value[from - 1]) ? " " : "";
  const after = to < value.length && /[\w"]/.test(value[to]) ? " " : "";
  editor.setRangeText(before + name + after, from, to, "end");
  editor.focus();
  markExample();
}

// fill shows another query. It runs when the reader says so.
function fill(query) {
  editor.value = query;
  resize();
  markExample();
}

function markExample() {
  for (const link of document.querySelectorAll(".sql-examples a")) {
    if (link.dataset.query === editor.value) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

// resize makes the editor as high as the query, within bounds. It never makes it smaller: the reader may have.
function resize() {
  const wanted = Math.min(Math.max(editor.value.split("\n").length + 1, 9), 24);
  if (wanted > editor.rows) editor.rows = wanted;
}

document.getElementById("sql-form").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
editor.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  }
});
editor.addEventListener("input", markExample);
cancelButton.addEventListener("click", () => running?.abort.abort());
linkButton.addEventListener("click", async () => {
  const label = linkButton.textContent;
  try {
    await navigator.clipboard.writeText(location.origin + address(editor.value));
    linkButton.textContent = "Copied";
  } catch {
    linkButton.textContent = "Not allowed here"; // browsers copy on https and localhost only
  }
  setTimeout(() => (linkButton.textContent = label), 1500);
});
document.addEventListener("click", (event) => {
  const name = event.target.closest("button[data-insert]");
  if (name) insert(name.dataset.insert);
  const example = event.target.closest("a[data-query]");
  if (example && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    history.pushState(null, "", example.getAttribute("href"));
    fill(example.dataset.query);
    editor.focus({ preventScroll: true });
  }
});
window.addEventListener("popstate", () => {
  const query = new URLSearchParams(location.search).get("q");
  if (query !== null) fill(query);
});
if (matchMedia("(max-width: 960px)").matches) document.querySelector(".sql-list").open = false;
resize();
markExample();
linkButton.hidden = false;
