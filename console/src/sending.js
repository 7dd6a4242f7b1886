// Clips -> requests: one clip goes to /detect, many go to /batch, whose results come line by line.

import { Cancelled, parsed, Refusal, request } from "./api.js";

const BATCH_CLIPS = 50; // in one request, and their bytes: well below the service's usual limits
const BATCH_BYTES = 32 * 2 ** 20;

/** Sends clips; "progress" has `{ uploaded, scored, total }`, "ended" comes when nothing is on its way. */
export class Sender extends EventTarget {
  #clips;
  #abort = null;
  #queue = [];

  constructor(clips) {
    super();
    this.#clips = clips;
  }

  get busy() {
    return this.#abort !== null;
  }

  /** Send clips after those that are on their way. `query` has model, operating_point and channel. */
  async send(items, query) {
    this.#queue.push(...batched(items).map((group) => ({ group, query })));
    if (this.busy) return;
    this.#abort = new AbortController();
    this.progress = { uploaded: 0, scored: 0, total: 0 };
    const counted = new Set();
    while (this.#queue.length > 0) {
      for (const { group } of this.#queue) {
        if (!counted.has(group)) this.progress.total += group.length;
        counted.add(group);
      }
      const { group, query: asked } = this.#queue.shift();
      await this.#sendGroup(group, new URLSearchParams(asked));
    }
    this.#abort = null;
    this.dispatchEvent(new Event("ended"));
  }

  cancel() {
    const waiting = this.#queue.flatMap(({ group }) => group);
    this.#queue = [];
    this.#abort?.abort();
    for (const item of waiting) this.#clips.update(item, { state: "cancelled" });
  }

  async #sendGroup(group, query) {
    const signal = this.#abort.signal;
    for (const item of group) this.#clips.update(item, { state: "sending" });
    this.#tell({ uploaded: 0 });
    try {
      group = await this.#readable(group);
      if (signal.aborted) throw new Cancelled("cancelled");
      if (group.length === 1) await this.#detect(group[0], query, signal);
      else if (group.length > 1) await this.#batch(group, query, signal);
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof Cancelled)) throw error;
      for (const item of group.filter(({ state }) => state === "sending")) {
        if (error instanceof Cancelled) this.#clips.update(item, { state: "cancelled" });
        else this.#settle(item, { state: "failed", problem: error.problem });
      }
    }
    if (signal.aborted) this.#abort = new AbortController(); // for what was added since
  }

  /** Those of a group that the browser can read. One that it cannot would fail the request, and all others with it. */
  async #readable(group) {
    const read = await Promise.all(group.map(({ blob }) => blob.slice(0, 1).arrayBuffer().catch(() => null)));
    const problem = {
      code: "unreadable",
      title: "The file cannot be read.",
      detail: "It may be a folder, or have been moved or changed since it was chosen. It was not sent.",
    };
    return group.filter((item, place) => {
      if (!read[place]) this.#settle(item, { state: "failed", problem });
      return read[place];
    });
  }

  async #detect(item, query, signal) {
    item.request = { path: "detect", query: query.toString(), items: [item] };
    const text = await request("POST", `detect?${query}`, {
      body: item.blob,
      headers: { "Content-Type": item.mediaType },
      signal,
      onUpload: (uploaded) => this.#tell({ uploaded }),
    });
    this.#settle(item, { state: "done", result: parsed(text) });
  }

  async #batch(group, query, signal) {
    const form = new FormData();
    for (const item of group) {
      form.append("files", item.blob.slice(0, item.blob.size, item.mediaType), item.name);
      item.request = { path: "batch", query: query.toString(), items: group };
    }
    let read = 0;
    const take = (text) => {
      for (let end; (end = text.indexOf("\n", read)) >= 0; read = end + 1) {
        const { index, result, problem } = parsed(text.slice(read, end));
        this.#settle(group[index], { state: result ? "done" : "failed", result, problem });
      }
    };
    const text = await request("POST", `batch?${query}`, {
      body: form,
      headers: { Accept: "application/x-ndjson" },
      signal,
      onUpload: (uploaded) => this.#tell({ uploaded }),
      onText: take,
    });
    take(text);
    const lost = {
      code: "no_answer",
      title: "The answer broke off.",
      detail: "The service sent no result for this clip.",
    };
    for (const item of group.filter(({ state }) => state === "sending"))
      this.#settle(item, { state: "failed", problem: lost });
  }

  #settle(item, values) {
    this.#tell({ scored: this.progress.scored + 1 });
    this.#clips.update(item, values);
  }

  #tell(values) {
    Object.assign(this.progress, values);
    this.dispatchEvent(new Event("progress"));
  }
}

/** Clips in groups that go into one request. */
export function batched(items) {
  const groups = [];
  let bytes = Infinity;
  for (const item of items) {
    if (bytes + item.blob.size > BATCH_BYTES || groups.at(-1).length >= BATCH_CLIPS) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1).push(item);
    bytes += item.blob.size;
  }
  return groups;
}
