// The panel beside the waterfall: the detail of one span, which the server makes.
import { enliven } from "./app.js";
import { h, part } from "./dom.js";

const wait = 120; // milliseconds: who holds an arrow key down asks for the last span only

export function detail(trace, close) {
  const panel = document.getElementById("detail"), divider = document.getElementById("divider"), split = document.getElementById("split");
  const body = h("div", { class: "wf-detail-body" });
  panel.append(h("div", { class: "wf-detail-bar" }, h("button", { type: "button", class: "quiet", id: "close-detail", title: "Close (Escape)", onclick: close }, "Close ✕")), body);
  let asked = null, timer = 0;

  const load = async (i) => {
    asked?.abort();
    const asking = (asked = new AbortController());
    panel.setAttribute("aria-busy", "true");
    try {
      const nodes = await part(`/traces/${encodeURIComponent(trace.id)}/spans/${encodeURIComponent(trace.d.id[i])}`, { signal: asking.signal });
      if (asked !== asking) return;
      body.replaceChildren(...nodes);
    } catch (err) {
      if (err.name === "AbortError" || asked !== asking) return;
      body.replaceChildren(h("p", { class: "notice error", role: "alert" }, err.message));
    }
    panel.scrollTop = 0;
    panel.removeAttribute("aria-busy");
    enliven(panel);
    panel.dispatchEvent(new CustomEvent("spanloaded", { bubbles: true }));
  };
  trace.on(["selected"], () => {
    const open = trace.selected >= 0, was = !panel.hidden;
    panel.hidden = divider.hidden = !open;
    split.classList.toggle("wf-open", open);
    clearTimeout(timer);
    if (!open) {
      asked?.abort();
      body.replaceChildren();
    } else if (was) {
      timer = setTimeout(load, wait, trace.selected);
    } else {
      load(trace.selected);
    }
  });
  resizable(divider, "spanlake_detail", (share) => split.style.setProperty("--detail", `${share}%`), (x) => {
    const box = split.getBoundingClientRect();
    return Math.min(Math.max(((box.right - x) / box.width) * 100, 20), 75);
  });
  return panel;
}

// resizable has a divider set a size, with the mouse or arrow keys, and remembers it. at turns a place on the screen into the size.
export function resizable(divider, name, set, at) {
  const apply = (size) => {
    set(size);
    divider.setAttribute("aria-valuenow", Math.round(size));
  };
  const keep = (size) => {
    apply(size);
    try {
      localStorage.setItem(name, size);
    } catch {
      // a browser that keeps nothing
    }
  };
  try {
    const kept = Number(localStorage.getItem(name));
    if (kept > 0) apply(kept);
  } catch {
    // the same
  }
  divider.addEventListener("pointerdown", (down) => {
    down.preventDefault();
    divider.setPointerCapture(down.pointerId);
    const move = (e) => keep(at(e.clientX));
    divider.addEventListener("pointermove", move);
    const end = () => divider.removeEventListener("pointermove", move);
    divider.addEventListener("pointerup", end, { once: true });
    divider.addEventListener("pointercancel", end, { once: true });
  });
  divider.addEventListener("keydown", (e) => {
    const by = { ArrowLeft: -24, ArrowRight: 24 }[e.key];
    if (!by) return;
    e.preventDefault();
    e.stopPropagation();
    const box = divider.getBoundingClientRect();
    keep(at(box.left + box.width / 2 + by));
  });
}
