// The models that the service has loaded: asked for once, and again when a key is given.

import { getJson } from "./api.js";
import { modelName } from "./format.js";

export class Models extends EventTarget {
  #models = [];

  /** Ask. Until the service is ready or a key is given, there are none; "changed" tells. */
  async load() {
    this.#models = (await getJson("models")).models;
    this.dispatchEvent(new Event("changed"));
  }

  all() {
    return this.#models;
  }

  /** Those that a request may name: a shadow only scores in silence. */
  named() {
    return this.#models.filter(({ role }) => role !== "shadow");
  }

  find(model) {
    return this.#models.find((one) => modelName(one) === modelName(model));
  }

  /** A model's manifest and card. */
  async detail(model) {
    model.detail ??= getJson(`models/${model.family}/versions/${model.version}`);
    try {
      return await model.detail;
    } catch (error) {
      model.detail = undefined; // asked for again the next time
      throw error;
    }
  }

  /** When its verdicts are inconclusive, kept with the model; null where it cannot be had. */
  async policy(model) {
    try {
      model.policy = (await this.detail(model)).manifest.output.policy;
    } catch {
      model.policy = null;
    }
    return model.policy;
  }
}
