/** One call on the wire: frames in, frames out, batches of messages for whoever reads it. Knows no connection. */

/** gRPC's status codes. */
export const Code = Object.freeze({
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
});

const PROTOCOL_VERSION = 1;
const DEFAULT_WINDOW = 64;
const RESUME_KEY_BYTES = 24;
const CALL_ID_BYTES = 16;
const MAX_REPEATS = 3;

/**
 * How a call failed.
 *   code        one of Code
 *   reason      stable string, for example "MODEL_NOT_FOUND"
 *   metadata    an object of strings that belongs to the reason
 *   retryAfter  milliseconds after which it is worth trying again, or null
 *   reference   what the hub's log calls this error, or ""
 */
export class WireError extends Error {
  constructor(code, message, { reason = "", metadata = {}, retryAfter = null, reference = "" } = {}) {
    super(message);
    this.name = "WireError";
    Object.assign(this, { code, reason, metadata, retryAfter, reference });
  }

  /** From a CLOSE's status with google.rpc details. */
  static fromStatus({ code = Code.UNKNOWN, message = "", details = [] } = {}) {
    const detail = (name) => details.find((each) => String(each["@type"]).endsWith(`google.rpc.${name}`)) ?? {};
    const { reason, metadata } = detail("ErrorInfo");
    const seconds = parseFloat(detail("RetryInfo").retryDelay);
    const retryAfter = Number.isFinite(seconds) ? seconds * 1000 : null;
    return new WireError(code, message, { reason, metadata, retryAfter, reference: detail("RequestInfo").requestId });
  }
}

/**
 * A call. Read it with `for await`: each turn gives the messages that have arrived since the last one, oldest first, and
 * asking for the next turn tells the hub that these were consumed. Leaving the loop cancels the call.
 */
export class Call {
  #request;
  #options;
  #resumeKey;
  #send = null;
  #sent = false;
  #seen = 0;
  #taken = 0;
  #consumed = 0;
  #granted;
  #content = false;
  #cancelled = false;
  #repeats = 0;
  #queue = [];
  #wake = null;
  #outcome = null;

  /** Whether the hub has said anything about it. */
  answered = false;
  /** Called once when the hub has closed the call or nothing more can come. */
  onend = () => {};
  /** Called with the former id when the call was opened again under a new one. */
  onrename = () => {};

  constructor(method, request, options = {}) {
    this.method = method;
    this.id = token();
    this.epoch = 0;
    this.#request = request;
    this.#options = { resumable: true, repeatable: false, window: DEFAULT_WINDOW, ...options };
    this.#granted = this.#options.window;
    this.#resumeKey = this.#options.resumable ? base64(random(RESUME_KEY_BYTES)) : "";
  }

  /** Whether this side has cancelled it. */
  get cancelled() {
    return this.#cancelled;
  }

  /** What another page or process needs in order to go on after the messages that were handed out here. */
  ticket() {
    const { id, epoch, method } = this;
    return { id, epoch, method, resumeKey: this.#resumeKey, after: this.#taken, begun: this.#content };
  }

  /**
   * The call that a ticket is for. request: what it was opened with, so that one of which nothing but progress was heard
   * may be opened again where the hub knows it no more; null: it may not.
   */
  static fromTicket({ id, epoch, method, resumeKey, after, begun = true }, request = null) {
    const call = new Call(method, request, { repeatable: request !== null });
    Object.assign(call, { id, epoch, answered: true });
    call.#resumeKey = resumeKey;
    call.#sent = true;
    call.#content = begun;
    call.#seen = call.#taken = call.#consumed = after;
    call.#granted = after + call.#options.window;
    return call;
  }

  /** Stop the call. Its reader ends at once with CANCELLED; without a connection the hub is told after the next one. */
  cancel(reason = "") {
    if (this.#outcome !== null) return;
    this.#cancelled = true;
    this.#queue = [];
    this.#settle(new WireError(Code.CANCELLED, "The call was cancelled.", { reason: "CANCELLED" }));
    if (!this.#sent) this.onend();
    else this.#send?.(this.#cancelFrame(reason));
  }

  async *[Symbol.asyncIterator]() {
    try {
      while (await this.#available()) {
        const batches = this.#queue.splice(0);
        this.#taken = batches.at(-1).sequence;
        yield batches.flatMap((batch) => batch.messages);
        this.#consume(this.#taken);
      }
    } finally {
      this.cancel("the reader left");
    }
  }

  // ---- for the connection

  /** There is a connection: open the call on it, or resume it. */
  attach(send) {
    this.#send = send;
    if (!this.#sent) this.#open();
    else if (this.#resumeKey) this.#resume();
    else if (this.#mayRepeat()) this.#repeat();
    else this.end(new WireError(Code.UNAVAILABLE, "The connection was lost.", { reason: "CONNECTION_LOST" }));
  }

  /** The connection is gone. */
  detach() {
    this.#send = null;
  }

  /** What was sent was not heard: unless an earlier connection had more luck, the call is still to be opened. */
  unheard() {
    if (!this.answered) this.#sent = false;
  }

  /** A frame of this call has arrived. */
  receive(frame) {
    if (this.epoch && frame.epoch && frame.epoch !== this.epoch) return;
    this.epoch = frame.epoch || this.epoch;
    this.answered = true;
    if (frame.payload?.length) this.#accept(frame.payload, Number(frame.sequence));
    if (frame.close) this.#closed(frame.close.status, Number(frame.sequence ?? 0));
  }

  /** Nothing more can come. */
  end(error) {
    this.#settle(error);
    this.onend();
  }

  // ---- inside

  #open() {
    const { window, metadata, timeout } = this.#options;
    const open = { protocolVersion: PROTOCOL_VERSION, method: this.method, initialCredit: window };
    if (this.#resumeKey) open.resumeKey = this.#resumeKey;
    if (metadata) open.metadata = metadata;
    if (timeout !== undefined) open.timeout = `${timeout}s`;
    this.#sent = true;
    this.#send({ callId: this.id, open, payload: [this.#request], halfClose: true });
  }

  #resume() {
    this.#granted = Math.max(this.#granted, this.#consumed + this.#options.window);
    const resume = { after: String(this.#seen), resumeKey: this.#resumeKey, granted: String(this.#granted) };
    this.#send({ callId: this.id, epoch: this.epoch, resume });
    if (this.#cancelled) this.#send(this.#cancelFrame());
  }

  #cancelFrame(reason = "") {
    return { callId: this.id, epoch: this.epoch, cancel: reason ? { reason } : {} };
  }

  /** Large messages take several numbers, so only the last message's number is known for certain. */
  #accept(payload, sequence) {
    if (sequence <= this.#seen) return;
    const known = Math.max(0, this.#seen - (sequence - payload.length));
    this.#seen = sequence;
    if (this.#cancelled) return;
    const messages = payload.slice(known);
    this.#content ||= messages.some(isContent);
    this.#queue.push({ messages, sequence });
    this.#wake?.();
  }

  #consume(sequence) {
    this.#consumed = sequence;
    const { window } = this.#options;
    if (this.#outcome !== null || this.#granted - sequence > window / 2) return;
    this.#granted = sequence + window;
    const credit = { granted: String(this.#granted), consumed: String(sequence) };
    this.#send?.({ callId: this.id, epoch: this.epoch, credit });
  }

  /** A CLOSE carries the number of the last message, so that what is missing before it shows. */
  #closed(status = {}, sequence = 0) {
    if (!status.code) return sequence > this.#seen && !this.#cancelled ? this.#askAgain() : this.end(null);
    const error = WireError.fromStatus(status);
    if (error.reason === "CALL_NOT_FOUND" && this.#mayRepeat()) this.#repeat();
    else this.end(error);
  }

  #askAgain() {
    if (this.#resumeKey && this.#repeats++ < MAX_REPEATS) this.#resume();
    else this.end(new WireError(Code.DATA_LOSS, "A part of the answer is missing.", { reason: "STREAM_GAP" }));
  }

  /** Opening again is only safe while the reader has had no part of the answer. */
  #mayRepeat() {
    return this.#options.repeatable && !this.#content && !this.#cancelled && this.#repeats < MAX_REPEATS;
  }

  #repeat() {
    const former = this.id;
    this.#repeats++;
    this.id = token();
    this.epoch = this.#seen = this.#taken = this.#consumed = 0;
    this.#granted = this.#options.window;
    this.#queue = [];
    this.onrename(former);
    this.#open();
  }

  #settle(error) {
    this.#outcome ??= { error };
    this.#wake?.();
  }

  /** Wait for messages; false at the end. Throws the error that ended the call. */
  async #available() {
    while (this.#queue.length === 0 && this.#outcome === null) {
      await new Promise((resolve) => (this.#wake = resolve));
      this.#wake = null;
    }
    if (this.#queue.length > 0) return true;
    if (this.#outcome.error) throw this.#outcome.error;
    return false;
  }
}

/** Progress only tells what a call is waiting for; hearing it twice does no harm. */
function isContent(message) {
  return Object.keys(message).some((key) => key !== "progress");
}

function random(size) {
  return crypto.getRandomValues(new Uint8Array(size));
}

function base64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

function token() {
  return base64(random(CALL_ID_BYTES)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
