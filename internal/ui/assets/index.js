// The page of the index follows what happens, and has failed files tried again.
import { enliven } from "./app.js";
import { h, part, post } from "./dom.js";

const usual = 5000; // milliseconds between two looks
const hurried = 400; // while somebody waits for a file
const patience = 60000;

const status = document.getElementById("status");
const said = document.getElementById("said");
const seen = new Map(); // what a section was when it came, by its id
const waiting = new Map(); // what a failed file was when it was retried, by its path
let timer = 0;
let looking = false;

const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function localHours(root) {
  for (const element of root.querySelectorAll("[data-hour]")) element.textContent = hour.format(new Date(element.dataset.hour));
  for (const step of root.querySelectorAll(".step")) {
    step.querySelector("title").textContent = `${hour.format(new Date(step.dataset.at))}: ${step.dataset.text}`;
  }
}

// say puts a line above the page, which is read aloud as well.
function say(text, kind = "ok") {
  said.replaceChildren(text && h("span", { class: `notice ${kind}` }, text));
}

// look gets the status, and puts those sections in that have changed.
async function look() {
  clearTimeout(timer);
  if (looking || document.hidden) return;
  looking = true;
  try {
    for (const section of await part("/index/status")) if (section.id) replace(section);
    status.classList.remove("old");
    document.getElementById("gone")?.remove();
    outcomes();
  } catch (err) {
    stale(err.message);
  }
  looking = false;
  timer = setTimeout(look, waiting.size ? hurried : usual);
}

// stale says that what is to be seen is old.
function stale(why) {
  status.classList.add("old");
  if (document.getElementById("gone")) return;
  status.before(h("p", { id: "gone", class: "notice error", role: "alert" }, `${why} What you see is from ${new Date().toLocaleTimeString()}.`));
}

function replace(section) {
  const text = section.outerHTML;
  if (seen.get(section.id) === text) return;
  seen.set(section.id, text);
  const old = document.getElementById(section.id);
  const focused = old.contains(document.activeElement) ? document.activeElement.dataset : null;
  const scrolled = [...old.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  old.replaceWith(section);
  enliven(section);
  localHours(section);
  [...section.querySelectorAll(".scroll")].forEach((box, i) => (box.scrollLeft = scrolled[i] ?? 0));
  if (focused?.retry !== undefined) [...section.querySelectorAll("[data-retry]")].find((b) => b.dataset.retry === focused.retry)?.focus();
}

const rows = () => new Map([...document.querySelectorAll("#failed tr[data-path]")].map((row) => [row.dataset.path, row]));

// outcomes tells what became of the files that were retried.
function outcomes() {
  const now = rows();
  for (const [path, was] of waiting) {
    const row = now.get(path);
    const again = row && row.dataset.tries !== was.tries && !row.querySelector("button")?.disabled;
    if (!row) say(`${path} has not failed this time: it is indexed, or gone.`);
    else if (again) say(`${path} has failed again: ${row.querySelector(".message").textContent}`, "error");
    else if (Date.now() - was.at > patience) say(`${path} has not been tried yet: the indexer is busy.`, "warn");
    else continue;
    waiting.delete(path);
    if (again) row.classList.add("fade");
  }
}

function wait(row) {
  waiting.set(row.dataset.path, { tries: row.dataset.tries, at: Date.now() });
  const button = row.querySelector("button");
  button.disabled = true;
  button.textContent = "Trying …";
}

// retry has files tried again.
async function retry(chosen, body) {
  say("");
  for (const row of chosen) wait(row);
  try {
    await post("/api/v1/failed/retry", body);
  } catch (err) {
    for (const row of chosen) waiting.delete(row.dataset.path);
    // Meanwhile it may have changed and been taken in by itself.
    if (err.status === 404) say(`${body.file_path} is no longer among the failed files.`);
    else say(err.message, "error");
    seen.clear();
  }
  look();
}

status.addEventListener("click", (e) => {
  const button = e.target.closest("button");
  if (button?.dataset.retry !== undefined) retry([button.closest("tr")], { file_path: button.dataset.retry });
  else if (button?.dataset.retryAll !== undefined) retry([...rows().values()], { all: true });
});
document.addEventListener("visibilitychange", look);
localHours(document);
timer = setTimeout(look, usual);
