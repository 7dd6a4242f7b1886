// Requests to the service. XMLHttpRequest, since fetch tells nothing of an upload's progress.

let key = "";
export const keyEvents = new EventTarget(); // "needed", when the service refuses for want of one

export function useKey(text) {
  key = text.trim();
}

export const hasKey = () => key !== "";

/** A problem of the service's, or one of reaching it, in the same shape. */
export class Refusal extends Error {
  constructor(problem) {
    super(problem.title);
    this.problem = problem;
  }
}

export class Cancelled extends Error {}

/**
 * Send a request and resolve to its answer's text or, with `binary`, its ArrayBuffer.
 * `onUpload(share)` tells of the body's way; `onText(text)` has what has arrived of the answer so far.
 */
export function request(method, path, { body, headers = {}, signal, onUpload, onText, binary = false } = {}) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open(method, path);
    if (binary) xhr.responseType = "arraybuffer";
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    if (key) xhr.setRequestHeader("Authorization", `Bearer ${key}`);
    const abort = () => xhr.abort();
    signal?.addEventListener("abort", abort);
    xhr.onloadend = () => signal?.removeEventListener("abort", abort);
    xhr.onabort = () => reject(new Cancelled("cancelled"));
    xhr.onerror = () => reject(unreachable());
    if (onUpload) xhr.upload.onprogress = (event) => event.lengthComputable && onUpload(event.loaded / event.total);
    if (onText) {
      xhr.onprogress = () => {
        try {
          if (xhr.status === 200) onText(xhr.responseText);
        } catch (error) {
          reject(error);
          xhr.abort();
        }
      };
    }
    xhr.onload = () => {
      if (xhr.status >= 200 && xhr.status < 300) {
        resolve(xhr.response);
        return;
      }
      const problem = problemOf(xhr, binary);
      if (xhr.status === 401 || xhr.status === 403)
        keyEvents.dispatchEvent(new CustomEvent("needed", { detail: problem }));
      reject(new Refusal(problem));
    };
    if (signal?.aborted) abort();
    else xhr.send(body);
  });
}

export async function getJson(path) {
  return parsed(await request("GET", path));
}

/** What an answer's JSON says. A page of something in between is told as such, whatever its status. */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(foreign("It sent no JSON."));
  }
}

function problemOf(xhr, binary) {
  try {
    return JSON.parse(binary ? new TextDecoder().decode(xhr.response) : xhr.responseText);
  } catch {
    return foreign(`Status ${xhr.status}.`);
  }
}

const foreign = (detail) => ({
  code: "no_answer",
  title: "Something between here and the service answered.",
  detail,
});

function unreachable() {
  return new Refusal({
    code: "unreachable",
    title: "The service does not answer.",
    detail: "It may have been stopped, or the network may be gone. What was sent has no result.",
  });
}
