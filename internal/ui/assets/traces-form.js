// The search form: only fields that say something go into the address, times are those of the reader, conditions come and go.
import { h } from "./dom.js";
import { local } from "./format.js";

export function searchForm(form) {
  for (const name of ["from", "until"]) readersTime(form, form.elements[name]);
  chooseTime(form);
  conditions(form.querySelector(".conditions"));
  form.addEventListener("formdata", ({ formData }) => {
    for (const [name, value] of [...formData]) {
      if (value === "" && name !== "attribute") formData.delete(name);
    }
    const attributes = formData.getAll("attribute").filter((text) => text !== "");
    formData.delete("attribute");
    for (const text of attributes) formData.append("attribute", text);
    if (!formData.has("name") || formData.get("name_match") === "exact") formData.delete("name_match");
    if (formData.get("limit") === "50") formData.delete("limit");
    if (formData.get("since") === "custom") formData.delete("since");
  });
}

// readersTime has a time typed in the reader's zone and sent in UTC. What was typed as something else stays as it is.
function readersTime(form, field) {
  const date = new Date(field.value);
  if (field.value !== "" && Number.isNaN(date.getTime())) return;
  const sent = h("input", { type: "hidden", name: field.name, value: field.value });
  field.removeAttribute("name");
  field.removeAttribute("placeholder");
  field.value = "";
  field.type = "datetime-local";
  field.step = "0.001";
  field.value = sent.value === "" ? "" : local(date).replace(" ", "T");
  field.title = "In your time zone";
  field.after(sent);
  field.addEventListener("input", () => {
    const typed = new Date(field.value);
    sent.value = field.value === "" || Number.isNaN(typed.getTime()) ? "" : typed.toISOString();
    if (sent.value !== "") form.elements.since.value = "custom";
  });
  field.clearTime = () => {
    field.value = "";
    sent.value = "";
  };
}

// chooseTime has either a quick range or times.
function chooseTime(form) {
  const since = form.elements.since;
  const more = document.getElementById("more-filters");
  const fields = [...more.querySelectorAll("input[type=datetime-local]")];
  since.append(h("option", { value: "custom" }, "Custom…"));
  if (fields.some((field) => field.value !== "") && since.value === "") since.value = "custom";
  since.addEventListener("change", () => {
    if (since.value === "custom") {
      more.open = true;
      fields[0]?.focus();
    } else {
      for (const field of fields) field.clearTime();
    }
  });
}

const mostConditions = 16;

// conditions has an empty field after those that are filled, and a button on each that takes it away.
function conditions(box) {
  const extend = () => {
    const fields = [...box.querySelectorAll("input")];
    if (fields.at(-1)?.value !== "" && fields.length < mostConditions) box.append(condition(fields.at(-1)));
    for (const field of box.querySelectorAll("input")) removable(box, field);
  };
  box.addEventListener("input", extend);
  extend();
}

function condition(like) {
  return h("input", { name: "attribute", "aria-label": "Attribute", placeholder: like?.placeholder || "key=value, or key", spellcheck: "false", autocomplete: "off", list: "keys" });
}

function removable(box, field) {
  const wrapper = field.closest(".condition");
  if (field.value === "" || wrapper) {
    if (wrapper) wrapper.querySelector("button").hidden = field.value === "";
    return;
  }
  const focused = document.activeElement === field;
  const around = h("span", { class: "condition" });
  field.replaceWith(around);
  around.append(field, h("button", {
    type: "button", class: "quiet", "aria-label": "Remove this condition", onclick: () => {
      around.remove();
      if (box.querySelectorAll("input").length === 0) box.append(condition());
      box.querySelector("input:last-of-type")?.focus();
    },
  }, "×"));
  if (focused) field.focus();
}
