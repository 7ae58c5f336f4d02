/**
 * Calls to a Troupe hub over one WebSocket, in the wire's JSON text form.
 *
 * No DOM is used here: this file and call.js run in a page, a worker or Node, and depend on nothing else.
 *
 *     const wire = new Wire({ url: "ws://127.0.0.1:8080/ws" });
 *     const call = wire.call("troupe.chat.v1.ChatService/Generate", request);
 *     for await (const messages of call) show(messages);   // asking for the next batch grants credit for this one
 *     wire.close();
 *
 * A lost connection is dialled again with growing, jittered pauses, and every open call is resumed where it stopped:
 * nothing is lost, nothing comes twice. What cannot be resumed ends with a WireError.
 */

import { Call, Code, WireError } from "./call.js";

export { Call, Code, WireError };

const PROTOCOL = "troupe.v1.json";
const KEY_PREFIX = "troupe.key.";
/** Characters that a WebSocket subprotocol may have (RFC 9110, token). */
const KEY_FORM = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const SOCKET_OPEN = 1;
const CLOSE_CODES = {
  1007: { code: Code.INVALID_ARGUMENT, reason: "MALFORMED_FRAME", message: "The hub could not read a frame." },
  1008: { code: Code.UNAUTHENTICATED, reason: "UNAUTHENTICATED", message: "The hub refused the connection." },
  1009: { code: Code.RESOURCE_EXHAUSTED, reason: "MESSAGE_TOO_LARGE", message: "The message is too large for the hub." },
};

const DEFAULTS = {
  key: "",
  firstPause: 250,
  longestPause: 10_000,
  connectWithin: 10_000,
  pingAfter: 15_000,
  pongWithin: 10_000,
  random: Math.random,
  setTimeout: (run, delay) => globalThis.setTimeout(run, delay),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
  onstate: () => {},
};

/**
 * One connection with many calls.
 *
 * Options (times in milliseconds):
 *   url            of the hub's /ws
 *   key            an API key, where the hub asks for one
 *   onstate(state) told of each change; state is {name} with name one of
 *                  "connecting", "open", "waiting" (with `delay` and `error`), "refused" (with `error`), "closed"
 *   firstPause, longestPause, connectWithin, pingAfter, pongWithin
 *   WebSocket, setTimeout, clearTimeout, random: for tests and other environments
 */
export class Wire {
  #options;
  #calls = new Map();
  #socket = null;
  #attempt = 0;
  #pause = null;
  #watch = null;
  #opened = false;
  #fault = null;

  constructor(options) {
    this.#options = { ...DEFAULTS, WebSocket: globalThis.WebSocket, ...options };
    this.state = { name: "closed" };
  }

  /** How many calls are open. */
  get openCalls() {
    return this.#calls.size;
  }

  /** Dial now, also where a pause or a refusal was holding it back. Does nothing while connected or connecting. */
  connect() {
    if (this.#socket !== null) return;
    this.#options.clearTimeout(this.#pause);
    this.#pause = null;
    this.#dial();
  }

  /** Use another API key from now on; the connection is made anew and open calls go on over it. */
  setKey(key) {
    this.#options.key = key;
    this.#attempt = 0;
    this.#drop();
    this.connect();
  }

  /**
   * Begin a call. Options:
   *   resumable   survive a lost connection (default true)
   *   repeatable  may be opened again where nothing but progress was received (default false)
   *   window      messages that may be under way, 1 to 1024 (default 64)
   *   metadata    an object of strings
   *   timeout     seconds
   */
  call(method, request, options = {}) {
    return this.#enlist(new Call(method, request, options));
  }

  /** Begin a call with one answer and wait for it. */
  async unary(method, request, options = {}) {
    let answer = {};
    const call = this.call(method, request, { resumable: false, repeatable: true, ...options });
    for await (const messages of call) answer = messages.at(-1);
    return answer;
  }

  /** Continue a call from its `ticket()`, for example after the page was loaded again. request: see Call.fromTicket. */
  resume(ticket, request = null) {
    return this.#enlist(Call.fromTicket(ticket, request));
  }

  /** Leave for good. Open calls end with CANCELLED here; the hub lets resumable ones go on for their grace period. */
  close() {
    this.#options.clearTimeout(this.#pause);
    this.#pause = null;
    this.#drop();
    for (const call of [...this.#calls.values()]) call.end(new WireError(Code.CANCELLED, "The connection was closed."));
    this.#become({ name: "closed" });
  }

  #enlist(call) {
    call.onend = () => this.#calls.delete(call.id);
    call.onrename = (former) => {
      this.#calls.delete(former);
      this.#calls.set(call.id, call);
    };
    this.#calls.set(call.id, call);
    if (this.#opened) call.attach((frame) => this.#send(frame));
    else if (this.#pause === null && this.state.name !== "refused") this.connect();
    this.#listen();
    return call;
  }

  #dial() {
    const { WebSocket, url, key } = this.#options;
    if (key && !KEY_FORM.test(key)) return this.#become({ name: "refused", error: badKey() });
    const socket = new WebSocket(url, key ? [PROTOCOL, KEY_PREFIX + key] : [PROTOCOL]);
    this.#socket = socket;
    this.#fault = null;
    this.#become({ name: "connecting" });
    this.#arm(this.#options.connectWithin, () => this.#lose(socket));
    const current = (act) => (event) => socket === this.#socket && act(event);
    socket.onopen = current(() => this.#begin());
    socket.onmessage = current((event) => this.#receive(event.data));
    socket.onclose = current((event) => this.#lose(socket, event.code));
  }

  #begin() {
    this.#opened = true;
    for (const call of [...this.#calls.values()]) call.attach((frame) => this.#send(frame));
    this.#listen();
    this.#become({ name: "open" });
  }

  #receive(data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return this.#lose(this.#socket);
    }
    this.#listen();
    if (!frame.callId) return this.#accuse(frame);
    this.#attempt = 0;
    this.#calls.get(frame.callId)?.receive(frame);
  }

  /** A CLOSE that names no call is about the connection; the hub hangs up after it. */
  #accuse(frame) {
    if (frame.close) this.#fault = WireError.fromStatus(frame.close.status);
  }

  #send(frame) {
    if (this.#socket?.readyState === SOCKET_OPEN) this.#socket.send(JSON.stringify(frame));
  }

  /** Forget the socket: what it may still say is no longer heard. */
  #drop() {
    this.#options.clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    this.#opened = false;
    for (const call of this.#calls.values()) call.detach();
    socket?.close();
  }

  /** The connection is gone: come back later, unless the hub has said that it will not have us. */
  #lose(socket, closeCode = 0) {
    if (socket !== this.#socket) return;
    const fault = this.#fault ?? faultOf(closeCode);
    this.#drop();
    if (isOurMistake(fault)) this.#endUnanswered(fault);
    if (isTurnedAway(fault)) for (const call of this.#calls.values()) call.unheard();
    if (isRefusal(fault)) this.#become({ name: "refused", error: fault });
    else this.#hold(fault);
  }

  /** Sending again what the hub could not take would only end the next connection too. */
  #endUnanswered(fault) {
    for (const call of [...this.#calls.values()]) if (!call.answered) call.end(fault);
  }

  /** Wait before the next attempt: at least half of a pause that doubles, so that many clients do not come at once. */
  #hold(error) {
    const { firstPause, longestPause, random } = this.#options;
    const full = Math.min(longestPause, firstPause * 2 ** this.#attempt++);
    const delay = Math.max(full * (0.5 + 0.5 * random()), error?.retryAfter ?? 0);
    this.#pause = this.#options.setTimeout(() => this.connect(), delay);
    this.#become({ name: "waiting", delay, error });
  }

  /** A connection can die without a word: after a silence the hub is asked for a sign of life. */
  #listen() {
    if (!this.#opened) return;
    if (this.#calls.size > 0) this.#arm(this.#options.pingAfter, () => this.#ping());
    else this.#options.clearTimeout(this.#watch);
  }

  #ping() {
    const [call] = this.#calls.values();
    const socket = this.#socket;
    if (call === undefined) return;
    this.#arm(this.#options.pongWithin, () => this.#lose(socket));
    this.#send({ callId: call.id, epoch: call.epoch, ping: { nonce: "1" } });
  }

  #arm(delay, act) {
    this.#options.clearTimeout(this.#watch);
    this.#watch = this.#options.setTimeout(act, delay);
  }

  #become(state) {
    this.state = state;
    this.#options.onstate(state);
  }
}

/** What a close code means where the hub could not say more. */
function faultOf(closeCode) {
  const known = CLOSE_CODES[closeCode];
  return known ? new WireError(known.code, known.message, { reason: known.reason }) : null;
}

function isOurMistake(error) {
  return error?.reason === "MESSAGE_TOO_LARGE" || error?.reason === "MALFORMED_FRAME";
}

/** Said instead of a welcome: nothing that was sent on this connection was heard. */
function isTurnedAway(error) {
  return isRefusal(error) || error?.reason === "TOO_MANY_CONNECTIONS";
}

function isRefusal(error) {
  return error?.code === Code.UNAUTHENTICATED || error?.code === Code.PERMISSION_DENIED;
}

function badKey() {
  return new WireError(Code.UNAUTHENTICATED, "The API key has characters that no key has.", { reason: "UNAUTHENTICATED" });
}
