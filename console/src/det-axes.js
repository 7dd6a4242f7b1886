// Axes on normal deviate scales, as DET plots have them (Martin et al. 1997), and where they put a rate.

import { s } from "./dom.js";
import { probit } from "./figures.js";

const TICKS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95];
const [LOW, HIGH] = [0.003, 0.97];
export const HEIGHT = 380;

/** `{ box, x, y, parts, clipped }`: where a rate is on each, the axes, and a frame that hides what lies beyond them. */
export function axes(width) {
  const box = { left: 52, right: Math.min(width - 12, 52 + 560), top: 12, bottom: HEIGHT - 44 };
  const share = (rate) => (probit(rate) - probit(LOW)) / (probit(HIGH) - probit(LOW));
  const x = (rate) => box.left + share(rate) * (box.right - box.left);
  const y = (rate) => box.bottom - share(rate) * (box.bottom - box.top);
  return { box, x, y, parts: grid(box, x, y), clipped: (children) => s("svg", sameScale(box), children) };
}

/** A rate, or the end of the axis where it lies beyond. */
export const shown = (rate) => Math.min(Math.max(rate, LOW), HIGH);

function sameScale({ left, right, top, bottom }) {
  const [width, height] = [right - left, bottom - top];
  return { x: left, y: top, width, height, viewBox: `${left} ${top} ${width} ${height}` };
}

function grid(box, x, y) {
  const [middle, centre] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  const side = (attributes, text) => s("text", { "text-anchor": "middle", class: "side", ...attributes }, text);
  return [
    ...TICKS.flatMap((rate) => [
      s("line", { x1: x(rate), x2: x(rate), y1: box.top, y2: box.bottom, stroke: "var(--line)" }),
      s("line", { x1: box.left, x2: box.right, y1: y(rate), y2: y(rate), stroke: "var(--line)" }),
      s("text", { x: x(rate), y: box.bottom + 16, "text-anchor": "middle", class: "tick" }, `${100 * rate}`),
      s("text", { x: box.left - 6, y: y(rate) + 4, "text-anchor": "end", class: "tick" }, `${100 * rate}`),
    ]),
    s("line", {
      x1: x(LOW),
      y1: y(LOW),
      x2: x(HIGH),
      y2: y(HIGH),
      stroke: "var(--line-strong)",
      "stroke-dasharray": "2 4",
    }),
    s("text", { x: x(0.9), y: box.top + 12, "text-anchor": "end", class: "tick" }, "equal errors"),
    side({ x: middle, y: HEIGHT - 8 }, "spoofs called bonafide, %"),
    side({ x: 12, y: centre, transform: `rotate(-90 12 ${centre})` }, "bonafide called spoof, %"),
  ];
}
