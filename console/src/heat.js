// Over the spectrograms: their frequencies, and which regions moved the score.

import { drawn, s } from "./dom.js";
import { hertz, number } from "./format.js";
import { hatch } from "./scale.js";

const TICKS = [500, 1000, 2000, 4000]; // Hz
const NAMED = 3; // regions that have a letter
const FAINT = 0.12; // of the largest effect: below, a region is not drawn

const mel = (hz) => Math.log1p(hz / 700);

/** An overlay for spectrograms of `height` each, up to `highest` Hz; `regions` is /explain's answer, or null. */
export function overlay({ channels, height, highest, duration, regions }) {
  const whole = height * channels;
  const said = regions ? "Regions that moved the score; they are listed below" : "Mel spectrogram";
  const svg = drawn(whole, said, (width) => [
    ...(regions ? drawRegions(regions, height, highest, duration, width) : []),
    ...Array.from({ length: channels }, (_, channel) => axis(channel * height, height, highest)).flat(),
    ...(channels > 1 ? Array.from({ length: channels }, (_, channel) => named(channel, width, channel * height)) : []),
  ]);
  Object.assign(svg.style, { position: "absolute", inset: "0", zIndex: "5", pointerEvents: "none" });
  return svg;
}

function axis(top, height, highest) {
  return TICKS.filter((hz) => hz < highest).map((hz) =>
    label(hertz(hz).replace(".0", ""), { x: 4, y: top + height * (1 - mel(hz) / mel(highest)) + 4 }),
  );
}

function named(channel, width, top) {
  return label(`channel ${channel}`, {
    x: width - 6,
    y: top + 14,
    "text-anchor": "end",
    "font-size": 11,
    fill: "var(--muted)",
  });
}

function label(text, attributes) {
  return s(
    "text",
    {
      "font-size": 10,
      "font-family": "system-ui, sans-serif",
      fill: "var(--ink)",
      "paint-order": "stroke",
      stroke: "var(--surface)",
      "stroke-width": 3,
      ...attributes,
    },
    text,
  );
}

/** The regions of an answer, the strongest first: `{ from, to, low, high, effect, letter }`, in s and Hz. */
export function ranked({ times_seconds: times, bands_hz: bands, effects }) {
  const all = effects.flatMap((row, band) =>
    row.map((effect, cell) => ({
      from: times[cell],
      to: times[cell + 1],
      low: bands[band],
      high: bands[band + 1],
      effect,
    })),
  );
  all.sort((one, other) => Math.abs(other.effect) - Math.abs(one.effect));
  return all.map((region, place) => ({ ...region, letter: place < NAMED ? "ABC"[place] : null }));
}

export function regionInWords({ from, to, low, high, effect, letter }) {
  const kind = effect < 0 ? "spoof" : "bonafide";
  const size = Math.abs(effect);
  const moved = size < 0.005 ? "less than 0.01" : number(size); // of a long clip, no region weighs much
  return `${letter}: ${from.toFixed(2)} to ${to.toFixed(2)} s, ${hertz(low)} to ${hertz(high)} spoke for ${kind}: without it, the score would be ${moved} ${effect < 0 ? "higher" : "lower"}.`;
}

function drawRegions(regions, height, highest, duration, width) {
  const found = ranked(regions);
  const most = Math.abs(found[0].effect) || 1;
  const top = regions.channel * height;
  const x = (time) => (time / duration) * width;
  const y = (hz) => top + height * (1 - mel(hz) / mel(highest));
  const parts = [s("defs", {}, hatch("heat-hatch", "var(--spoof)", { step: 5, width: 2.5 }))];
  for (const { from, to, low, high, effect, letter } of found.reverse()) {
    const share = Math.abs(effect) / most;
    if (share < FAINT) continue;
    const box = { x: x(from), y: y(high), width: x(to) - x(from), height: y(low) - y(high) };
    const paint = effect < 0 ? "var(--spoof)" : "var(--bonafide)";
    parts.push(s("rect", { ...box, fill: paint, opacity: 0.5 * share }));
    if (effect < 0) parts.push(s("rect", { ...box, fill: "url(#heat-hatch)", opacity: 0.25 + 0.6 * share }));
    if (letter) {
      parts.push(
        s("rect", { ...box, fill: "none", stroke: "var(--ink)", "stroke-width": 2 }),
        label(letter, {
          x: box.x + box.width / 2,
          y: box.y + box.height / 2 + 5,
          "text-anchor": "middle",
          "font-size": 14,
          "font-weight": 700,
          "stroke-width": 4,
        }),
      );
    }
  }
  return parts;
}
