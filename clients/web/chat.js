/** A conversation and the answer that streams into it. Knows the wire and no document. */

import { Code } from "./wire.js";

export const GENERATE = "troupe.chat.v1.ChatService/Generate";
export const CHAT_SERVICE = "troupe.chat.v1.ChatService";
export const LIST_WEIGHTS = "troupe.weights.v1.WeightsService/ListWeights";
export const LIST_MODELS = "troupe.model.v1.ModelService/ListModels";

const ROLES = { user: "ROLE_USER", assistant: "ROLE_ASSISTANT" };
const TITLE_LENGTH = 60;
/** Reasons that mean: the answer was being made, and the rest of it cannot be had. */
const INTERRUPTIONS = new Set([
  "CALL_NOT_FOUND",
  "RESUME_OUT_OF_RANGE",
  "RESUME_REFUSED",
  "RESUMED_ELSEWHERE",
  "PEER_LOST",
  "CONTINUATION_UNSUPPORTED",
  "INTERRUPTED",
  "STREAM_GAP",
  "CONNECTION_LOST",
  "ENGINE_CRASHED",
  "CANCELLED",
]);

/**
 * A conversation: {id, updated, turns}. A turn: {role: "user", text} or
 * {role: "assistant", text, reasoning, model, state, progress, finish, usage, error} with state one of
 * "running", "done", "stopped" (by the person), "interrupted" (the rest is lost), "failed" (see `error`).
 */
export function newConversation() {
  return { id: Array.from(crypto.getRandomValues(new Uint8Array(8)), hex).join(""), updated: Date.now(), turns: [] };
}

/** The first words of a conversation, or "". */
export function titleOf({ turns }) {
  const words = (turns[0]?.text ?? "").trim().replace(/\s+/g, " ");
  return words.length <= TITLE_LENGTH ? words : `${words.slice(0, TITLE_LENGTH - 1).trimEnd()}…`;
}

/** The request for the next turn: system prompt, then what was said; turns of one side in a row are joined. */
export function requestFor(turns, { model, system, temperature }) {
  const messages = [];
  if (system.trim()) messages.push(message("ROLE_SYSTEM", system.trim()));
  for (const { role, text } of turns) {
    if (!text.trim()) continue;
    const last = messages.at(-1);
    if (last?.role === ROLES[role]) last.parts[0].text += `\n\n${text}`;
    else messages.push(message(ROLES[role], text));
  }
  const request = { model, messages };
  if (temperature !== null) request.sampling = { temperature };
  return request;
}

/**
 * Answers conversations, one answer at a time.
 *   changed(conversation, turn)  something is to be shown
 *   painted()                    resolves when it was: only then is credit given for more
 */
export class Chat {
  #wire;
  #changed;
  #painted;
  #call = null;
  #conversation = null;

  constructor({ wire, changed, painted }) {
    this.#wire = wire;
    this.#changed = changed;
    this.#painted = painted;
  }

  get running() {
    return this.#call !== null;
  }

  /** The conversation that is being answered, or null. */
  get conversation() {
    return this.#conversation;
  }

  /** Say something and have it answered; resolves when the answer has ended, however it ended. */
  ask(conversation, text, settings) {
    conversation.turns.push({ role: "user", text });
    return this.#answer(conversation, settings);
  }

  /** Have the last answer made once more. */
  again(conversation, settings) {
    if (conversation.turns.at(-1)?.role === "assistant") conversation.turns.pop();
    return this.#answer(conversation, settings);
  }

  /** Stop the answer that is being made. */
  stop() {
    this.#call?.cancel("stopped by the person");
  }

  /** What lets this page, loaded again, go on with the answer that is being made; null if there is none. */
  ticket() {
    return this.#call?.ticket() ?? null;
  }

  /** Go on with the answer of a ticket; its turn is the last one. One that had not begun may be asked for again. */
  resume(conversation, ticket, settings) {
    const turn = conversation.turns.at(-1);
    const request = requestFor(conversation.turns.slice(0, -1), { ...settings, model: turn.model });
    return this.#follow(conversation, turn, this.#wire.resume(ticket, request));
  }

  #answer(conversation, settings) {
    const request = requestFor(conversation.turns, settings);
    const turn = { role: "assistant", text: "", reasoning: "", model: settings.model, state: "running", progress: null };
    conversation.turns.push(turn);
    conversation.updated = Date.now();
    return this.#follow(conversation, turn, this.#wire.call(GENERATE, request, { repeatable: true }));
  }

  async #follow(conversation, turn, call) {
    this.#call = call;
    this.#conversation = conversation;
    this.#changed(conversation, turn);
    try {
      for await (const messages of call) {
        messages.forEach((each) => apply(turn, each));
        this.#changed(conversation, turn);
        await this.#painted();
      }
      turn.state = "done";
    } catch (error) {
      settle(turn, error, call.cancelled);
    }
    turn.progress = null;
    this.#call = null;
    this.#conversation = null;
    this.#changed(conversation, turn);
  }
}

function apply(turn, { delta, finish, usage, progress }) {
  if (progress) turn.progress = progress;
  if (finish && !finish.choice) turn.finish = finish.reason;
  if (usage) turn.usage = usage;
  if (!delta || delta.choice) return;
  turn.progress = null;
  turn.text += delta.text ?? "";
  turn.reasoning += delta.reasoning ?? "";
}

function settle(turn, error, byPerson) {
  const { code = Code.INTERNAL, reason = "", message: words, metadata = {}, retryAfter = null, reference = "" } = error;
  if (byPerson) turn.state = "stopped";
  else turn.state = INTERRUPTIONS.has(reason) ? "interrupted" : "failed";
  turn.error = byPerson ? null : { code, reason, message: words, metadata, retryAfter, reference };
}

function message(role, text) {
  return { role, parts: [{ text }] };
}

function hex(byte) {
  return byte.toString(16).padStart(2, "0");
}
