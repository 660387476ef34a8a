// What every page does: times in the reader's zone, service colours, dark and light, buttons that copy.
import { paintServices } from "./colours.js";
import { localTimes } from "./format.js";
import { copyButtons } from "./dom.js";

// enliven does it for a part of a page that has come later as well.
export function enliven(root) {
  localTimes(root);
  paintServices(root);
  copyButtons(root);
}

function theme() {
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const button = document.getElementById("theme");
  const say = () => button.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours");
  say();
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    document.cookie = `spanlake_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
    say();
    document.dispatchEvent(new Event("themechange"));
  });
}

theme();
enliven(document);
