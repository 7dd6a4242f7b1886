// What lies below the waveform on its time axis: the spectrograms' place, and a lane of scores for each channel.

import WaveSurfer from "wavesurfer.js";
import { drawn, h, s } from "./dom.js";
import { number } from "./format.js";
import { hatch } from "./scale.js";
import { tiled } from "./windows.js";

const LANE = 64; // px
const REACH = 12; // scores beyond are drawn at the edge

/**
 * A plugin of wavesurfer's: `holder` is where the spectrogram goes; `lanes` are
 * `[{ title, segments, threshold }]`, drawn over `duration` seconds.
 */
export class Lanes extends WaveSurfer.BasePlugin {
  constructor(holder, lanes, duration) {
    super({});
    this.elements = [holder, ...lanes.map((lane, place) => laneElement(lane, place, duration))];
  }

  onInit() {
    this.wavesurfer.getWrapper().append(...this.elements);
  }

  destroy() {
    super.destroy();
    for (const element of this.elements) element.remove();
  }
}

function laneElement(lane, place, duration) {
  const lowest = Math.min(...lane.segments.map(({ score }) => score));
  const label = `${lane.title}: ${lane.segments.length} windows, the lowest scores ${number(lowest)}; the threshold is ${number(lane.threshold)}`;
  const plot = drawn(LANE, label, (width, height) => drawLane(lane, place, duration, width, height));
  plot.style.display = "block";
  const element = h("div", {}, plot);
  Object.assign(element.style, {
    position: "relative",
    height: `${LANE}px`,
    borderTop: "1px solid var(--line)",
    background: "var(--surface)",
  });
  return element;
}

function drawLane({ title, segments, threshold }, place, duration, width, height) {
  const reach = Math.min(REACH, Math.max(3, ...segments.map(({ score }) => Math.abs(score - threshold)))) * 1.15;
  const x = (time) => (time / duration) * width;
  const y = (score) => height / 2 - (Math.min(Math.max(score - threshold, -reach), reach) / reach) * (height / 2 - 2);
  const id = `lane-hatch-${place}`;
  const parts = [s("defs", {}, hatch(id, "var(--spoof)", { step: 5, width: 2.2 }))];
  for (const { from, until, score } of tiled(segments)) {
    const below = score < threshold;
    const [top, bottom] = [Math.min(y(score), y(threshold)), Math.max(y(score), y(threshold))];
    const box = {
      x: x(from) + 0.5,
      y: top,
      width: Math.max(x(until) - x(from) - 1, 1),
      height: Math.max(bottom - top, 2),
    };
    parts.push(
      s("rect", { ...box, fill: below ? `url(#${id})` : "var(--bonafide)", opacity: below ? 0.9 : 0.55 }),
      s("line", {
        x1: box.x,
        x2: box.x + box.width,
        y1: y(score),
        y2: y(score),
        stroke: below ? "var(--spoof)" : "var(--bonafide)",
        "stroke-width": 2.5,
      }),
    );
    if (box.width > 54) {
      const middle = box.x + box.width / 2;
      const outside = below ? Math.max(y(threshold) - 6, 11) : Math.min(y(threshold) + 14, height - 4);
      parts.push(
        text(middle, outside, `${below ? "▼ " : ""}${number(score)}`, {
          "text-anchor": "middle",
          fill: "var(--ink)",
          "font-weight": 600,
        }),
      );
    }
  }
  parts.push(
    s("line", {
      x1: 0,
      x2: width,
      y1: y(threshold),
      y2: y(threshold),
      stroke: "var(--ink)",
      "stroke-dasharray": "4 3",
    }),
    text(6, 12, title, { fill: "var(--muted)" }),
  );
  return parts;
}

function text(x, y, content, attributes) {
  return s(
    "text",
    {
      x,
      y,
      "font-size": 11,
      "font-family": "system-ui, sans-serif",
      "paint-order": "stroke",
      stroke: "var(--surface)",
      "stroke-width": 3,
      "stroke-linejoin": "round",
      ...attributes,
    },
    content,
  );
}
