import assert from "node:assert/strict";
import { test } from "node:test";
import { mediaTypeOf } from "../src/clips.js";
import { curlFor } from "../src/curl.js";
import { toCsv, toJson } from "../src/exports.js";
import { probit, rowsOf } from "../src/figures.js";
import { batched } from "../src/sending.js";
import { encodeWav } from "../src/wav.js";

test("a CSV keeps every name in its cell, and no name is a formula", () => {
  const problem = { code: "undecodable", detail: 'a "broken"\nheader', request_id: "r" };
  const lines = toCsv([
    { name: "a,b.wav", result: null, problem },
    { name: "=HYPERLINK(1)", result: null, problem: null },
  ]);
  const [head, first, second] = [lines.split("\r\n")[0], lines.split("\r\n")[1], lines.split("\r\n")[2]];
  assert.equal(head.split(",").length, 16);
  assert.ok(first.startsWith('"a,b.wav",'));
  assert.ok(first.endsWith('r,undecodable,"a ""broken""\nheader"'));
  assert.ok(second.startsWith("'=HYPERLINK(1),"));
  assert.deepEqual(JSON.parse(toJson([{ name: "a", result: null, problem, blob: 1 }])), [
    { name: "a", result: null, problem },
  ]);
});

test("a command quotes what a shell would obey", () => {
  const one = { path: "detect", query: "channel=each", items: [{ name: "it's $(x).wav", mediaType: "audio/wav" }] };
  const base = "http://host:8000/";
  assert.equal(
    curlFor(one, base),
    `curl -s --data-binary '@it'\\''s $(x).wav' -H 'Content-Type: audio/wav' \\\n  'http://host:8000/detect?channel=each'`,
  );
  assert.match(curlFor(one, base, { withKey: true }), /-H "Authorization: Bearer \$BONAFIDE_KEY"/);
  const many = { ...one, path: "batch", items: [{ name: 'a";b.wav', mediaType: "audio/wav" }] };
  assert.ok(curlFor(many, base).includes(`-F 'files=@"a\\";b.wav";type=audio/wav'`));
  const example = { ...one, items: [{ ...one.items[0], address: "console/x.wav" }] };
  assert.match(
    curlFor(example, base),
    /^curl -s 'http:\/\/host:8000\/console\/x.wav' \|\n {2}curl -s --data-binary @- /,
  );
});

test("a WAV is 16-bit PCM, frame by frame", async () => {
  const blob = encodeWav([Float32Array.of(0, 1, -2), Float32Array.of(0.5, -1, 0)], 48000);
  const view = new DataView(await blob.arrayBuffer());
  assert.equal(view.byteLength, 44 + 12);
  assert.deepEqual(
    [view.getUint16(20, true), view.getUint16(22, true), view.getUint32(24, true), view.getUint16(34, true)],
    [1, 2, 48000, 16],
  );
  assert.deepEqual(
    Array.from({ length: 6 }, (_, i) => view.getInt16(44 + 2 * i, true)),
    [0, 16384, 32767, -32767, -32767, 0],
  );
});

test("raw telephone audio has its type by its name alone", () => {
  assert.equal(mediaTypeOf("x.ul", ""), "audio/basic");
  assert.equal(mediaTypeOf("x.AL", "audio/x"), "audio/x-alaw;rate=8000");
  assert.equal(mediaTypeOf("x.wav", "audio/wav"), "audio/wav");
  assert.equal(mediaTypeOf("x", ""), "application/octet-stream");
});

test("batches stay below what a service usually takes", () => {
  const items = Array.from({ length: 120 }, () => ({ blob: { size: 10 } }));
  assert.deepEqual(
    batched(items).map((group) => group.length),
    [50, 50, 20],
  );
  const heavy = [20, 20, 5, 40].map((mebibytes) => ({ blob: { size: mebibytes * 2 ** 20 } }));
  assert.deepEqual(
    batched(heavy).map((group) => group.length),
    [1, 2, 1],
  );
});

test("the normal quantiles are those of the tables", () => {
  for (const [p, z] of [
    [0.5, 0],
    [0.975, 1.959964],
    [0.01, -2.326348],
    [0.001, -3.090232],
  ])
    assert.ok(Math.abs(probit(p) - z) < 1e-4);
});

test("figures are found where they are, and what is none is left out", () => {
  const metrics = {
    history: { loss: [1] },
    gate: { measures: { level: { limit: 1 } } },
    c: { dev: { original: { eer_percent: 9 } } },
  };
  assert.deepEqual(
    rowsOf(metrics).map(({ corpus, partition, channel }) => [corpus, partition, channel]),
    [["c", "dev", "original"]],
  );
});
