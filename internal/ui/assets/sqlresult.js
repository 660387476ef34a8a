// The rows of a query: as a table, as CSV and as text for a spreadsheet.
import { h } from "./dom.js";
import { count } from "./format.js";

// longest is how much of a value is shown before the reader asks for the rest.
const longest = 400;

// Result keeps all rows and shows the first ones; the reader asks for more.
export class Result {
  constructor(step) {
    this.step = step;
    this.most = step;
    this.columns = [];
    this.rows = [];
    this.drawn = 0;
    this.end = null;
  }

  // begin makes the table, without rows.
  begin(columns) {
    this.columns = columns;
    this.traceAt = columns.indexOf("trace_id");
    this.numbers = null;
    this.head = h("tr", {});
    this.body = h("tbody", {});
    this.summary = h("b", {}, "");
    this.tools = h("span", { class: "sql-tools" });
    this.notes = h("div", {});
    this.more = h("div", { class: "sql-more", hidden: true });
    const table = h("table", {}, h("thead", {}, this.head), this.body);
    this.element = h("section", { class: "card sql-out", "aria-label": "Result" },
      h("div", { class: "sql-bar" }, this.summary, h("span", { class: "spring" }), this.tools), this.notes,
      h("div", { class: "sql-rows", tabindex: 0, role: "region", "aria-label": "Rows" }, table), this.more);
    this.head.append(...columns.map((name) => h("th", { scope: "col" }, name)));
  }

  add(row) {
    this.rows.push(row);
  }

  // draw shows the rows that have come since, up to the bound.
  draw() {
    if (!this.body || this.rows.length === 0) return;
    if (!this.numbers) this.align();
    const until = Math.min(this.rows.length, this.most);
    const fresh = [];
    for (; this.drawn < until; this.drawn++) fresh.push(this.line(this.rows[this.drawn]));
    this.body.append(...fresh);
    this.offer();
  }

  // align finds the columns that have numbers only, which stand to the right. The first rows decide it.
  align() {
    const number = /^-?(\d+(\.\d+)?(e[+-]?\d+)?|inf|nan)$/i;
    const first = this.rows.slice(0, 200);
    this.numbers = this.columns.map((_, at) => {
      const values = first.map((row) => row[at]).filter((value) => value !== null);
      return values.length > 0 && values.every((value) => number.test(value)) && !/(^|_)id$/.test(this.columns[at]);
    });
    [...this.head.children].forEach((th, at) => th.classList.toggle("number", this.numbers[at]));
  }

  line(row) {
    return h("tr", {}, row.map((value, at) => this.cell(value, at, row)));
  }

  cell(value, at, row) {
    if (value === null) return h("td", { class: this.numbers[at] ? "null number" : "null" }, "NULL");
    const link = this.link(value, at, row);
    if (link) return h("td", { class: "short mono" }, h("a", { href: link }, value));
    if (value.length <= longest) return h("td", { class: this.numbers[at] ? "number" : width(value) }, value);
    const text = document.createTextNode(value.slice(0, longest) + "…");
    const button = h("button", { type: "button", onclick: () => {
      text.data = value;
      button.remove();
    } }, `+${count(value.length - longest)} characters`);
    return h("td", { class: "long" }, text, button);
  }

  // link is where a trace or a span is shown.
  link(value, at, row) {
    const hex = (text, digits) => {
      const plain = (text ?? "").replaceAll("-", "").toLowerCase();
      return plain.length === digits && /^[0-9a-f]+$/.test(plain) ? plain : null;
    };
    const name = this.columns[at];
    if (name === "trace_id") {
      const trace = hex(value, 32);
      return trace && `/traces/${trace}`;
    }
    if ((name === "span_id" || name === "parent_span_id") && this.traceAt >= 0) {
      const trace = hex(row[this.traceAt], 32);
      const span = hex(value, 16);
      return trace && span && `/traces/${trace}?span=${span}`;
    }
    return null;
  }

  // offer says how many rows are not shown, and shows more of them.
  offer() {
    this.more.hidden = this.drawn >= this.rows.length;
    if (this.more.hidden) return;
    this.more.replaceChildren(`The first ${count(this.drawn)} of ${count(this.rows.length)} rows are shown. `,
      h("button", { type: "button", onclick: () => {
        this.most += this.step;
        this.draw();
      } }, `Show ${count(Math.min(this.step, this.rows.length - this.drawn))} more`));
  }

  // finish says how it ended and offers what has come.
  finish(summary, notes) {
    this.draw();
    this.summary.textContent = summary;
    this.notes.replaceChildren(...notes);
    if (this.rows.length === 0) {
      this.body.append(h("tr", {}, h("td", { class: "null", colspan: Math.max(this.columns.length, 1) }, "No rows")));
      return;
    }
    const copy = h("button", { type: "button", id: "sql-tsv", title: "For a spreadsheet: values between tabs", onclick: () => this.copy(copy) }, "Copy as TSV");
    this.tools.replaceChildren(copy, h("button", { type: "button", id: "sql-csv", onclick: () => this.download(),
      title: "All rows that have come. Values stay as they are, so import them as text if they could begin with = and you do not trust who sent them." }, "Download CSV"));
  }

  async copy(button) {
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText([this.columns, ...this.rows].map((row) => row.map(tsvValue).join("\t")).join("\n") + "\n");
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed here"; // browsers copy on https and localhost only
    }
    setTimeout(() => (button.textContent = label), 1500);
  }

  download() {
    const blob = new Blob(csv(this.columns, this.rows), { type: "text/csv;charset=utf-8" });
    const url = URL.createObjectURL(blob);
    const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
    h("a", { href: url, download: `spanlake-${stamp}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}

// width is the class of a cell that is as wide as its text can be read well.
function width(value) {
  if (value.length < 48 && !value.includes("\n")) return "short";
  return value.length < 150 ? "medium" : "long";
}

// csv is RFC 4180, in pieces. NULL is nothing, and an empty text is "" so that it can be told from it.
export function csv(columns, rows) {
  const line = (row) => row.map(csvValue).join(",") + "\r\n";
  const pieces = [line(columns)];
  for (let at = 0; at < rows.length; at += 1000) pieces.push(rows.slice(at, at + 1000).map(line).join(""));
  return pieces;
}

function csvValue(value) {
  if (value === null) return "";
  return value === "" || /[",\r\n]/.test(value) || value !== value.trim() ? `"${value.replaceAll('"', '""')}"` : value;
}

// tsvValue is a value as spreadsheets paste it.
function tsvValue(value) {
  if (value === null) return "";
  return /["\t\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}
