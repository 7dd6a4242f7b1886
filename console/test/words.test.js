import assert from "node:assert/strict";
import { test } from "node:test";
import { how } from "../src/explanation.js";
import { regionInWords } from "../src/heat.js";
import { headline, sentences } from "../src/verdict.js";
import { passages, tiled } from "../src/windows.js";

const point = (threshold, accept, reject) => ({
  threshold,
  false_accept_rate: accept,
  false_accept_interval: [accept / 2, 2 * accept],
  false_reject_rate: reject,
  false_reject_interval: [reject / 2, 2 * reject],
  measured_on: "made clips",
});
const POINTS = { low_friction: point(-2, 0.3, 0.02), balanced: point(0, 0.1, 0.1), high_security: point(2, 0.03, 0.4) };

function result(score, { verdict, reasons = [] } = {}) {
  return {
    score,
    verdict: verdict ?? (score >= 0 ? "bonafide" : "spoof"),
    reasons,
    operating_point: { name: "balanced", ...POINTS.balanced },
    audio: { speech_seconds: 0.2, bandwidth_hz: 420.4 },
  };
}

test("a verdict that other operating points would not give only leans", () => {
  assert.equal(headline(result(-5), POINTS), "Likely synthetic or converted");
  assert.equal(headline(result(-1), POINTS), "Leans towards synthetic or converted");
  assert.equal(headline(result(1), POINTS), "Leans towards a person’s own voice");
  assert.equal(headline(result(5), POINTS), "Likely a person’s own voice");
  assert.match(sentences(result(1), POINTS)[0], /at “high security” it would be called the opposite/);
});

test("the rate that concerns the verdict comes first", () => {
  assert.match(
    sentences(result(-5), POINTS)[2],
    /measured: 10\.0 % of bonafide clips were called spoof .*5\.0 to 20\.0 %/,
  );
  assert.match(sentences(result(5), POINTS)[2], /measured: 10\.0 % of spoofs were called bonafide/);
});

test("no score is said to be surer than a calibration can know", () => {
  assert.match(sentences(result(2), POINTS)[1], / 7\.4 times as likely for a person’s own voice/);
  assert.match(sentences(result(-40), POINTS)[1], /more than 100 times as likely for a spoof/);
  assert.match(sentences(result(0.1), POINTS)[1], /hardly says anything/);
});

test("every reason is a sentence, and inconclusive is never a person’s voice", () => {
  const policy = { min_speech_seconds: 0.5, max_clipped_fraction: 0.03, min_bandwidth_hz: 600 };
  const reasons = ["silence", "insufficient_speech", "clipped", "out_of_range_bandwidth", "one_day"];
  const unsure = result(9, { verdict: "inconclusive", reasons });
  const said = sentences(unsure, POINTS, policy);
  assert.equal(headline(unsure, POINTS), "Not enough to say");
  assert.equal(said.length, reasons.length + 1);
  assert.match(said[1], /0\.20 s were found, 0\.50 s are the least/);
  assert.match(said[3], /nothing above 420 Hz/);
  assert.match(said[4], /one day/);
  assert.match(said.at(-1), /never to be read as a person’s own voice/);
  assert.ok(sentences(unsure, undefined, null).every((text) => !/undefined|null|NaN/.test(text)));
});

test("passages join neighbouring windows below the threshold", () => {
  const segments = [3, -1, -4, 2, -2].map((score, i) => ({ start_seconds: i, end_seconds: i + 1, score }));
  assert.deepEqual(passages(segments, 0), [
    { start: 1, end: 3, lowest: -4 },
    { start: 4, end: 5, lowest: -2 },
  ]);
});

test("tiles leave no gap and do not overlap", () => {
  const at = (starts, length) =>
    starts.map((start) => ({ start_seconds: start, end_seconds: start + length, score: 0 }));
  const edges = (segments) => tiled(segments).map(({ from, until }) => [from, until]);
  assert.deepEqual(edges(at([0, 2, 2.25], 2)), [
    [0, 2],
    [2, 4],
    [4, 4.25],
  ]); // side by side, the last moved back
  assert.deepEqual(edges(at([0, 0.5, 1, 1.25], 1)), [
    [0, 0.5],
    [0.5, 1],
    [1, 1.5],
    [1.5, 2.25],
  ]); // overlapping
  assert.deepEqual(edges(at([0, 0.5], 1)), [
    [0, 1],
    [1, 1.5],
  ]);
  assert.deepEqual(edges(at([0.25], 1)), [[0.25, 1.25]]);
});

test("an explanation says of which part of a clip it is", () => {
  const regions = { channel: 0, times_seconds: [131, 141, 151], attenuation_db: 30, windows_scored: 320, milliseconds: 1500 };
  assert.match(how(regions, 540), /^Channel 0, 2:11\.0 to 2:31\.0 of 9:00\.0: .* \(320 windows, 1\.5 s\)\.$/);
});

test("a region that hardly moved the score is not said to move it by nothing", () => {
  const region = { from: 19, to: 19.5, low: 1100, high: 1800, letter: "A" };
  assert.match(regionInWords({ ...region, effect: -0.0033 }), /would be less than 0\.01 higher\.$/);
  assert.match(regionInWords({ ...region, effect: 0.0322 }), /would be 0\.03 lower\.$/);
});
