// The clips of this page: what they are, where they are on their way, and what was said of them.

const RAW_TYPES = {
  ul: "audio/basic",
  ulaw: "audio/basic",
  mulaw: "audio/basic",
  al: "audio/x-alaw;rate=8000",
  alaw: "audio/x-alaw;rate=8000",
};

/** The media type of a file. Only headerless audio needs one, and browsers do not know those. */
export function mediaTypeOf(name, type) {
  return RAW_TYPES[name.split(".").pop().toLowerCase()] ?? (type || "application/octet-stream");
}

/** "changed" tells of one clip, "selected" of the one that is looked at; "cleared" that all are to go. */
export class Clips extends EventTarget {
  items = [];
  selected = null;
  #last = 0;

  /** A clip: `{ id, name, blob, mediaType, source, address, state, result, problem, request, begun }`. */
  add(blob, name, { mediaType, source = "file", address = null } = {}) {
    const item = {
      id: ++this.#last,
      name,
      blob,
      mediaType: mediaType ?? mediaTypeOf(name, blob.type),
      source,
      address, // of an example, where anyone may get it
      state: "waiting", // sending, done, failed, cancelled
      result: null,
      problem: null,
      request: null, // what was asked of the service
      begun: performance.now(),
    };
    this.items.push(item);
    this.dispatchEvent(new CustomEvent("changed", { detail: item }));
    return item;
  }

  update(item, values) {
    Object.assign(item, values);
    this.dispatchEvent(new CustomEvent("changed", { detail: item }));
  }

  select(item) {
    this.selected = item;
    this.dispatchEvent(new CustomEvent("selected", { detail: item }));
  }

  clear() {
    this.dispatchEvent(new Event("cleared"));
    this.items = [];
    this.select(null);
    this.dispatchEvent(new CustomEvent("changed", { detail: null }));
  }
}
