// Where clips come from: dropped, chosen, pasted, or one of the examples. The microphone is recorder.js's.

import { byId } from "./dom.js";

/** `onFiles(files)` gets Files; `onExample(blob, name, mediaType, address)` an example that was fetched. */
export function intake({ onFiles, onExample, onFailed }) {
  const zone = byId("drop");
  const input = byId("files");
  input.addEventListener("change", () => {
    onFiles([...input.files]);
    input.value = ""; // so that the same file may be chosen again
  });
  // The whole page takes drops: a file that misses the zone would otherwise replace the page.
  let inside = 0;
  document.addEventListener("dragenter", () => zone.classList.toggle("over", ++inside > 0));
  document.addEventListener("dragleave", () => zone.classList.toggle("over", --inside > 0));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    zone.classList.remove("over");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length > 0) onFiles(files);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) onFiles(files);
  });
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", async () => {
      const { example, name, type } = button.dataset;
      const answer = await fetch(example).catch(() => null);
      if (answer?.ok) onExample(await answer.blob(), name, type, example);
      else onFailed(`The example ${name} could not be fetched.`);
    });
  }
}
