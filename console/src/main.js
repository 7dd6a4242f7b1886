// The page: wires what the other modules do.

import { keyEvents, Refusal, useKey } from "./api.js";
import { Clips } from "./clips.js";
import { announce, byId, h } from "./dom.js";
import { modelName, named, percent } from "./format.js";
import { intake } from "./intake.js";
import { Models } from "./loaded.js";
import { recorder } from "./recorder.js";
import { ResultView } from "./result.js";
import { Sender } from "./sending.js";
import { ClipTable } from "./table.js";
import { headline, POINTS } from "./verdict.js";
import { workBar } from "./work.js";

const clips = new Clips();
const models = new Models();
const sender = new Sender(clips);
const view = new ResultView(byId("result"), models);
new ClipTable(byId("list"), clips);
workBar(sender);
clips.addEventListener("cleared", () => sender.cancel());

// Sending

function asked() {
  const query = { channel: byId("channel").value };
  if (byId("model").value) query.model = byId("model").value;
  if (byId("operating-point").value) query.operating_point = byId("operating-point").value;
  return query;
}

/** Score clips. One alone is looked at as soon as its verdict is there; of many, the first. */
function score(items) {
  const [first] = items;
  const look = ({ detail: item }) => {
    if (item !== first || item.state === "sending" || item.state === "waiting") return;
    clips.removeEventListener("changed", look);
    if (item.state !== "cancelled") clips.select(item);
  };
  clips.addEventListener("changed", look);
  if (byId("clips").hidden) location.hash = "clips"; // the whole page takes drops, whichever view it shows
  sender.send(items, asked());
}

clips.addEventListener("selected", ({ detail: item }) => {
  view.show(item);
  if (!item) return;
  const changed = item.result ? !models.find(item.result.model) : item.problem.code === "unknown_model";
  if (changed) loadModels(); // the service has changed versions
  requestAnimationFrame(() => performance.measure("verdict", { start: item.begun, detail: item.name }));
  const words = item.result
    ? headline(item.result, models.find(item.result.model)?.operating_points)
    : item.problem.title;
  announce(`${item.name}: ${words}.`);
});

intake({
  onFiles: (files) => score(files.map((file) => clips.add(file, file.name))),
  onExample: (blob, name, mediaType, address) =>
    score([clips.add(blob, name, { mediaType, source: "example", address })]),
  onFailed: announce,
});
recorder((blob, name) => score([clips.add(blob, name, { source: "microphone" })]));

// Models and keys

models.addEventListener("changed", () => {
  const chosen = byId("model").value;
  const names = models.named().map(modelName);
  byId("model").replaceChildren(...names.map((name) => h("option", {}, name)));
  byId("model").value = kept(chosen, names);
  showPoints();
  if (!byId("models").hidden) showView();
  if (clips.selected?.result) view.know(clips.selected);
});
byId("model").addEventListener("change", showPoints);
byId("operating-point").addEventListener("change", tellPoint);

/** What was chosen, while it is there; else another version of its family; else the default. */
function kept(chosen, names) {
  const family = `${chosen.split("@")[0]}@`;
  return names.find((name) => name === chosen) ?? names.find((name) => name.startsWith(family)) ?? names[0];
}

function chosenModel() {
  return models.all().find((model) => modelName(model) === byId("model").value);
}

function showPoints() {
  const point = byId("operating-point").value || "balanced";
  const options = POINTS.filter((name) => chosenModel()?.operating_points[name]).map((name) =>
    h("option", { value: name }, named(name)),
  );
  byId("operating-point").replaceChildren(...options);
  byId("operating-point").value = point;
  tellPoint();
}

function tellPoint() {
  const point = chosenModel()?.operating_points[byId("operating-point").value];
  byId("point-note").textContent = point
    ? `There, ${percent(point.false_accept_rate)} of spoofs were called bonafide, and ${percent(point.false_reject_rate)} of bonafide clips spoof.`
    : "";
}

async function loadModels() {
  try {
    await models.load();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, detail } = error.problem;
    if (code === "not_ready") setTimeout(loadModels, 1000);
    byId("point-note").textContent = code === "not_ready" ? "The service is loading its models …" : detail;
  }
}

keyEvents.addEventListener("needed", () => {
  byId("access").open = true;
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value);
  byId("access").open = false;
  loadModels();
});

// Pages

async function showView() {
  const name = location.hash === "#models" ? "models" : "clips";
  for (const id of ["clips", "models"]) byId(id).hidden = id !== name;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = name === "models" ? "Models · Bonafide" : "Bonafide";
  if (name === "models") {
    const { showModels } = await import("./models-view.js");
    showModels(byId("models-content"), models);
  }
}
addEventListener("hashchange", showView);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names a view, and this is no other
  byId("main").focus();
});
showView();
loadModels();
