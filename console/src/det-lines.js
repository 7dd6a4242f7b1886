// A manifest's figures -> the lines of a DET plot, and what is said of them. Rates are fractions here.

import { number } from "./format.js";
import { POINTS } from "./verdict.js";

/** What clips a row is of. */
export const setName = ({ corpus, partition, channel }) =>
  `${corpus} ${partition}, ${channel === "original" ? "as recorded" : channel}`;

/**
 * `{ name, eer, whole, path, at }`: `path` is the whole curve, over clips, if the manifest has one; else it joins what
 * the thresholds gave. `at` is that: false accepts and false rejects, by the operating point's name.
 */
export function lineOf({ figures }, name) {
  const { det_curve: curve, operating_points: given = {} } = figures;
  if (curve) {
    const path = curve.false_accept_rate.map((accept, place) => [accept, curve.false_reject_rate[place]]);
    const known = POINTS.filter((point) => point in curve.operating_points);
    return { name, eer: eer(figures), whole: true, path, at: known.map((point) => path[curve.operating_points[point]]) };
  }
  const at = POINTS.filter((point) => given[point]).map((point) => [
    given[point].false_accept_percent / 100,
    given[point].false_reject_percent / 100,
  ]);
  return { name, eer: eer(figures), whole: false, path: at, at };
}

/** The rows that two models have of the same clips: `[[one's, other's]]`, eval as recorded first. */
export function inBoth(one, other) {
  const pairs = one.map((row) => [row, other.find((its) => setName(its) === setName(row))]).filter(([, its]) => its);
  const rank = ([{ partition, channel }]) => 2 * (channel !== "original") + (partition !== "eval");
  return pairs.sort((a, b) => rank(a) - rank(b));
}

/** What a line says, for its legend and for whoever cannot see it. */
export const lineInWords = ({ name, eer, whole }) => `${name}: EER ${eer}${whole ? "" : ", three thresholds alone"}`;

function eer({ eer_percent: percent, eer_interval_percent: interval }) {
  const bounds = interval ? ` (${interval.map((end) => number(end, 1)).join(" to ")})` : "";
  return `${number(percent, 1)} %${bounds}`;
}
