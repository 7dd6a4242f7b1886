// The clips of this page as a table: sorted, filtered, saved; a clip that failed says why in its place.

import { byId, h, save } from "./dom.js";
import { toCsv, toJson } from "./exports.js";
import { named, number } from "./format.js";
import { SHORT, SYMBOLS } from "./verdict.js";

const WAITING = { waiting: "waiting", sending: "on its way", cancelled: "cancelled" };
const lowest = ({ segments }) => Math.min(...segments.map(({ score }) => score));

// title, what it is sorted by (text or number), what it shows
const COLUMNS = [
  { title: "Clip", by: (item) => item.name.toLowerCase() },
  { title: "Verdict", by: (item) => item.result?.verdict ?? null },
  { title: "Score", by: (item) => item.result?.score ?? null, show: ({ score }) => number(score) },
  {
    title: "Lowest window",
    by: (item) => (item.result ? lowest(item.result) : null),
    show: (result) => number(lowest(result)),
    less: true,
  },
  {
    title: "Speech, s",
    by: (item) => item.result?.audio.speech_seconds ?? null,
    show: ({ audio }) => number(audio.speech_seconds),
    less: true,
  },
  {
    title: "Length, s",
    by: (item) => item.result?.audio.duration_seconds ?? null,
    show: ({ audio }) => number(audio.duration_seconds),
    less: true,
  },
  {
    title: "Class",
    by: (item) => item.result?.audio.channel_class ?? null,
    show: ({ audio }) => audio.channel_class,
    less: true,
  },
];

export class ClipTable {
  #clips;
  #place;
  #sort = { column: null, down: false };

  constructor(place, clips) {
    this.#clips = clips;
    this.#place = place;
    this.text = h("input", { id: "filter-text", type: "search", placeholder: "part of a name" });
    this.kind = h(
      "select",
      { id: "filter-kind" },
      ...Object.entries({
        all: "all",
        bonafide: "bonafide",
        spoof: "spoof",
        inconclusive: "inconclusive",
        problem: "not scored",
      }).map(([value, text]) => h("option", { value }, text)),
    );
    this.count = h("p", { class: "note", role: "status" });
    this.head = h("tr");
    this.body = h("tbody");
    for (const control of [this.text, this.kind]) control.addEventListener("input", () => this.draw());
    place.append(
      h("h2", { id: "list-title" }, "Clips"),
      h(
        "div",
        { class: "row tools" },
        h("label", { for: "filter-text" }, "Name"),
        this.text,
        h("label", { for: "filter-kind" }, "Verdict"),
        this.kind,
        h(
          "button",
          { type: "button", id: "save-csv", onclick: () => this.#save(toCsv, "text/csv", "csv") },
          "Save CSV",
        ),
        h(
          "button",
          { type: "button", id: "save-json", onclick: () => this.#save(toJson, "application/json", "json") },
          "Save JSON",
        ),
        h("button", { type: "button", id: "clear", onclick: () => clips.clear() }, "Clear"),
      ),
      this.count,
      h(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of clips" },
        h("table", { id: "clips-table" }, h("thead", {}, this.head), this.body),
      ),
    );
    this.#drawHead();
    let due = false;
    const later = () => {
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        this.draw();
      });
    };
    clips.addEventListener("changed", later);
    clips.addEventListener("selected", later);
  }

  /** What the filters leave, in the order chosen. */
  shown() {
    const text = this.text.value.trim().toLowerCase();
    const kind = this.kind.value;
    const items = this.#clips.items.filter(
      (item) =>
        item.name.toLowerCase().includes(text) &&
        (kind === "all" || (kind === "problem" ? item.problem : item.result?.verdict === kind)),
    );
    const { column, down } = this.#sort;
    if (!column) return items;
    const order = (one, other) => (one < other ? -1 : Number(one > other));
    const unknown = (item) => column.by(item) === null; // last, in either order
    return items.sort(
      (one, other) =>
        unknown(one) - unknown(other) || (down ? -1 : 1) * order(column.by(one), column.by(other)),
    );
  }

  draw() {
    const { items } = this.#clips;
    this.#place.hidden = items.length < 2;
    const shown = this.shown();
    const tally = ["spoof", "inconclusive", "bonafide"].map(
      (verdict) => `${items.filter(({ result }) => result?.verdict === verdict).length} ${verdict}`,
    );
    const failed = items.filter(({ problem }) => problem).length;
    this.count.textContent = `${items.length} clips: ${tally.join(", ")}${failed ? `, ${failed} not scored` : ""}. Shown: ${shown.length}.`;
    const held = this.body.contains(document.activeElement) ? document.activeElement.id : null;
    this.body.replaceChildren(...shown.map((item) => this.#row(item)));
    if (held) byId(held)?.focus({ preventScroll: true }); // drawn anew, it is another element
  }

  #drawHead() {
    this.head.replaceChildren(
      ...COLUMNS.map((column) => {
        const sorted = this.#sort.column === column;
        const arrow = sorted ? (this.#sort.down ? " ▾" : " ▴") : "";
        const press = () => {
          this.#sort = { column, down: sorted && !this.#sort.down };
          this.#drawHead();
          this.draw();
          this.head.children[COLUMNS.indexOf(column)].firstChild.focus();
        };
        return h(
          "th",
          {
            scope: "col",
            class: column.less ? "less" : null,
            "aria-sort": sorted ? (this.#sort.down ? "descending" : "ascending") : "none",
          },
          h("button", { type: "button", onclick: press }, column.title, h("span", { "aria-hidden": "true" }, arrow)),
        );
      }),
    );
  }

  #row(item) {
    const chosen = this.#clips.selected === item;
    const settled = item.result || item.problem;
    const name = settled
      ? h(
          "button",
          {
            type: "button",
            id: `clip-${item.id}`,
            class: "link",
            "aria-current": chosen ? "true" : null,
            onclick: () => this.#clips.select(item),
          },
          item.name,
        )
      : item.name;
    const first = h("th", { scope: "row" }, name);
    const { result, problem } = item;
    if (problem) {
      return h(
        "tr",
        { class: chosen ? "chosen" : null },
        first,
        h(
          "td",
          { colspan: COLUMNS.length - 1, class: "failed" },
          `${SYMBOLS.problem} ${problem.title} `,
          h("span", { class: "note" }, `${problem.detail} (${problem.code})`),
        ),
      );
    }
    if (!result)
      return h("tr", {}, first, h("td", { colspan: COLUMNS.length - 1, class: "note" }, WAITING[item.state]));
    const verdict = h(
      "td",
      {},
      h(
        "span",
        { class: `tag ${result.verdict}` },
        h("span", { "aria-hidden": "true" }, SYMBOLS[result.verdict]),
        ` ${SHORT[result.verdict]}`,
      ),
      result.reasons.length > 0 ? h("span", { class: "note" }, ` ${result.reasons.map(named).join(", ")}`) : null,
    );
    return h(
      "tr",
      { class: chosen ? "chosen" : null },
      first,
      verdict,
      ...COLUMNS.slice(2).map(({ show, less }) => h("td", { class: `figure${less ? " less" : ""}` }, show(result))),
    );
  }

  #save(write, type, ending) {
    save(new Blob([write(this.shown())], { type }), `bonafide-${new Date().toISOString().slice(0, 10)}.${ending}`);
  }
}
