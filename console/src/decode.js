// A clip -> samples to draw and an address to play: by the browser where it can, by the service where it cannot.

import { request } from "./api.js";

export const RATE = 16_000; // Hz of what is drawn

/** `{ channels, duration, blob, heard }`: Float32Arrays at RATE, and what to play; `heard` if the service decoded it. */
export async function decodeClip(item) {
  if (!/mulaw|alaw|basic/.test(item.mediaType)) {
    try {
      return { ...(await decoded(item.blob)), blob: item.blob, heard: false };
    } catch {
      // A codec that this browser does not have.
    }
  }
  const wav = await request("POST", "waveform", {
    body: item.blob,
    headers: { "Content-Type": item.mediaType },
    binary: true,
  });
  const blob = new Blob([wav], { type: "audio/wav" });
  return { ...(await decoded(blob)), blob, heard: true };
}

async function decoded(blob) {
  const buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, which) => buffer.getChannelData(which));
  return { channels, duration: buffer.duration };
}
