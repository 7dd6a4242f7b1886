// The score on a scale, with the operating points and the range of the windows' scores drawn in.

import { drawn, h, s } from "./dom.js";
import { named, number } from "./format.js";
import { POINTS } from "./verdict.js";

const REACH = 12; // scores beyond are drawn at the end
const HEIGHT = 132;
const AXIS = 84;

/** A figure for one or several results on the same scale: `[{ result, label }]`. */
export function scale(results, points) {
  const [{ result }] = results;
  const thresholds = thresholdsOf(result, points);
  const said = thresholds.map(({ name, threshold }) => `${named(name)} at ${number(threshold)}`).join(", ");
  const scores = results.map(({ result: one, label }) => `${label ? `${label}: ` : ""}${number(one.score)}`).join("; ");
  const label = `Score ${scores} on a scale from ${-REACH} to ${REACH}. Thresholds: ${said}.`;
  const height = HEIGHT + 30 * (results.length - 1);
  return h(
    "figure",
    { class: "scale" },
    drawn(height, label, (width) => draw(width, results, thresholds)),
  );
}

function thresholdsOf({ operating_point: applied }, points) {
  const known = POINTS.filter((name) => points?.[name]).map((name) => ({ name, threshold: points[name].threshold }));
  const others = known.filter(({ name }) => name !== applied.name);
  return [...others, { name: applied.name, threshold: applied.threshold, applied: true }].sort(
    (one, other) => one.threshold - other.threshold,
  );
}

function draw(width, results, thresholds) {
  const pad = 14;
  const x = (score) => pad + ((Math.min(Math.max(score, -REACH), REACH) + REACH) / (2 * REACH)) * (width - 2 * pad);
  const applied = thresholds.find((point) => point.applied);
  const parts = [
    s("defs", {}, hatch("scale-hatch", "var(--spoof)")),
    s("rect", {
      x: pad,
      y: AXIS - 10,
      width: x(applied.threshold) - pad,
      height: 20,
      fill: "url(#scale-hatch)",
      opacity: 0.45,
    }),
    s("rect", {
      x: x(applied.threshold),
      y: AXIS - 10,
      width: width - pad - x(applied.threshold),
      height: 20,
      fill: "var(--bonafide)",
      opacity: 0.16,
    }),
    s("line", { x1: pad, x2: width - pad, y1: AXIS, y2: AXIS, stroke: "var(--line-strong)" }),
  ];
  for (const tick of [-10, -5, 0, 5, 10]) {
    parts.push(
      s("line", { x1: x(tick), x2: x(tick), y1: AXIS + 10, y2: AXIS + 15, stroke: "var(--line-strong)" }),
      s("text", { x: x(tick), y: AXIS + 28, "text-anchor": "middle", class: "tick" }, number(tick, 0)),
    );
  }
  parts.push(
    s("text", { x: pad, y: AXIS + 45, class: "side" }, "◂ speaks for spoof"),
    s("text", { x: width - pad, y: AXIS + 45, "text-anchor": "end", class: "side" }, "speaks for bonafide ▸"),
  );
  thresholds.forEach((point, place) => {
    const at = x(point.threshold);
    const top = 12 + 16 * place;
    const text = `${named(point.name)} ${number(point.threshold)}`;
    const left = place === 0 ? at > 130 : at > width - 130; // of its line: the lowest stands apart from the others
    parts.push(
      s("line", {
        x1: at,
        x2: at,
        y1: top + 3,
        y2: AXIS + 10,
        stroke: point.applied ? "var(--ink)" : "var(--muted)",
        "stroke-width": point.applied ? 2 : 1,
        "stroke-dasharray": point.applied ? null : "3 3",
      }),
      s(
        "text",
        {
          x: at + (left ? -5 : 5),
          y: top + 4,
          "text-anchor": left ? "end" : "start",
          class: point.applied ? "point applied" : "point",
        },
        text,
      ),
    );
  });
  results.forEach(({ result, label }, place) =>
    parts.push(...marker(result, label, x, width, AXIS + 30 * place, place)),
  );
  return parts;
}

function marker({ score, verdict, segments }, label, x, width, y, place) {
  const lowest = Math.min(score, ...segments.map((segment) => segment.score));
  const highest = Math.max(score, ...segments.map((segment) => segment.score));
  const at = x(score);
  const lift = place === 0 ? 0 : 34; // below the words of the scale
  const said = label ? `${label}, ${number(score)}` : number(score);
  const flipped = at > width - 150;
  return [
    s("line", {
      x1: x(lowest),
      x2: x(highest),
      y1: y + lift,
      y2: y + lift,
      stroke: `var(--${verdict})`,
      "stroke-width": 5,
      "stroke-linecap": "round",
      opacity: 0.55,
    }),
    symbol(verdict, at, y + lift, 8),
    s(
      "text",
      {
        x: at + (flipped ? -13 : 13),
        y: y + lift + (place === 0 ? -14 : 4),
        "text-anchor": flipped ? "end" : "start",
        class: "point applied",
      },
      said,
    ),
  ];
}

/** A verdict's shape: a circle, a triangle or a diamond. */
export function symbol(verdict, x, y, r) {
  const paint = { fill: `var(--${verdict})`, stroke: "var(--surface)", "stroke-width": 2 };
  if (verdict === "bonafide") return s("circle", { cx: x, cy: y, r, ...paint });
  const points =
    verdict === "spoof"
      ? [
          [x, y - r],
          [x + r, y + r * 0.8],
          [x - r, y + r * 0.8],
        ]
      : [
          [x, y - r],
          [x + r, y],
          [x, y + r],
          [x - r, y],
        ];
  return s("polygon", { points: points.map((point) => point.join(",")).join(" "), ...paint });
}

/** A pattern of slanted lines, so that nothing is told by colour alone. */
export function hatch(id, colour, { step = 6, width = 2, angle = 45 } = {}) {
  return s(
    "pattern",
    { id, width: step, height: step, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${angle})` },
    s("line", { x1: 0, x2: 0, y1: 0, y2: step, stroke: colour, "stroke-width": width }),
  );
}
