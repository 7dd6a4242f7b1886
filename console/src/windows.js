// The windows of a result: what is said of them, where they stand, and which of them are suspicious.

import { number } from "./format.js";

/** A window in words. */
export function windowInWords({ start_seconds: start, end_seconds: end, score }, threshold) {
  const side = score >= threshold ? "at or above" : "below";
  return `${number(start)} to ${number(end)} s scores ${number(score)}, ${side} the threshold`;
}

/** Neighbouring windows below the threshold, as passages: `{ start, end, lowest }`. */
export function passages(segments, threshold) {
  const found = [];
  for (const { start_seconds: start, end_seconds: end, score } of segments) {
    if (score >= threshold) continue;
    const last = found.at(-1);
    if (last && start <= last.end + 1e-3) {
      last.end = Math.max(last.end, end);
      last.lowest = Math.min(last.lowest, score);
    } else {
      found.push({ start, end, lowest: score });
    }
  }
  return found;
}

/** Each channel of a result, in one shape: its own entry, or the result itself where there is only one. */
export function channelsOf(result) {
  if (result.channels.length > 0) return result.channels;
  return [{ ...result, channel: result.audio.channel }];
}

/** Windows side by side, each where it stands alone or first: they may overlap, and the last is moved back. */
export function tiled(segments) {
  const hop = segments.length > 2 ? segments[1].start_seconds - segments[0].start_seconds : Infinity;
  let from = segments[0].start_seconds;
  return segments.map(({ start_seconds: start, end_seconds: end, score }, index) => {
    const until = index === segments.length - 1 ? end : Math.min(end, start + hop);
    const tile = { from, until: Math.max(until, from), score };
    from = tile.until;
    return tile;
  });
}
