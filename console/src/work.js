// What is on its way: uploaded, scored, cancelled.

import { announce, byId, h } from "./dom.js";

export function workBar(sender) {
  const place = byId("work");
  const upload = h("progress", { id: "upload", max: 1 });
  const scored = h("progress", { id: "scored" });
  const text = h("p", { id: "work-text" });
  place.append(
    text,
    h(
      "div",
      { class: "bars" },
      h("label", { for: "upload" }, "Sent"),
      upload,
      h("label", { for: "scored" }, "Scored"),
      scored,
    ),
    h("button", { type: "button", id: "cancel", onclick: () => sender.cancel() }, "Cancel"),
  );
  let shown = 0; // a timer: what is done at once need not flash up
  sender.addEventListener("progress", () => {
    const { uploaded, scored: done, total } = sender.progress;
    upload.value = uploaded;
    scored.max = total;
    scored.value = done;
    text.textContent =
      total > 1 ? `${done} of ${total} clips scored` : uploaded < 1 ? "Sending the clip" : "Scoring the clip";
    shown ||= setTimeout(() => (place.hidden = false), 250);
  });
  sender.addEventListener("ended", () => {
    clearTimeout(shown);
    shown = 0;
    place.hidden = true;
    const { scored: done, total } = sender.progress;
    if (total > 1) announce(`${done} of ${total} clips are done.`);
  });
}
