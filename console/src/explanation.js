// On request: which sounds moved the score. The service silences regions in turn; they are drawn over the spectrogram.

import { parsed, Refusal, request } from "./api.js";
import { announce, h, onPress } from "./dom.js";
import { clock, modelName } from "./format.js";
import { ranked, regionInWords } from "./heat.js";

/** A part of the listening card; `listening` draws the regions. */
export function explanation(item, listening) {
  const found = h("div", { class: "explained" });
  const button = h("button", { type: "button", id: "explain" }, "Explain: which sounds moved the score?");
  onPress(button, async () => {
    found.replaceChildren(h("p", { role: "status" }, "Silencing each region in turn and scoring what is left …"));
    const query = new URLSearchParams({ model: modelName(item.result.model), channel: item.result.audio.channel });
    try {
      const headers = { "Content-Type": item.mediaType };
      const regions = parsed(await request("POST", `explain?${query}`, { body: item.blob, headers }));
      listening.explain(regions);
      found.replaceChildren(...inWords(regions, listening.clip.duration));
      announce("The explanation is there.");
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      found.replaceChildren(h("p", { role: "alert" }, `${error.problem.title} ${error.problem.detail}`));
    }
  });
  return h("div", {}, h("h3", {}, "Explanation"), button, found);
}

/** What was done, to which part of the clip: of a long one, the service explains some seconds alone. */
export function how(regions, duration) {
  const { channel, times_seconds: times, attenuation_db: quieter, windows_scored: windows, milliseconds } = regions;
  const part = `${clock(times[0])} to ${clock(times.at(-1))} of ${clock(duration)}`;
  return `Channel ${channel}, ${part}: each region was made ${quieter} dB quieter in turn, and the clip scored again (${windows} windows, ${(milliseconds / 1000).toFixed(1)} s).`;
}

function inWords(regions, duration) {
  const strongest = ranked(regions).filter(({ letter, effect }) => letter && effect !== 0);
  const key = "Hatched regions spoke for spoof, plain ones for bonafide; the stronger, the darker.";
  const limit = "It shows what moved this model, which need not be what an ear would notice.";
  return [
    h(
      "ol",
      { class: "regions" },
      strongest.map((region) => h("li", {}, regionInWords(region))),
    ),
    h("p", { class: "note" }, `${how(regions, duration)} ${key} ${limit}`),
  ];
}
