import assert from "node:assert/strict";
import { test } from "node:test";
import { inBoth, lineInWords, lineOf } from "../src/det-lines.js";

const CURVE = {
  false_accept_rate: [0.98, 0.5, 0.2, 0.05, 0.01],
  false_reject_rate: [0.01, 0.02, 0.2, 0.6, 0.99],
  operating_points: { high_security: 3, balanced: 2, low_friction: 1 },
};
const GIVEN = Object.fromEntries(
  [
    ["high_security", 4, 61],
    ["low_friction", 52, 2],
    ["balanced", 21, 19],
  ].map(([name, accept, reject]) => [name, { false_accept_percent: accept, false_reject_percent: reject }]),
);
const OLD = { eer_percent: 20, eer_interval_percent: [15.04, 26], operating_points: GIVEN };
const row = (partition, channel, figures = OLD) => ({ corpus: "made", partition, channel, figures });

test("a line is the whole curve, and its marks are points of it", () => {
  const line = lineOf(row("eval", "original", { ...OLD, det_curve: CURVE }), "made");
  assert.equal(line.path.length, 5);
  assert.deepEqual(line.path[0], [0.98, 0.01]);
  assert.deepEqual(line.at, [line.path[1], line.path[2], line.path[3]]);
  assert.equal(lineInWords(line), "made: EER 20.0 % (15.0 to 26.0)");
});

test("without a curve it joins what the thresholds gave, and says so", () => {
  const line = lineOf(row("eval", "original"), "made");
  assert.deepEqual(line.path, [
    [0.52, 0.02],
    [0.21, 0.19],
    [0.04, 0.61],
  ]);
  assert.equal(line.at, line.path);
  assert.match(lineInWords(line), /three thresholds alone$/);
  assert.deepEqual(lineOf(row("eval", "original", { eer_percent: 20 }), "made").path, []);
});

test("two models are compared on the clips that both have", () => {
  const one = [row("dev", "original"), row("eval", "gsm"), row("eval", "original")];
  const other = [row("held out", "original"), row("eval", "original"), row("eval", "gsm"), row("dev", "original")];
  const found = inBoth(one, other).map(([mine, its]) => {
    assert.notEqual(mine, its);
    return [mine, its].map(({ partition, channel }) => `${partition} ${channel}`);
  });
  assert.deepEqual(
    found,
    ["eval original", "dev original", "eval gsm"].map((name) => [name, name]),
  );
  assert.deepEqual(inBoth(one, []), []);
});
