// Elements without markup in strings: what a file or an answer says is only ever text.

/** An element: `h("a", { href: "docs", class: "x", onclick: f }, "text", child)`. null and false leave a thing out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** A button that does one thing at a time. Unlike a disabled one it keeps the focus, for whoever works by keyboard. */
export function onPress(button, run) {
  button.addEventListener("click", async () => {
    if (button.hasAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");
    try {
      await run();
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
}

export const byId = (id) => document.getElementById(id);

/** Draw into an SVG at its width in pixels, and again whenever that changes; text keeps its size so. */
export function drawn(height, label, draw) {
  const svg = s("svg", { role: "img", "aria-label": label, height, width: "100%", class: "plot" });
  let last = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width === last || width === 0) return;
    last = width;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren(...draw(width, height));
  }).observe(svg);
  return svg;
}

/** A table that scrolls by itself where the page is narrow. Cells of `rows` are elements. */
export function table(label, head, rows, attributes = {}) {
  const columns = head.map((title) => h("th", { scope: "col" }, title));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", attributes, h("thead", {}, h("tr", {}, columns)), h("tbody", {}, rows)),
  );
}

/** Terms and what they are. */
export function terms(entries) {
  return h(
    "dl",
    { class: "facts" },
    entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** Say something to whoever listens to the page instead of looking at it. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** Let a person save something. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
