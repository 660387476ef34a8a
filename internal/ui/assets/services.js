// The pages of services: charts of one, and the parts of a page that take longer.
import { enliven } from "./app.js";
import { Group, durationTicks } from "./charts.js";
import { data, h, part } from "./dom.js";
import { duration } from "./format.js";

const number = (n) => (n === 0 ? "0" : n >= 1e6 ? `${trim(n / 1e6)}M` : n >= 1e4 ? `${trim(n / 1e3)}k` : trim(n));
const trim = (n) => String(Number(n.toPrecision(n >= 100 ? 4 : 3)));
const percent = (n) => `${trim(n * 100)} %`;
// shortDuration is an axis label: 2s rather than 2.00s.
const shortDuration = (ns) => (ns === 0 ? "0" : duration(ns).replace(/\.?0+(?=[a-zµ]+$)/, (zeros) => (zeros.startsWith(".") ? "" : zeros)));

function charts() {
  const all = data("chart-data");
  if (!all) return;
  const open = (i) => {
    const end = Math.min(all.times[i] + all.step, all.until);
    const time = (ms) => encodeURIComponent(new Date(ms).toISOString());
    location.href = `${all.traces}&from=${time(Math.max(all.times[i], all.from))}&until=${time(end)}`;
  };
  const group = new Group({ ...all, open });
  const at = (name) => document.querySelector(`[data-chart="${name}"]`);
  group.add(at("rate"), {
    label: "Spans per second",
    format: number,
    series: [
      { name: "all", class: "all", values: all.rate, kind: "bars" },
      { name: "errors", class: "bad", values: all.errorRate, kind: "bars" },
    ],
  });
  group.add(at("share"), {
    label: "Errors in percent",
    format: percent,
    most: 0.01,
    series: [{ name: "errors", class: "bad", values: all.share, kind: "area" }],
  });
  group.add(at("durations"), {
    label: "Durations",
    format: shortDuration,
    ticks: durationTicks,
    series: [
      { name: "p99", class: "p99", values: all.p99, kind: "line" },
      { name: "p95", class: "p95", values: all.p95, kind: "line" },
      { name: "p50", class: "p50", values: all.p50, kind: "line" },
    ],
  });
}

// later gets the parts of a page that take longer.
async function later(place) {
  place.setAttribute("aria-busy", "true");
  try {
    place.replaceChildren(...(await part(place.dataset.later)));
    enliven(place);
    for (const map of place.querySelectorAll("svg.map")) brighten(map);
  } catch (err) {
    const again = h("button", { type: "button", onclick: () => later(place) }, "Try again");
    place.replaceChildren(h("p", { class: "notice error", role: "alert" }, err.message), again);
  }
  place.removeAttribute("aria-busy");
}

// sparks gets the small pictures of a table of services. It can be read without them.
async function sparks(table) {
  const cells = new Map([...table.querySelectorAll("[data-spark]")].map((cell) => [cell.dataset.spark, cell]));
  try {
    for (const one of await part(table.dataset.sparks)) cells.get(one.dataset?.of)?.replaceChildren(...one.children);
  } catch (err) {
    const notice = h("p", { class: "notice warn", role: "alert" }, `There are no pictures of the services: ${err.message}`);
    table.closest(".card").append(notice);
  }
}

// brighten dims what is not about the service under the mouse or the focus.
function brighten(map) {
  const lines = [...map.querySelectorAll(".line")];
  const nodes = [...map.querySelectorAll(".node")];
  const about = (service) => {
    map.classList.toggle("dimmed", service !== null);
    const near = new Set([service]);
    for (const line of lines) {
      const { from, to } = line.dataset;
      const on = from === service || to === service;
      line.classList.toggle("on", on);
      if (on) near.add(from).add(to);
    }
    for (const node of nodes) node.classList.toggle("on", near.has(node.dataset.service));
  };
  for (const node of nodes) {
    for (const event of ["pointerenter", "focus"]) node.addEventListener(event, () => about(node.dataset.service));
    for (const event of ["pointerleave", "blur"]) node.addEventListener(event, () => about(null));
  }
}

charts();
for (const map of document.querySelectorAll("svg.map")) brighten(map);
for (const table of document.querySelectorAll("[data-sparks]")) sparks(table);
for (const place of document.querySelectorAll("[data-later]")) later(place);
