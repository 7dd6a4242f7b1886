// The card with the command that makes the request once more.

import { hasKey } from "./api.js";
import { curlFor } from "./curl.js";
import { announce, h, save } from "./dom.js";

export function commandCard(item) {
  if (!item.request) return null;
  const base = document.baseURI.replace(/#.*$/, "");
  const command = curlFor(item.request, base, { withKey: hasKey() });
  const copy = h("button", { type: "button", class: "small" }, "Copy");
  const code = h("code", { id: "curl" }, command);
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command);
      copy.textContent = "Copied";
      announce("Copied.");
    } catch {
      getSelection().selectAllChildren(code); // on plain http, a browser gives no clipboard
      announce("The browser copies nothing here. The command is selected: copy it by keyboard.");
    }
  });
  const recorded = item.source === "microphone";
  return h(
    "section",
    { class: "card", "aria-labelledby": "command-title" },
    h("h2", { id: "command-title" }, "This request, from a shell"),
    h("pre", { tabindex: "0", role: "region", "aria-label": "Command" }, code),
    h(
      "p",
      { class: "row" },
      copy,
      recorded &&
        h(
          "button",
          { type: "button", class: "small", onclick: () => save(item.blob, item.name) },
          "Save the recording",
        ),
      h("a", { href: "docs" }, "The API’s pages"),
    ),
  );
}
