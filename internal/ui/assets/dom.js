// Making elements, and asking the server for parts of pages.

// h makes an element. Texts become text nodes, never HTML: what a span says stays text.
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// svg does the same for SVG.
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// data is what a page has for its module, in <script type="application/json" id="...">.
export function data(id) {
  const element = document.getElementById(id);
  return element ? JSON.parse(element.textContent) : null;
}

// Problem is an answer that is none; its message is for people.
export class Problem extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// ask fetches from this server. A session that has ended leads to the login.
export async function ask(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, { ...options, headers: { "Spanlake-Part": "1", ...options.headers } });
  } catch (err) {
    if (err.name === "AbortError") throw err;
    throw new Problem("The server does not answer. Is it running?", 0);
  }
  if (answer.status === 401) {
    location.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
    throw new Problem("The session has ended: log in again.", 401);
  }
  if (!answer.ok) throw new Problem(await reason(answer), answer.status);
  return answer;
}

// reason reads a problem (RFC 9457), or the text of a page.
async function reason(answer) {
  const text = await answer.text();
  if ((answer.headers.get("Content-Type") ?? "").includes("json")) {
    try {
      const problem = JSON.parse(text);
      const details = (problem.errors ?? []).map((e) => `${e.location ?? ""} ${e.message ?? ""}`.trim());
      return [problem.detail ?? problem.title, ...details].filter(Boolean).join(": ");
    } catch {
      return text;
    }
  }
  const page = new DOMParser().parseFromString(text, "text/html");
  return page.querySelector(".trouble p")?.textContent ?? page.body.textContent.trim() ?? `Status ${answer.status}`;
}

// part is a piece of a page that the server makes. It is parsed without running anything.
export async function part(url, options) {
  const answer = await ask(url, options);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return [...page.body.childNodes].map((node) => document.importNode(node, true));
}

// post changes something through the API.
export function post(url, body) {
  return ask(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });
}

// copyButtons gives everything of class copy a button, and has those with data-copy copy that.
export function copyButtons(root) {
  for (const box of root.querySelectorAll(".copy:not(.has-copy)")) {
    box.classList.add("has-copy");
    const text = box.textContent;
    const wrapper = h("div", { class: "copy-box" });
    box.replaceWith(wrapper);
    wrapper.append(box, h("button", { type: "button", class: "copy-button", onclick: (e) => copy(e.currentTarget, text) }, "Copy"));
  }
  for (const button of root.querySelectorAll("button[data-copy]:not(.has-copy)")) {
    button.classList.add("has-copy");
    button.addEventListener("click", () => copy(button, button.dataset.copy));
  }
}

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed here"; // browsers copy on https and localhost only
  }
  setTimeout(() => (button.textContent = label), 1500);
}
