// Colours of services: the same on all pages. The server numbers them; one that came later gets a number by its name.
import { data } from "./dom.js";

const count = 20; // as many as app.css has

let numbers = null;

export function colour(service) {
  numbers ??= data("colours") ?? {};
  if (Object.hasOwn(numbers, service)) return numbers[service];
  let hash = 2166136261;
  for (const c of service) hash = Math.imul(hash ^ c.codePointAt(0), 16777619);
  return (hash >>> 0) % count;
}

// colourClass sets --service for an element and what is in it.
export const colourClass = (service) => `c${colour(service)}`;

export function paintServices(root) {
  for (const element of root.querySelectorAll("[data-service]:not(.painted)")) {
    element.classList.add("painted", colourClass(element.dataset.service));
  }
}
