// What is loaded: identity, operating points, figures and card.

import MarkdownIt from "markdown-it";
import { h, table, terms } from "./dom.js";
import { detPlot } from "./det.js";
import { lineOf, setName } from "./det-lines.js";
import { rowsOf } from "./figures.js";
import { modelName, named, number, percent, range } from "./format.js";
import { POINTS } from "./verdict.js";

const markdown = new MarkdownIt({ html: false, linkify: false }); // markup in a card is shown, not obeyed

const NOTES = [
  "No model is known here yet: the service is loading them, does not answer, or asks for a key.",
  "One model is loaded. BONAFIDE_MODELS=first,second loads several, and each clip’s result then has a comparison.",
  "To compare them on a clip, score it, and see “Compare with another model” below its result.",
];

export function showModels(place, models) {
  const all = models.all();
  place.replaceChildren(
    ...all.map((model) => section(model, models)),
    h("p", { class: "note" }, NOTES[Math.min(all.length, 2)]),
  );
}

function section(model, models) {
  const name = modelName(model);
  const id = `model-${model.family}-${model.version}`;
  const rows = rowsOf(model.metrics);
  const card = h("div", { class: "prose" });
  const details = h("details", { class: "model-card" }, h("summary", {}, `The card of ${name}`), card);
  details.addEventListener("toggle", async () => {
    if (!details.open || card.querySelector(":not([role=alert])")) return;
    try {
      card.innerHTML = prose((await models.detail(model)).card);
      for (const [place, wide] of card.querySelectorAll("table").entries()) {
        const scroll = h("div", {
          class: "scroll",
          tabindex: "0",
          role: "region",
          "aria-label": `Table ${place + 1} of the card of ${name}`,
        });
        wide.replaceWith(scroll);
        scroll.append(wide);
      }
    } catch (error) {
      card.replaceChildren(h("p", { role: "alert" }, error.problem?.detail ?? error.message));
    }
  });
  return h(
    "section",
    { class: "card model", "aria-labelledby": id },
    h(
      "h2",
      { id },
      name,
      model.default && h("span", { class: "tag" }, "default"),
      model.role !== "stable" &&
        h("span", { class: "tag" }, `${model.role}, ${percent(model.share, 0)} of the requests`),
    ),
    terms(facts(model)),
    h("h3", {}, "Operating points"),
    pointTable(name, model.operating_points),
    detPlot(
      rows.filter(({ channel }) => channel === "original").map((row) => lineOf(row, setName(row))),
      model.operating_points,
    ),
    rows.length > 0 ? h("h3", {}, "Figures at publishing") : null,
    rows.length > 0 ? figureTable(name, rows) : null,
    details,
  );
}

/** The card's headings go below the page's own. */
const prose = (card) => markdown.render(card.replace(/^(#{1,3}) /gm, "$1## "));

const facts = (model) => [
  ["Made", new Date(model.created).toISOString().slice(0, 10)],
  ["Hears", `${model.sample_rate_hz} Hz, windows of ${model.window_seconds} s`],
  ["SHA-256", h("code", {}, model.sha256)],
];

function pointTable(model, points) {
  const row = (name) => {
    const point = points[name];
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, named(name)),
      h("td", { class: "figure" }, number(point.threshold)),
      h(
        "td",
        { class: "figure" },
        `${percent(point.false_accept_rate)} `,
        h("span", { class: "note" }, range(point.false_accept_interval)),
      ),
      h(
        "td",
        { class: "figure" },
        `${percent(point.false_reject_rate)} `,
        h("span", { class: "note" }, range(point.false_reject_interval)),
      ),
    );
  };
  return h(
    "div",
    {},
    table(
      `Operating points of ${model}`,
      ["Name", "Threshold", "Spoofs called bonafide", "Bonafide called spoof"],
      POINTS.map(row),
    ),
    h("p", { class: "note" }, `Measured on ${points.balanced.measured_on}.`),
  );
}

function figureTable(model, rows) {
  const row = ({ corpus, partition, channel, figures }) => {
    const balanced = figures.operating_points?.balanced;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, `${corpus} ${partition}`),
      h("td", {}, channel === "original" ? "as recorded" : channel),
      h("td", { class: "figure" }, figures.trials?.all ?? "–"),
      h(
        "td",
        { class: "figure" },
        `${number(figures.eer_percent, 1)} % `,
        figures.eer_interval_percent
          ? h("span", { class: "note" }, `${figures.eer_interval_percent.map((end) => end.toFixed(1)).join(" to ")}`)
          : null,
      ),
      h("td", { class: "figure" }, typeof figures.cllr === "number" ? number(figures.cllr) : "–"),
      h(
        "td",
        { class: "figure" },
        balanced ? `${balanced.false_accept_percent.toFixed(0)} / ${balanced.false_reject_percent.toFixed(0)} %` : "–",
      ),
    );
  };
  return table(
    `Figures of ${model}`,
    ["Clips", "Channel", "Trials", "EER, 95 %", "Cllr, bits", "False accepts / rejects at balanced"],
    rows.map(row),
  );
}
