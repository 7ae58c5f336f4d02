/** Progress, errors and costs in words. `say` comes from texts.js. */

const LONG_SECONDS = 90;
const LEAST_DECODE_SECONDS = 0.01;

/** What an answer that has not begun is waiting for. */
export function progressWords(progress, say, connected) {
  if (!connected) return say("waitingConnection");
  if (!progress) return say("starting");
  return [stateWords(progress, say), percentWords(progress, say), etaWords(progress, say)].filter(Boolean).join(", ") + "…";
}

function stateWords({ state, position = 0 }, say) {
  if (state === "STATE_LOADING") return say("loading");
  if (state === "STATE_RUNNING") return say("running");
  if (position === 1) return say("queuedNext");
  return position > 1 ? say("queuedAt", { position }) : say("queued");
}

function percentWords({ fraction }, say) {
  return fraction === undefined ? "" : say("percent", { percent: Math.round(fraction * 100) });
}

function etaWords({ eta }, say) {
  const seconds = parseFloat(eta);
  if (!(seconds > 0)) return "";
  if (seconds <= LONG_SECONDS) return say("eta", { seconds: Math.max(1, Math.round(seconds)) });
  return say("etaMinutes", { minutes: Math.round(seconds / 60) });
}

/** What went wrong with a turn and what to do about it; "" where nothing did. */
export function endWords(turn, say) {
  if (turn.state === "stopped") return say("stopped");
  if (turn.state === "interrupted") return say(turn.text ? "interrupted" : "interruptedEmpty");
  if (turn.state === "failed") return errorWords(turn, say);
  return turn.finish === "FINISH_REASON_LENGTH" ? say("lengthReached") : "";
}

const EXPLAINED = new Set([
  "MODEL_NOT_FOUND", "CONTEXT_LENGTH_EXCEEDED", "MESSAGE_TOO_LARGE", "INVALID_ARGUMENT", "UNAUTHENTICATED",
  "PERMISSION_DENIED", "RATE_LIMITED", "TOO_MANY_CALLS", "QUEUE_FULL", "NO_RESPONDERS", "MODEL_LOAD_FAILED",
  "ENGINE_CRASHED", "SHUTTING_DOWN", "DEADLINE_EXCEEDED", "VERSION_MISMATCH",
]);

/** Where the words say all that there is to know, and the hub's log tells nobody more. */
const CLEAR = new Set([
  "MODEL_NOT_FOUND", "CONTEXT_LENGTH_EXCEEDED", "MESSAGE_TOO_LARGE", "RATE_LIMITED", "TOO_MANY_CALLS", "QUEUE_FULL",
  "VERSION_MISMATCH",
]);

function errorWords({ error, model }, say) {
  const name = EXPLAINED.has(error.reason) ? error.reason : "otherError";
  const words = say(name, { message: error.message, model, wait: waitWords(error, say) });
  const more = error.reference && !CLEAR.has(error.reason);
  return more ? `${words} ${say("reference", { reference: error.reference })}` : words;
}

function waitWords({ retryAfter }, say) {
  return retryAfter ? say("seconds", { seconds: Math.ceil(retryAfter / 1000) }) : say("aMoment");
}

/** What an answer cost: {words, title}. */
export function usageWords({ promptTokens = 0, cachedTokens = 0, completionTokens = 0, decodeSeconds = 0 }, say, locale) {
  const number = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
  const parts = [say("tokens", { count: number.format(completionTokens) })];
  if (decodeSeconds > LEAST_DECODE_SECONDS && completionTokens > 1) {
    parts.push(say("tokensPerSecond", { rate: number.format((completionTokens - 1) / decodeSeconds) }));
  }
  const counts = { prompt: promptTokens, cached: cachedTokens, completion: completionTokens };
  return { words: parts.join(" · "), title: say("usageTitle", counts) };
}

const MODEL_NOTES = {
  MODEL_STATE_AVAILABLE: "modelAvailable",
  MODEL_STATE_LOADING: "modelLoading",
  MODEL_STATE_FAILED: "modelFailed",
  MODEL_STATE_DRAINING: "modelDraining",
  MODEL_STATE_UNAVAILABLE: "modelAway",
  WEIGHTS_STATE_WAITING: "modelComing",
  WEIGHTS_STATE_FETCHING: "modelFetching",
};

/** A model's name, whether it is the hub's default, and its state where that matters to who chooses. */
export function modelWords({ name, state, fraction = 0, default: standard }, say) {
  const percent = Math.floor(fraction * 100);
  const notes = [standard && "modelDefault", MODEL_NOTES[state]].filter(Boolean).map((note) => say(note, { percent }));
  return notes.length > 0 ? `${name} (${notes.join(", ")})` : name;
}
