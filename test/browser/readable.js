// What makes a page hard to read or to use, as a list of sentences. It runs in the page.
(() => {
  const found = [];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const paint = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const layer = rgba(getComputedStyle(e).backgroundColor);
      layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && e.getClientRects().length > 0;
  const name = (e) => `${e.tagName.toLowerCase()}${e.id ? "#" + e.id : ""}${typeof e.className === "string" && e.className ? "." + e.className.split(" ").join(".") : ""}`;

  // Texts: WCAG 2.2, 1.4.3.
  const seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement;
    if (!node.textContent.trim() || seen.has(e) || !shown(e) || e.closest("script, [disabled], option, datalist, title")) continue;
    seen.add(e);
    const style = getComputedStyle(e);
    const inSVG = e instanceof SVGElement;
    if (e.closest("[data-contrast-unknown]")) continue; // a label on what is no element around it; a test of its own looks at it
    const back = behind(inSVG ? e.closest("svg").parentElement : e);
    const got = contrast(over(rgba(inSVG ? style.fill : style.color), back), back);
    const size = parseFloat(style.fontSize);
    const need = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (got < need - 0.01) found.push(`the text "${node.textContent.trim().slice(0, 40)}" in ${name(e)} has a contrast of ${got.toFixed(2)}`);
  }

  // Names of what is used: 4.1.2.
  for (const e of document.querySelectorAll("button, a[href], input:not([type=hidden]), select, textarea, [role=button], [role=treegrid], [tabindex='0']")) {
    if (!shown(e)) continue;
    const label = e.labels?.length ? [...e.labels].map((l) => l.textContent).join(" ") : "";
    const by = (e.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
    const says = [label, by, e.getAttribute("aria-label"), e.textContent, e.getAttribute("title"), e.querySelector("img")?.alt].join("").trim();
    if (!says) found.push(`${name(e)} has no name`);
  }
  for (const e of document.querySelectorAll("img:not([alt])")) found.push(`${name(e)} has no alt`);

  const ids = new Map();
  for (const e of document.querySelectorAll("[id]")) ids.set(e.id, (ids.get(e.id) ?? 0) + 1);
  for (const [id, n] of ids) if (n > 1) found.push(`${n} elements have the id ${id}`);
  if (!document.documentElement.lang) found.push("the page has no language");
  if (document.querySelectorAll("main").length !== 1) found.push("there is not one main");
  if (document.querySelectorAll("h1").length !== 1) found.push(`there are ${document.querySelectorAll("h1").length} h1`);
  return found.slice(0, 30);
})();
