// Runs on the audio thread: hands what the microphone hears to the page, untouched.

const BLOCK = 2048; // samples: some 40 ms

class Tap extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK);
  #filled = 0;

  process([input]) {
    const samples = input[0]; // the first channel; a microphone has one, or the same twice
    if (!samples) return true;
    for (const sample of samples) {
      this.#block[this.#filled++] = sample;
      if (this.#filled === BLOCK) {
        this.port.postMessage(this.#block.slice());
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("tap", Tap);
