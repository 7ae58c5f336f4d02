/** The menu of models. */

import { CHAT_SERVICE, LIST_MODELS } from "./chat.js";
import { modelWords } from "./words.js";

/** Models that need not be offered: they cannot answer. */
const UNUSABLE = "MODEL_STATE_FAILED";
/** States that pass by themselves. */
const PASSING = new Set(["MODEL_STATE_LOADING", "MODEL_STATE_DRAINING"]);

/**
 * Keeps a <select> up to date with what the hub can chat with.
 *   select   the element
 *   chosen(name) called when the person has chosen
 */
export class ModelMenu {
  #select;
  #models = [];
  #wanted;
  #shown = "";

  constructor(select, wanted, chosen) {
    this.#select = select;
    this.#wanted = wanted;
    select.addEventListener("change", () => {
      this.#wanted = select.value;
      chosen(select.value);
    });
  }

  /** The model to ask, "" while none is known. */
  get name() {
    return this.#select.value;
  }

  get models() {
    return this.#models;
  }

  /** Nothing in the list will change by itself soon. */
  get settled() {
    return this.#models.length > 0 && !this.#models.some(({ state }) => PASSING.has(state));
  }

  /** Ask the hub anew. Throws a WireError. */
  async refresh(wire, say) {
    const { models = [] } = await wire.unary(LIST_MODELS, { service: CHAT_SERVICE });
    this.#models = models;
    this.show(say);
  }

  /** Show what is known, in the present language. A list that is as before is left alone: it may be open. */
  show(say) {
    const shown = JSON.stringify([this.#models, say("model")]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const options = this.#models.map((model) => {
      const option = new Option(modelWords(model, say), model.name);
      option.disabled = model.state === UNUSABLE;
      option.title = model.error ?? model.description ?? "";
      return option;
    });
    this.#select.replaceChildren(...options);
    this.#select.disabled = options.length === 0;
    this.#select.value = this.#preferred();
  }

  /** What was chosen before, else what is ready, else the first that can be had. */
  #preferred() {
    const usable = this.#models.filter((model) => model.state !== UNUSABLE);
    const wanted = usable.find((model) => model.name === this.#wanted);
    const ready = usable.find((model) => model.state === "MODEL_STATE_READY");
    return (wanted ?? ready ?? usable[0])?.name ?? "";
  }
}
