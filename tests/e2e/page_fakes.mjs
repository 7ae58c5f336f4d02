/** A hub, a socket, a clock and a document made of nothing, for the tests of the page's modules. */

/** Time that only moves when told. */
export class ManualClock {
  #timers = new Map();
  #now = 0;
  #last = 0;

  setTimeout = (run, delay) => {
    this.#timers.set(++this.#last, { at: this.#now + delay, run });
    return this.#last;
  };

  clearTimeout = (timer) => this.#timers.delete(timer);

  get pending() {
    return [...this.#timers.values()].map(({ at }) => at - this.#now).sort((one, other) => one - other);
  }

  advance(milliseconds) {
    const end = this.#now + milliseconds;
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#now = due[1].at;
      due[1].run();
    }
    this.#now = end;
  }
}

/** Lets everything that waits on a promise go on. */
export async function settle() {
  for (let turn = 0; turn < 30; turn++) await Promise.resolve();
}

/**
 * A hub in the same process. Calls outlive their sockets; `answer(request)` gives the messages of a call.
 *   hub.step(n)    send up to n more frames, one message each, as credit allows
 *   hub.cut()      end all sockets without a word
 */
export class FakeHub {
  calls = new Map();
  sockets = new Set();
  heard = [];
  protocols = [];
  down = false;
  /** How many times each data frame is sent. */
  copies = 1;
  /** Messages per frame. */
  batch = 1;
  forgetful = false;
  refuse = null;

  constructor(answer) {
    this.answer = answer;
    const hub = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url, protocols) {
        super(hub);
        hub.protocols.push(protocols);
      }
    };
  }

  /** The frames that were heard with this control part. */
  with(part) {
    return this.heard.filter((frame) => part in frame);
  }

  accept(socket) {
    if (this.down) return socket.drop(1006);
    this.sockets.add(socket);
    socket.open();
    if (this.refuse) {
      socket.say({ close: { status: this.refuse } });
      socket.drop(1008);
    }
  }

  cut() {
    for (const socket of [...this.sockets]) socket.drop(1006);
    for (const call of this.calls.values()) call.socket = null;
  }

  hear(socket, frame) {
    if (this.refuse) return;
    this.heard.push(frame);
    if (frame.open) this.#open(socket, frame);
    else if (frame.resume) this.#resume(socket, frame);
    else this.#control(socket, frame);
  }

  #open(socket, frame) {
    const [request] = frame.payload;
    const messages = this.answer(request, frame.open.method);
    const call = { id: frame.callId, epoch: 7, socket, messages, sent: 0, granted: frame.open.initialCredit, key: frame.open.resumeKey };
    this.calls.set(frame.callId, call);
    socket.say({ callId: call.id, epoch: call.epoch, credit: { granted: "64", consumed: "1" } });
  }

  #resume(socket, { callId, resume }) {
    const call = this.forgetful ? undefined : this.calls.get(callId);
    if (!call) return socket.say({ callId, close: { status: failure(5, "CALL_NOT_FOUND") } });
    if (call.key !== resume.resumeKey) return socket.say({ callId, close: { status: failure(7, "RESUME_REFUSED") } });
    Object.assign(call, { socket, sent: Number(resume.after), granted: Number(resume.granted), closed: false });
  }

  #control(socket, { callId, credit, cancel, ping }) {
    const call = this.calls.get(callId);
    if (call && credit) call.granted = Math.max(call.granted, Number(credit.granted));
    if (call && cancel) this.#close(call, failure(1, "CANCELLED"));
    if (call && ping && !this.mute) socket.say({ callId, epoch: call.epoch, pong: ping });
  }

  #close(call, status) {
    call.closed = true;
    call.socket?.say({ callId: call.id, epoch: call.epoch, close: { status } });
  }

  /** Send up to `count` frames of each call; whether anything was sent. */
  step(count = 1) {
    let sent = false;
    for (let turn = 0; turn < count; turn++) for (const call of this.calls.values()) sent = this.#advance(call) || sent;
    return sent;
  }

  #advance(call) {
    if (!call.socket || call.closed) return false;
    const room = Math.min(this.batch, call.granted - call.sent);
    const payload = call.messages.slice(call.sent, call.sent + room);
    if (payload.length > 0) {
      call.sent += payload.length;
      const frame = { callId: call.id, epoch: call.epoch, sequence: String(call.sent), payload };
      for (let copy = 0; copy < this.copies; copy++) call.socket?.say(frame);
    }
    if (call.sent < call.messages.length) return payload.length > 0;
    this.#close(call, call.failure ?? {});
    return true;
  }
}

class FakeSocket {
  readyState = 0;

  constructor(hub) {
    this.hub = hub;
    queueMicrotask(() => this.readyState === 0 && hub.accept(this));
  }

  open() {
    this.readyState = 1;
    this.onopen?.({});
  }

  say(frame) {
    if (this.readyState === 1) this.onmessage?.({ data: JSON.stringify(frame) });
  }

  send(text) {
    this.hub.hear(this, JSON.parse(text));
  }

  close() {
    this.readyState = 3;
    this.hub.sockets.delete(this);
  }

  drop(code) {
    this.close();
    this.onclose?.({ code });
  }
}

export function failure(code, reason, extra = []) {
  const info = { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "troupe", metadata: { model: "x" } };
  return { code, message: `It failed: ${reason}.`, details: [info, ...extra] };
}

/** Elements that keep what was put into them, and nothing that could run. */
export class FakeDocument {
  createElement(tag) {
    return new FakeElement(tag);
  }
}

export class FakeElement {
  children = [];
  parent = null;

  constructor(tag) {
    this.tag = tag;
  }

  append(...nodes) {
    for (const node of nodes) {
      if (node instanceof FakeElement) node.parent = this;
      this.children.push(node);
    }
  }

  replaceChildren(...nodes) {
    this.children = [];
    this.append(...nodes);
  }

  remove() {
    this.parent.children = this.parent.children.filter((node) => node !== this);
  }

  addEventListener(name, act) {
    this[`on${name}`] = act;
  }

  querySelector(tag) {
    return this.all().find((node) => node.tag === tag);
  }

  set textContent(text) {
    this.children = [text];
  }

  get textContent() {
    return this.children.map((node) => (node instanceof FakeElement ? node.textContent : node)).join("");
  }

  /** This element and all in it. */
  all() {
    return [this, ...this.children.flatMap((node) => (node instanceof FakeElement ? node.all() : []))];
  }

  /** As HTML would write it, without the text's escapes. */
  get outline() {
    const inner = this.children.map((node) => (node instanceof FakeElement ? node.outline : node)).join("");
    return `<${this.tag}>${inner}</${this.tag}>`;
  }
}

/** The same numbers for the same seed. */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
