// False accepts against false rejects at every threshold: a line for each set of clips, or for each model, and the
// operating points.

import { axes, HEIGHT, shown } from "./det-axes.js";
import { lineInWords } from "./det-lines.js";
import { drawn, h, s } from "./dom.js";
import { named, percent } from "./format.js";
import { POINTS } from "./verdict.js";

// What tells lines apart besides where they are: none by colour.
const SHAPES = ["circle", "square", "triangle", "diamond", "cross"];
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 4"];

/** `lines` are det-lines.js's; `points` a manifest's operating points, to be drawn with their intervals. */
export function detPlot(lines, points = null) {
  const styled = lines.map((line, place) => ({
    ...line,
    shape: SHAPES[place % SHAPES.length],
    dash: DASHES[place % DASHES.length] || null,
  }));
  const label = [
    "False accepts against false rejects",
    ...lines.map(lineInWords),
    ...(points ? POINTS.map((name) => inWords(name, points[name])) : []),
  ].join(". ");
  return h(
    "figure",
    { class: "det" },
    drawn(HEIGHT, `${label}.`, (width) => draw(width, styled, points)),
    h(
      "figcaption",
      {},
      h(
        "ul",
        { class: "legend" },
        styled.map((line) => h("li", {}, swatch(line), h("span", {}, lineInWords(line)))),
      ),
      h("p", {}, caption(lines, points)),
    ),
  );
}

const inWords = (name, { false_accept_rate: accept, false_reject_rate: reject }) =>
  `${named(name)}: ${percent(accept)} and ${percent(reject)}`;

function caption(lines, points) {
  const whole = lines.filter((line) => line.whole).length;
  const sentences = [
    whole > 0 &&
      "A line is every threshold, each clip counting the same: it meets the dotted diagonal at its EER, and is level where the clips are too few to show less.",
    whole < lines.length &&
      "A line of three thresholds alone joins their marks, each attack and speaker counting the same: its whole curve was not published.",
    lines.length > 0 && "Marks on a line, from the right: low friction, balanced, high security.",
    points &&
      "● with bars: these as measured at publishing, each attack and speaker counting the same, with 95 % intervals for others.",
  ];
  return sentences.filter(Boolean).join(" ");
}

function draw(width, lines, points) {
  const { box, x, y, parts, clipped } = axes(width);
  const place = ([accept, reject]) => [x(shown(accept)), y(shown(reject))];
  const marks = [];
  for (const { whole, path, at, shape, dash } of lines) {
    const through = path.map((rates) => (whole ? [x(rates[0]), y(rates[1])] : place(rates)).join(","));
    const stroke = { stroke: "var(--accent)", "stroke-width": 1.8, "stroke-dasharray": dash };
    parts.push(clipped(s("polyline", { points: through.join(" "), fill: "none", ...stroke })));
    marks.push(at.map((rates) => mark(shape, ...place(rates))));
  }
  return [...parts, ...marks.flat(), ...(points ? POINTS.flatMap((name) => pointWithBars(name, points[name])) : [])];

  function pointWithBars(name, point) {
    const [across, up] = [point.false_accept_interval.map(shown).map(x), point.false_reject_interval.map(shown).map(y)];
    const [left, top] = place([point.false_accept_rate, point.false_reject_rate]);
    const bar = { stroke: "var(--ink)", opacity: 0.55, "stroke-width": 2 };
    return [
      s("line", { x1: across[0], x2: across[1], y1: top, y2: top, ...bar }),
      s("line", { x1: left, x2: left, y1: up[0], y2: up[1], ...bar }),
      s("circle", { cx: left, cy: top, r: 6, fill: "var(--ink)", stroke: "var(--surface)", "stroke-width": 2 }),
      pointName(name, left, top, box.right),
    ];
  }
}

function pointName(name, x, y, right) {
  const left = x > right - 100; // of its point
  const at = { x: x + (left ? -10 : 10), y: y - 9, "text-anchor": left ? "end" : "start" };
  return s("text", { ...at, class: "point applied" }, named(name));
}

function mark(shape, x, y) {
  const paint = { fill: "var(--surface)", stroke: "var(--accent)", "stroke-width": 1.8 };
  const polygon = (points) => s("polygon", { points, ...paint });
  switch (shape) {
    case "circle":
      return s("circle", { cx: x, cy: y, r: 4.5, ...paint });
    case "square":
      return s("rect", { x: x - 4, y: y - 4, width: 8, height: 8, ...paint });
    case "triangle":
      return polygon(`${x},${y - 5.5} ${x + 5},${y + 4} ${x - 5},${y + 4}`);
    case "diamond":
      return polygon(`${x},${y - 6} ${x + 6},${y} ${x},${y + 6} ${x - 6},${y}`);
    default:
      return s("path", { d: `M${x - 4} ${y - 4}l8 8m0 -8l-8 8`, ...paint });
  }
}

function swatch({ shape, dash }) {
  const stroke = { stroke: "var(--accent)", "stroke-width": 1.8, "stroke-dasharray": dash };
  return s(
    "svg",
    { width: 46, height: 14, "aria-hidden": "true" },
    s("line", { x1: 0, x2: 46, y1: 7, y2: 7, ...stroke }),
    mark(shape, 23, 7),
  );
}
