/** The menu of models. */

import { CHAT_SERVICE, LIST_MODELS, LIST_WEIGHTS } from "./chat.js";
import { modelWords } from "./words.js";

/** The model that every hub brings: it answers where the hub names no default. */
const USUAL = "troupe-tiny";
/** Models that need not be offered: they cannot answer. */
const UNUSABLE = new Set(["MODEL_STATE_FAILED", "WEIGHTS_STATE_WAITING", "WEIGHTS_STATE_FETCHING"]);
/** States of weights that come by themselves. */
const COMING = new Set(["WEIGHTS_STATE_WAITING", "WEIGHTS_STATE_FETCHING"]);
/** States that pass by themselves. */
const PASSING = new Set([
  "MODEL_STATE_LOADING",
  "MODEL_STATE_DRAINING",
  "MODEL_STATE_UNAVAILABLE",
  ...COMING,
]);

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
  /** Models that are not there yet, and are being fetched. */
  #coming = [];
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
    return this.#models.length > 0 && ![...this.#models, ...this.#coming].some(({ state }) => PASSING.has(state));
  }

  /** Ask the hub anew. Throws a WireError. */
  async refresh(wire, say) {
    const { models = [] } = await wire.unary(LIST_MODELS, { service: CHAT_SERVICE });
    this.#models = models;
    this.#coming = this.#coming.filter(({ name }) => !this.#has(name));
    this.show(say);
  }

  /** Ask the hub which models it is fetching; one that fetches nothing may take seconds to say so. */
  async refreshComing(wire, say) {
    this.#coming = (await comingWeights(wire)).filter(({ name }) => !this.#has(name));
    this.show(say);
  }

  #has(name) {
    return this.#models.some((model) => model.name === name);
  }

  /** Show what is known, in the present language. A list that is as before is left alone: it may be open. */
  show(say) {
    const shown = JSON.stringify([this.#models, this.#coming, say("model")]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const options = [...this.#models, ...this.#coming].map((model) => {
      const option = new Option(modelWords(model, say), model.name);
      option.disabled = UNUSABLE.has(model.state);
      option.title = model.error ?? model.note ?? model.description ?? "";
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
    const usable = this.#models.filter((model) => !UNUSABLE.has(model.state));
    const named = (name) => usable.find((model) => model.name === name);
    const ready = usable.find((model) => model.state === "MODEL_STATE_READY");
    const standard = usable.find((model) => model.default);
    const found = named(before) ?? named(this.#wanted) ?? standard ?? named(USUAL) ?? ready ?? usable[0];
    this.#select.value = found?.name ?? "";
  }
}

/** Models for chats that the hub is fetching; none where it fetches nothing, or does not tell. */
async function comingWeights(wire) {
  try {
    const { weights = [] } = await wire.unary(LIST_WEIGHTS, {});
    return weights.filter(({ state, services = [] }) => COMING.has(state) && services.includes(CHAT_SERVICE));
  } catch {
    return [];
  }
}
