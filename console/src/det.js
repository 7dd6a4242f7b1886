// False accepts against false rejects on normal deviate scales, as DET plots are (Martin et al. 1997): the operating
// points with their intervals, and what they became on each corpus.

import { drawn, h, s } from "./dom.js";
import { probit } from "./figures.js";
import { named } from "./format.js";
import { POINTS } from "./verdict.js";

const TICKS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95];
const [LOW, HIGH] = [0.003, 0.97];
const HEIGHT = 380;
const SHAPES = ["circle", "square", "triangle", "diamond", "cross"];
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 4"];

/** `points` are a manifest's; `rows` are figures.js's. */
export function detPlot(points, rows) {
  const lines = rows.map(({ corpus, partition, channel, figures }, place) => ({
    name: `${corpus} ${partition}, ${channel === "original" ? "as recorded" : channel}`,
    shape: SHAPES[place % SHAPES.length],
    dash: DASHES[place % DASHES.length],
    at: POINTS.filter((name) => figures.operating_points?.[name]).map((name) => [
      figures.operating_points[name].false_accept_percent / 100,
      figures.operating_points[name].false_reject_percent / 100,
    ]),
  }));
  const label = `False accepts against false rejects. ${POINTS.map((name) => `${named(name)}: ${(100 * points[name].false_accept_rate).toFixed(1)} % and ${(100 * points[name].false_reject_rate).toFixed(1)} %`).join("; ")}.`;
  return h(
    "figure",
    { class: "det" },
    drawn(HEIGHT, label, (width) => draw(width, points, lines)),
    h(
      "figcaption",
      {},
      h(
        "p",
        {},
        "● with bars: the operating points as measured at publishing, with 95 % intervals for other attacks and speakers. Lines join what the same three thresholds gave on each set of clips. The manifest holds these points, not the whole curve.",
      ),
      h("ul", { class: "legend" }, ...lines.map(({ name, shape, dash }) => h("li", {}, swatch(shape, dash), name))),
    ),
  );
}

function draw(width, points, lines) {
  const box = { left: 52, right: Math.min(width - 12, 52 + 560), top: 12, bottom: HEIGHT - 44 };
  const share = (rate) => (probit(Math.min(Math.max(rate, LOW), HIGH)) - probit(LOW)) / (probit(HIGH) - probit(LOW));
  const x = (rate) => box.left + share(rate) * (box.right - box.left);
  const y = (rate) => box.bottom - share(rate) * (box.bottom - box.top);
  const parts = TICKS.flatMap((rate) => [
    s("line", { x1: x(rate), x2: x(rate), y1: box.top, y2: box.bottom, stroke: "var(--line)" }),
    s("line", { x1: box.left, x2: box.right, y1: y(rate), y2: y(rate), stroke: "var(--line)" }),
    s("text", { x: x(rate), y: box.bottom + 16, "text-anchor": "middle", class: "tick" }, `${100 * rate}`),
    s("text", { x: box.left - 6, y: y(rate) + 4, "text-anchor": "end", class: "tick" }, `${100 * rate}`),
  ]);
  parts.push(
    s("line", {
      x1: x(LOW),
      y1: y(LOW),
      x2: x(HIGH),
      y2: y(HIGH),
      stroke: "var(--line-strong)",
      "stroke-dasharray": "2 4",
    }),
    s(
      "text",
      { x: (box.left + box.right) / 2, y: HEIGHT - 8, "text-anchor": "middle", class: "side" },
      "spoofs called bonafide, %",
    ),
    s(
      "text",
      {
        x: 12,
        y: (box.top + box.bottom) / 2,
        "text-anchor": "middle",
        class: "side",
        transform: `rotate(-90 12 ${(box.top + box.bottom) / 2})`,
      },
      "bonafide called spoof, %",
    ),
  );
  for (const { at, shape, dash } of lines) {
    const path = at.map(([accept, reject]) => `${x(accept)},${y(reject)}`).join(" ");
    parts.push(
      s("polyline", {
        points: path,
        fill: "none",
        stroke: "var(--accent)",
        "stroke-width": 1.5,
        "stroke-dasharray": dash || null,
      }),
    );
    parts.push(...at.map(([accept, reject]) => mark(shape, x(accept), y(reject))));
  }
  for (const name of POINTS) {
    const {
      false_accept_rate: accept,
      false_accept_interval: across,
      false_reject_rate: reject,
      false_reject_interval: up,
    } = points[name];
    parts.push(
      s("line", {
        x1: x(across[0]),
        x2: x(across[1]),
        y1: y(reject),
        y2: y(reject),
        stroke: "var(--ink)",
        opacity: 0.55,
        "stroke-width": 2,
      }),
      s("line", {
        x1: x(accept),
        x2: x(accept),
        y1: y(up[0]),
        y2: y(up[1]),
        stroke: "var(--ink)",
        opacity: 0.55,
        "stroke-width": 2,
      }),
      s("circle", {
        cx: x(accept),
        cy: y(reject),
        r: 6,
        fill: "var(--ink)",
        stroke: "var(--surface)",
        "stroke-width": 2,
      }),
      pointName(name, x(accept), y(reject), box.right),
    );
  }
  return parts;
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

function swatch(shape, dash) {
  const svg = s(
    "svg",
    { width: 34, height: 14, "aria-hidden": "true" },
    s("line", {
      x1: 0,
      x2: 34,
      y1: 7,
      y2: 7,
      stroke: "var(--accent)",
      "stroke-width": 1.5,
      "stroke-dasharray": dash || null,
    }),
    mark(shape, 17, 7),
  );
  return svg;
}
