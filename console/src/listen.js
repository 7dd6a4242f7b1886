// Waveform, mel spectrogram and scores under one time axis; play from any point, and read the window under the cursor.

import WaveSurfer from "wavesurfer.js";
import Hover from "wavesurfer.js/plugins/hover";
import Regions from "wavesurfer.js/plugins/regions";
import Spectrogram from "wavesurfer.js/plugins/spectrogram";
import Timeline from "wavesurfer.js/plugins/timeline";
import { colour, colourMap, isDark } from "./colours.js";
import { RATE } from "./decode.js";
import { h } from "./dom.js";
import { clock, number } from "./format.js";
import { overlay } from "./heat.js";
import { Lanes } from "./lanes.js";
import { passages } from "./windows.js";

const WAVE = 56; // px, a channel
const SPECTROGRAM = 120;
const HIGHEST = RATE / 2; // Hz

/** Seconds between two labels of the time axis: some eight of them. */
const interval = (duration) => [0.25, 0.5, 1, 2, 5, 10, 15, 30, 60].find((step) => duration / step <= 10) ?? 120;

export class Listening {
  /** `clip` is decodeClip's; `lanes` are `[{ channel, title, segments, threshold }]`. */
  constructor(clip, lanes) {
    this.clip = clip;
    this.lanes = lanes;
    this.stage = h("div", { class: "stage" });
    this.play = h("button", { type: "button", class: "primary", onclick: () => this.surfer.playPause() }, "Play");
    this.position = h("input", {
      type: "range",
      id: "position",
      min: 0,
      max: clip.duration,
      step: Math.max(clip.duration / 200, 0.01).toFixed(3),
      value: 0,
    });
    this.position.addEventListener("input", () => this.surfer.setTime(Number(this.position.value)));
    this.zoom = h("input", { type: "range", id: "zoom", min: 0, max: 400, step: 20, value: 0 });
    this.zoom.addEventListener("input", () => this.surfer.zoom(Number(this.zoom.value)));
    this.readout = h("p", { class: "readout" });
    this.element = h(
      "div",
      { class: "listening" },
      this.stage,
      h(
        "div",
        { class: "transport" },
        this.play,
        h("label", { for: "position" }, "Position"),
        this.position,
        h("label", { for: "zoom" }, "Zoom"),
        this.zoom,
      ),
      this.readout,
    );
    this.address = URL.createObjectURL(clip.blob);
    this.theme = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => this.draw();
    this.theme.addEventListener("change", this.repaint);
    this.draw();
  }

  draw() {
    const { channels, duration } = this.clip;
    const at = this.surfer?.getCurrentTime() ?? 0;
    this.surfer?.destroy();
    this.holder = h("div");
    Object.assign(this.holder.style, { position: "relative", height: `${SPECTROGRAM * channels.length}px` });
    const paint = { waveColor: colour("wave"), progressColor: colour("wave-played") };
    const regions = Regions.create();
    this.surfer = WaveSurfer.create({
      container: this.stage,
      height: WAVE,
      ...paint,
      cursorColor: colour("ink"),
      cursorWidth: 2,
      normalize: true,
      dragToSeek: true,
      splitChannels: channels.length > 1 ? channels.map(() => paint) : undefined,
      cspNonce: document.body.dataset.styleNonce,
      plugins: [
        regions,
        new Lanes(this.holder, this.lanes, duration),
        Spectrogram.create({
          container: this.holder,
          height: SPECTROGRAM,
          scale: "mel",
          frequencyMin: 0,
          frequencyMax: HIGHEST,
          fftSamples: 512,
          autoGain: true,
          rangeDB: 70,
          splitChannels: channels.length > 1,
          colorMap: colourMap(isDark() ? "dark" : "light"),
        }),
        Timeline.create({
          height: 18,
          timeInterval: interval(duration),
          primaryLabelSpacing: 1,
          formatTimeCallback: (time) => (duration < 60 ? String(time) : clock(time)),
          style: { fontSize: "11px", color: colour("muted"), fontFamily: "system-ui, sans-serif" },
        }),
        Hover.create({
          lineColor: colour("ink"),
          lineWidth: 1,
          labelBackground: colour("ink"),
          labelColor: colour("surface"),
          labelSize: 12,
          formatTimeCallback: (time) => this.at(time, "short"),
        }),
      ],
    });
    this.surfer.on("play", () => (this.play.textContent = "Pause"));
    this.surfer.on("pause", () => (this.play.textContent = "Play"));
    this.surfer.on("timeupdate", (time) => this.tell(time));
    this.surfer.load(this.address, channels, duration).then(
      () => {
        this.mark(regions);
        this.surfer.setTime(at);
        if (Number(this.zoom.value) > 0) this.surfer.zoom(Number(this.zoom.value));
      },
      () => {}, // gone before it was loaded
    );
    this.explain(this.regions ?? null);
    this.tell(at);
  }

  /** Show what /explain found, over the spectrogram; null takes it away. */
  explain(regions) {
    this.regions = regions;
    this.drawnOverlay?.remove();
    const { channels, duration } = this.clip;
    this.drawnOverlay = overlay({
      channels: channels.length,
      height: SPECTROGRAM,
      highest: HIGHEST,
      duration,
      regions,
    });
    this.holder.append(this.drawnOverlay);
  }

  playPassage(start, end) {
    this.surfer.play(start, end);
  }

  /** Mark the passages below the threshold with a hatched bracket over everything, and an arrow. */
  mark(regions) {
    const { channels } = this.clip;
    for (const { channel, segments, threshold } of this.lanes) {
      for (const { start, end } of passages(segments, threshold)) {
        const region = regions.addRegion({
          start,
          end: Math.min(end, this.clip.duration),
          drag: false,
          resize: false,
          color: "transparent",
          channelIdx: channels.length > 1 ? channel : -1,
        });
        Object.assign(region.element.style, {
          background: "repeating-linear-gradient(135deg, var(--spoof-faint) 0 2px, transparent 2px 9px)",
          borderTop: "3px solid var(--spoof)",
          height: `${WAVE}px`,
          top: channels.length > 1 ? `${WAVE * channel}px` : "0",
          boxSizing: "border-box",
          pointerEvents: "none",
        });
      }
    }
  }

  tell(time) {
    this.position.value = time;
    this.readout.textContent = this.at(time, "long");
    this.position.setAttribute("aria-valuetext", this.at(time, "long"));
  }

  /** What there is to say of a moment. */
  at(time, length) {
    const said = this.lanes.map(({ title, segments, threshold }) => {
      const inside = segments.filter(({ start_seconds: start, end_seconds: end }) => start <= time && time <= end);
      if (inside.length === 0) return `${title}: no window, silence is cut off`;
      const score = Math.min(...inside.map((segment) => segment.score));
      return `${title}: ${score < threshold ? "▼ " : ""}${number(score)}${length === "long" ? `, ${score < threshold ? "below" : "at or above"} the threshold` : ""}`;
    });
    return `${clock(time)} · ${said.join(" · ")}`;
  }

  destroy() {
    this.theme.removeEventListener("change", this.repaint);
    this.surfer.destroy();
    URL.revokeObjectURL(this.address);
  }
}
