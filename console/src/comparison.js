// One clip, two models: the same request with another model's name.

import { parsed, Refusal, request } from "./api.js";
import { detPlot } from "./det.js";
import { inBoth, lineOf, setName } from "./det-lines.js";
import { announce, h, onPress, table } from "./dom.js";
import { rowsOf } from "./figures.js";
import { modelName, named, number, percent } from "./format.js";
import { scale } from "./scale.js";
import { headline, SYMBOLS } from "./verdict.js";

/** A card that offers it, or null where one model alone is loaded. */
export function comparisonCard(item, models) {
  const others = models.named().filter((model) => modelName(model) !== modelName(item.result.model));
  if (others.length === 0) return null;
  const choice = h(
    "select",
    { id: "compare-with" },
    others.map((model) => h("option", {}, modelName(model))),
  );
  const found = h("div", { id: "compared" });
  const button = h("button", { type: "button", id: "compare" }, "Compare");
  onPress(button, async () => {
    const query = new URLSearchParams(item.request.query);
    query.set("model", choice.value);
    try {
      const headers = { "Content-Type": item.mediaType };
      const other = parsed(await request("POST", `detect?${query}`, { body: item.blob, headers }));
      found.replaceChildren(...compared(item.result, other, models).filter(Boolean));
      announce("The comparison is there.");
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      found.replaceChildren(h("p", { role: "alert" }, `${error.problem.title} ${error.problem.detail}`));
    }
  });
  return h(
    "section",
    { class: "card", "aria-labelledby": "compare-title" },
    h("h2", { id: "compare-title" }, "Compare with another model"),
    h("div", { class: "row" }, h("label", { for: "compare-with" }, "Model"), choice, button),
    found,
  );
}

function compared(one, other, models) {
  const both = [one, other];
  const rate = (value) => (value === null ? "–" : percent(value));
  const row = (name, value) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      both.map((result) => h("td", {}, value(result))),
    );
  const points = (result) => models.find(result.model)?.operating_points;
  const rows = [
    row("Verdict", (result) => `${SYMBOLS[result.verdict]} ${headline(result, points(result))}`),
    row("Score", ({ score }) => number(score)),
    row("Threshold", ({ operating_point: point }) => `${named(point.name)}, ${number(point.threshold)}`),
    row("Spoofs called bonafide there", ({ operating_point: point }) => rate(point.false_accept_rate)),
    row("Bonafide called spoof there", ({ operating_point: point }) => rate(point.false_reject_rate)),
    row("Lowest window", ({ segments }) => number(Math.min(...segments.map(({ score }) => score)))),
  ];
  return [
    scale(
      both.map((result) => ({ result, label: modelName(result.model) })),
      points(one),
    ),
    table("Comparison", ["", ...both.map(({ model }) => modelName(model))], rows),
    h("p", { class: "note" }, "Each model has thresholds of its own: those on the scale are the first’s."),
    curves(both.map(({ model }) => models.find(model)).filter(Boolean)),
  ];
}

/** Both models' error rates on clips that both were evaluated on, or null where there are none. */
function curves(both) {
  if (both.length < 2) return null;
  const pairs = inBoth(...both.map(({ metrics }) => rowsOf(metrics)));
  if (pairs.length === 0) return null;
  const choice = h(
    "select",
    { id: "compared-on" },
    pairs.map(([row], place) => h("option", { value: place }, setName(row))),
  );
  const plot = h("div", {});
  const show = () =>
    plot.replaceChildren(detPlot(pairs[choice.value].map((row, place) => lineOf(row, modelName(both[place])))));
  choice.addEventListener("change", show);
  show();
  return h(
    "div",
    {},
    h("h3", {}, "Error rates on the same clips"),
    h("div", { class: "row" }, h("label", { for: "compared-on" }, "Clips"), choice),
    plot,
  );
}
