/** The menu of models. */

import { CHAT_SERVICE, LIST_MODELS } from "./chat.js";
import { modelWords } from "./words.js";

/** The model that every hub brings: it answers where the hub names no default. */
const USUAL = "troupe-tiny";
/** Models that need not be offered: they cannot answer. */
const UNUSABLE = "MODEL_STATE_FAILED";
/** States that pass by themselves. */
const PASSING = new Set(["MODEL_STATE_LOADING", "MODEL_STATE_DRAINING"]);

/**
 * Keeps a <select> up to date with what the hub can chat with.
 *   select   the element
 *   wanted       the model that the person chose at an earlier time, or ""
 *   chosen(name) called when the person has chosen
 *   begun()      something was said already: then the model stays, even if the hub's default becomes another
 */
export class ModelMenu {
  #select;
  #models = [];
  #wanted;
  #begun;
  #shown = "";

  constructor(select, { wanted, chosen, begun }) {
    this.#select = select;
    this.#wanted = wanted;
    this.#begun = begun;
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
    const before = this.#begun() ? this.name : "";
    this.#select.replaceChildren(...options);
    this.#select.disabled = options.length === 0;
    this.#choose(before);
  }

  /** Choose for a conversation that begins. */
  startAnew() {
    this.#choose("");
  }

  /** The model of before, else the one that was chosen, the hub's default, the usual one, one that is ready, any. */
  #choose(before) {
    const usable = this.#models.filter((model) => model.state !== UNUSABLE);
    const named = (name) => usable.find((model) => model.name === name);
    const ready = usable.find((model) => model.state === "MODEL_STATE_READY");
    const standard = usable.find((model) => model.default);
    const found = named(before) ?? named(this.#wanted) ?? standard ?? named(USUAL) ?? ready ?? usable[0];
    this.#select.value = found?.name ?? "";
  }
}
