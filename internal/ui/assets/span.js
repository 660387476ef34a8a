// What the detail of a span does beyond plain HTML. It comes and goes while a page is open: the document listens for all of them.
document.addEventListener("click", (e) => {
  const button = e.target.closest?.("button[data-copy-value]");
  if (button) copyValue(button);
});

// copyValue copies what is beside a button as it was sent: of JSON the text, and of a folded text all of it.
async function copyValue(button) {
  const box = button.closest(".copyable");
  const source = box?.querySelector("[data-source] [data-whole]") ?? box?.querySelector("[data-whole]");
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(source?.textContent ?? "");
    button.textContent = "copied";
  } catch {
    button.textContent = "not allowed here"; // browsers copy on https and localhost only
  }
  setTimeout(() => (button.textContent = label), 1500);
}
