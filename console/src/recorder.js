// The microphone -> a WAV. Browsers' own recorders compress; a codec between voice and detector would cost accuracy.

import { byId, onPress } from "./dom.js";
import { encodeWav } from "./wav.js";

const MOST_SECONDS = 60;
const CONSTRAINTS = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };

/** Wire the record button; `onClip(blob, name)` gets what was recorded. */
export function recorder(onClip) {
  const button = byId("record");
  let running = null;
  onPress(button, async () => {
    if (running) {
      running.stop();
      return;
    }
    try {
      running = await start(() => {
        const { blob, seconds } = running.result();
        running = null;
        button.textContent = "Record";
        byId("recording").hidden = seconds > 0;
        if (seconds > 0) onClip(blob, `recording-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.wav`);
        else say("Nothing was heard.");
      });
      button.textContent = "Stop and score";
    } catch (error) {
      say(refused(error));
    }
  });
}

function say(text) {
  byId("recording").hidden = false;
  byId("recording-state").textContent = text;
}

function refused(error) {
  if (!navigator.mediaDevices) return "A browser gives a microphone only to pages on https:// or on this machine.";
  if (error.name === "NotAllowedError") return "The browser was not allowed to use the microphone.";
  if (error.name === "NotFoundError") return "There is no microphone.";
  return `The microphone cannot be used: ${error.message}`;
}

async function start(onStopped) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: CONSTRAINTS });
  try {
    return await recording(stream, onStopped);
  } catch (error) {
    stream.getTracks().forEach((track) => track.stop()); // a microphone that is not used is not left open
    throw error;
  }
}

async function recording(stream, onStopped) {
  const context = new AudioContext();
  await context.audioWorklet.addModule(document.body.dataset.worklet);
  const source = context.createMediaStreamSource(stream);
  const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
  const blocks = [];
  let samples = 0;
  let said = -1;
  const stop = () => {
    source.disconnect();
    stream.getTracks().forEach((track) => track.stop());
    tap.port.onmessage = null;
    context.close();
    onStopped();
  };
  tap.port.onmessage = ({ data }) => {
    blocks.push(data);
    samples += data.length;
    const level = 20 * Math.log10(Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length) + 1e-6);
    byId("level").value = level;
    byId("level").textContent = `${level.toFixed(0)} dBFS`;
    const whole = Math.floor(samples / context.sampleRate);
    if (whole !== said) {
      said = whole;
      say(`Recording, ${whole} s. ${whole < 3 ? "Speak for 3 s or more." : "Enough to score; 5 s are better."}`);
    }
    if (whole >= MOST_SECONDS) stop();
  };
  source.connect(tap);
  say("Recording, 0 s. Speak for 3 s or more.");
  return {
    stop,
    result() {
      const whole = new Float32Array(samples);
      let at = 0;
      for (const block of blocks) {
        whole.set(block, at);
        at += block.length;
      }
      return { blob: encodeWav([whole], context.sampleRate), seconds: samples / context.sampleRate };
    },
  };
}
