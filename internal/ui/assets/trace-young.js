// A trace that has just begun may get more spans: as long as it is young, their number is asked for, and a button shows them.
import { ask, h } from "./dom.js";
import { noun } from "./format.js";

const first = 3000, most = 10; // milliseconds to the first question, and how many there are at most, each later than the one before

export function young(trace) {
  if (!document.getElementById("young")) return;
  const news = document.getElementById("news");
  const look = async (times, wait) => {
    if (!document.hidden) {
      try {
        const answer = await ask(`/traces/${encodeURIComponent(trace.id)}/count`);
        const more = (await answer.json()).spans - trace.count;
        if (more > 0) {
          news.hidden = false;
          news.replaceChildren(`${noun(more, "more span")} ${more === 1 ? "has" : "have"} arrived. `, h("button", { type: "button", onclick: () => location.reload() }, "Reload"));
        }
      } catch {
        return; // what is shown stays right
      }
    }
    if (times < most) setTimeout(look, wait, times + 1, wait * 1.3);
  };
  setTimeout(look, first, 1, first);
}
