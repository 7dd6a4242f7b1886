// Results -> CSV (RFC 4180) and JSON.

const COLUMNS = {
  name: (item) => item.name,
  verdict: ({ result }) => result?.verdict,
  score: ({ result }) => result?.score,
  bonafide: ({ result }) => result?.bonafide,
  spoof: ({ result }) => result?.spoof,
  operating_point: ({ result }) => result?.operating_point.name,
  threshold: ({ result }) => result?.operating_point.threshold,
  reasons: ({ result }) => result?.reasons.join(" "),
  channel: ({ result }) => result?.audio.channel,
  channel_class: ({ result }) => result?.audio.channel_class,
  duration_seconds: ({ result }) => result?.audio.duration_seconds,
  speech_seconds: ({ result }) => result?.audio.speech_seconds,
  model: ({ result }) => result && `${result.model.family}@${result.model.version}`,
  request_id: ({ result, problem }) => result?.request_id ?? problem?.request_id,
  problem: ({ problem }) => problem?.code,
  problem_detail: ({ problem }) => problem?.detail,
};

export function toCsv(items) {
  const lines = [Object.keys(COLUMNS), ...items.map((item) => Object.values(COLUMNS).map((column) => column(item)))];
  return lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Results as the service gave them, by name. */
export function toJson(items) {
  return `${JSON.stringify(
    items.map(({ name, result, problem }) => ({ name, result, problem })),
    null,
    1,
  )}\n`;
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value; // a name must not be a spreadsheet's formula
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
