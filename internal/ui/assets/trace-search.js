// Search within a trace: names, services, messages and ids are here, attributes, events and links are asked for.
import { ask } from "./dom.js";
import { count } from "./format.js";

export function search(trace, go) {
  const field = document.getElementById("find"), found = document.getElementById("found");
  const buttons = [document.getElementById("find-previous"), document.getElementById("find-next")];
  let asked = null, timer = 0, last = "";

  const say = (problem = "") => {
    const n = trace.found.length, place = trace.found.indexOf(trace.active);
    if (problem) found.textContent = problem;
    else if (!trace.query) found.textContent = "";
    else if (n === 0) found.textContent = asked ? "searching" : "no match";
    else found.textContent = place < 0 ? matchCount(n) : `${count(place + 1)} of ${count(n)}`;
    for (const button of buttons) button.hidden = n === 0;
  };
  trace.on(["active", "found"], () => say());

  const look = async () => {
    const query = field.value.trim();
    if (query === last) return;
    last = query;
    asked?.abort();
    asked = null;
    if (!query) {
      trace.find("", []);
      return;
    }
    const here = matches(trace, query.toLowerCase());
    const asking = (asked = new AbortController());
    trace.find(query.toLowerCase(), here);
    try {
      const answer = await ask(`/traces/${encodeURIComponent(trace.id)}/search?q=${encodeURIComponent(query)}`, { signal: asking.signal });
      const ids = new Set((await answer.json()).spans);
      const all = new Set(here);
      for (let i = 0; i < trace.count; i++) if (ids.has(trace.d.id[i])) all.add(i);
      asked = null;
      trace.find(query.toLowerCase(), [...all].sort((a, b) => a - b));
    } catch (err) {
      if (err.name === "AbortError") return;
      asked = null;
      say(`${matchCount(here.length)}; attributes could not be searched: ${err.message}`);
    }
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(look, 150);
  };
  // step goes to the next match, or the one before; what is still being typed is searched for first.
  const step = async (forward) => {
    clearTimeout(timer);
    await look();
    const i = trace.next(trace.found, forward);
    if (i >= 0) go(i);
  };

  field.addEventListener("input", soon);
  field.addEventListener("keydown", (e) => {
    if (e.key === "Enter") {
      e.preventDefault();
      step(!e.shiftKey);
    } else if (e.key === "Escape") {
      field.value = "";
      look();
      go(trace.active);
    } else if (e.key === "ArrowDown") {
      e.preventDefault();
      go(trace.active);
    }
  });
  buttons[0].addEventListener("click", () => step(false));
  buttons[1].addEventListener("click", () => step(true));
  for (const button of document.querySelectorAll("[data-find]")) {
    button.addEventListener("click", () => {
      field.value = button.dataset.find;
      step(true);
    });
  }
  return { field, step, look };
}

const matchCount = (n) => `${count(n)} ${n === 1 ? "match" : "matches"}`;

function matches(trace, query) {
  const names = trace.d.names.map((name) => name.toLowerCase().includes(query));
  const services = trace.d.services.map((name) => name.toLowerCase().includes(query));
  const models = trace.d.models.map((name) => name.toLowerCase().includes(query));
  const all = [];
  for (let i = 0; i < trace.count; i++) {
    if (names[trace.d.name[i]] || services[trace.d.service[i]] || trace.d.id[i].includes(query) || trace.message(i).toLowerCase().includes(query) ||
      models[trace.d.tokens[i]?.[2]]) all.push(i);
  }
  return all;
}
