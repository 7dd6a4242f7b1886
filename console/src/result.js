// One clip's result, whole: words, scale, what it was of, listening, explanation, comparison, and the request as a command.

import { commandCard } from "./command.js";
import { comparisonCard } from "./comparison.js";
import { decodeClip } from "./decode.js";
import { h, table, terms } from "./dom.js";
import { explanation } from "./explanation.js";
import { clock, hertz, modelName, named, number, seconds } from "./format.js";
import { scale } from "./scale.js";
import { headline, sentences, SYMBOLS } from "./verdict.js";
import { channelsOf, windowInWords } from "./windows.js";

/** Shows one clip at a time in `place`; `models` knows what is loaded. */
export class ResultView {
  #place;
  #models;
  #listening = null;
  #shown = null;
  #words = null;

  constructor(place, models) {
    this.#place = place;
    this.#models = models;
  }

  /** Show a clip's result or problem; nothing for null. */
  show(item) {
    this.#listening?.destroy();
    this.#listening = null;
    this.#shown = item;
    if (!item?.result) {
      this.#fill(item?.problem ? [problemCard(item), commandCard(item)] : []);
      return;
    }
    const known = this.#models.find(item.result.model);
    this.#words = h("div", {}, verdictCard(item, known));
    const listening = h(
      "section",
      { class: "card", "aria-labelledby": "listen-title" },
      listenTitle(),
      h("p", { class: "note" }, "Reading the clip …"),
    );
    this.#fill([this.#words, listening, comparisonCard(item, this.#models), commandCard(item)]);
    this.#listen(item, listening);
    if (known && known.policy === undefined) this.#models.policy(known).then(() => this.know(item));
  }

  /** Say it anew, since more is known of the models. */
  know(item) {
    const known = this.#models.find(item.result.model);
    if (this.#shown === item && known) this.#words.replaceChildren(verdictCard(item, known));
  }

  #fill(cards) {
    this.#place.replaceChildren(...cards.filter(Boolean));
  }

  /** The player and its libraries come after the verdict, which does not wait for them. */
  async #listen(item, place) {
    try {
      const [clip, { Listening }] = await Promise.all([decodeClip(item), import("./listen.js")]);
      if (this.#shown !== item) return;
      const lanes = lanesOf(item.result);
      this.#listening = new Listening(clip, lanes);
      const parts = [
        listenTitle(),
        h(
          "p",
          { class: "note" },
          "From above: waveform, mel spectrogram, the score of each window. ▼ and hatching mark what scores below the threshold, which is the dashed line.",
        ),
        clip.heard &&
          h(
            "p",
            { class: "note" },
            "The browser cannot read this format: what is shown and played is what the model hears of it.",
          ),
        this.#listening.element,
        windowTable(lanes, this.#listening),
        explanation(item, this.#listening),
      ];
      place.replaceChildren(...parts.filter(Boolean));
    } catch (error) {
      if (this.#shown !== item) return;
      place.replaceChildren(
        listenTitle(),
        h("p", {}, `The clip cannot be shown here: ${error.problem?.detail ?? error.message}`),
      );
    }
  }
}

const listenTitle = () => h("h2", { id: "listen-title" }, "Listen and look");

function lanesOf(result) {
  const channels = channelsOf(result);
  return channels.map(({ channel, segments }) => ({
    channel,
    title: result.audio.channels > 1 ? `channel ${channel}` : "score",
    segments,
    threshold: result.operating_point.threshold,
  }));
}

function verdictCard(item, known) {
  const { result } = item;
  const points = known?.operating_points;
  return card(
    item.name,
    result.verdict,
    headline(result, points),
    sentences(result, points, known?.policy).map((text) => h("p", {}, text)),
    scale([{ result }], points),
    result.channels.length > 0 && channelTable(result),
    terms(facts(result)),
  );
}

function problemCard({ name, problem }) {
  const request = problem.request_id ? `, request ${problem.request_id}` : "";
  return card(
    name,
    "problem",
    "It could not be scored",
    h("p", {}, problem.title),
    h("p", {}, problem.detail),
    h("p", { class: "note" }, `Code ${problem.code}${request}`),
  );
}

function card(name, kind, title, ...children) {
  const symbol = h("span", { class: "symbol", "aria-hidden": "true" }, SYMBOLS[kind]);
  return h(
    "section",
    { class: `card verdict ${kind}`, "aria-labelledby": "verdict-title" },
    h("p", { class: "eyebrow" }, name),
    h("h2", { id: "verdict-title" }, symbol, ` ${title}`),
    children,
  );
}

function facts({ audio, operating_point: point, model, timing_ms: timing }) {
  return [
    ["Speech", `${seconds(audio.speech_seconds)} of ${seconds(audio.duration_seconds)}`],
    ["Sound", `${audio.format}, ${audio.sample_rate_hz} Hz, up to ${hertz(audio.bandwidth_hz)}`],
    [
      "Channel",
      audio.channels > 1 ? `0 and 1, of which ${audio.channel} decides; ${audio.channel_class}` : audio.channel_class,
    ],
    ["Model", modelName(model)],
    ["Took", `${(timing.decode + timing.queue + timing.infer).toFixed(0)} ms in the service`],
    ["Error rates measured on", point.measured_on ?? "nothing: a threshold of one’s own"],
  ];
}

function channelTable(result) {
  const rows = result.channels.map(({ channel, verdict, score, speech_seconds: speech, reasons }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, `${channel}${channel === result.audio.channel ? ", which decides" : ""}`),
      h("td", {}, `${SYMBOLS[verdict]} ${verdict}`),
      h("td", { class: "figure" }, number(score)),
      h("td", { class: "figure" }, seconds(speech)),
      h("td", {}, reasons.map(named).join(", ") || "–"),
    ),
  );
  return table("Each channel", ["Channel", "Verdict", "Score", "Speech", "Reasons"], rows);
}

function windowTable(lanes, listening) {
  const several = lanes.length > 1;
  const row = (segment, title, threshold) => {
    const { start_seconds: start, end_seconds: end, score } = segment;
    const play = {
      type: "button",
      class: "small",
      "aria-label": `Play: ${windowInWords(segment, threshold)}`,
      onclick: () => listening.playPassage(start, end),
    };
    return h(
      "tr",
      { class: score < threshold && "low" },
      several && h("td", {}, title),
      [clock(start), clock(end), number(score)].map((text) => h("td", { class: "figure" }, text)),
      h("td", {}, score < threshold ? "▼ below the threshold" : "at or above it"),
      h("td", {}, h("button", play, "Play")),
    );
  };
  const rows = lanes.flatMap(({ title, segments, threshold }) =>
    segments.map((segment) => row(segment, title, threshold)),
  );
  const head = [...(several ? ["Channel"] : []), "From", "To", "Score", "Against the threshold", "Listen"];
  return h("details", { class: "windows" }, h("summary", {}, "The windows as a table"), table("Windows", head, rows));
}
