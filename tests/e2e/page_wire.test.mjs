import assert from "node:assert/strict";
import { test } from "node:test";

import { Code, Wire, WireError } from "../../clients/web/wire.js";
import { FakeHub, failure, ManualClock, seeded, settle } from "./page_fakes.mjs";

const METHOD = "troupe.chat.v1.ChatService/Generate";
const words = (count) => Array.from({ length: count }, (_, index) => ({ delta: { text: `w${index} ` } }));

function connected(answer, options = {}) {
  const hub = new FakeHub(answer);
  const clock = new ManualClock();
  const states = [];
  const wire = new Wire({
    url: "ws://hub/ws",
    WebSocket: hub.WebSocket,
    setTimeout: clock.setTimeout,
    clearTimeout: clock.clearTimeout,
    random: () => 1,
    onstate: (state) => states.push(state.name),
    ...options,
  });
  return { hub, clock, states, wire };
}

/** Reads a call to its end: {text, error, batches}. */
function reading(call) {
  const result = { text: "", error: undefined, batches: 0, ended: false };
  result.done = (async () => {
    try {
      for await (const messages of call) {
        result.batches++;
        for (const { delta } of messages) result.text += delta?.text ?? "";
      }
    } catch (error) {
      result.error = error;
    }
    result.ended = true;
  })();
  return result;
}

async function finish(hub, clock, result) {
  for (let turn = 0; turn < 2000 && !result.ended; turn++) {
    hub.step();
    await settle();
    if (hub.sockets.size === 0) clock.advance(clock.pending[0] ?? 0);
    await settle();
  }
  assert.ok(result.ended, "the call never ended");
}

const textOf = (messages) => messages.map(({ delta }) => delta.text).join("");

test("a call opens with its request and delivers its messages in order", async () => {
  const { hub, clock, wire } = connected(() => words(5));
  const result = reading(wire.call(METHOD, { model: "m" }, { metadata: { a: "b" }, timeout: 3 }));
  await finish(hub, clock, result);
  assert.equal(result.text, textOf(words(5)));
  assert.equal(result.error, undefined);
  const [opening] = hub.with("open");
  assert.equal(opening.halfClose, true);
  assert.deepEqual(opening.payload, [{ model: "m" }]);
  assert.match(opening.callId, /^[A-Za-z0-9_-]{16,64}$/);
  assert.deepEqual({ ...opening.open, resumeKey: null }, {
    protocolVersion: 1, method: METHOD, initialCredit: 64, resumeKey: null, metadata: { a: "b" }, timeout: "3s",
  });
  assert.ok(atob(opening.open.resumeKey).length >= 16);
  assert.equal(wire.openCalls, 0);
});

test("a cut after any number of messages loses none and doubles none", async () => {
  const messages = words(40);
  for (let cut = 0; cut <= messages.length; cut++) {
    const { hub, clock, wire } = connected(() => messages);
    const result = reading(wire.call(METHOD, {}));
    await settle();
    hub.step(cut);
    await settle();
    hub.cut();
    clock.advance(250);
    await finish(hub, clock, result);
    assert.equal(result.text, textOf(messages), `cut after ${cut}`);
    assert.equal(result.error, undefined, `cut after ${cut}`);
    assert.equal(hub.with("open").length, 1);
  }
});

test("many random cuts, batches and copies give the text exactly once", async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seeded(seed);
    const messages = words(150);
    const { hub, clock, wire } = connected(() => messages);
    const results = [reading(wire.call(METHOD, {})), reading(wire.call(METHOD, {}, { window: 7 }))];
    for (let turn = 0; turn < 400 && !results.every(({ ended }) => ended); turn++) {
      hub.batch = 1 + Math.floor(random() * 9);
      hub.copies = 1 + Math.floor(random() * 2);
      if (random() < 0.15) hub.cut();
      hub.down = random() < 0.1;
      if (random() < 0.7) hub.step(1 + Math.floor(random() * 4));
      if (random() < 0.7) await settle();
      if (hub.sockets.size === 0) clock.advance(clock.pending[0] ?? 0);
    }
    hub.down = false;
    for (const result of results) {
      await finish(hub, clock, result);
      assert.equal(result.text, textOf(messages), `seed ${seed}`);
      assert.equal(result.error, undefined, `seed ${seed}`);
    }
  }
});

test("credit is only granted for what was consumed", async () => {
  const { hub, wire } = connected(() => words(500), {});
  const call = wire.call(METHOD, {}, { window: 10 });
  const reader = call[Symbol.asyncIterator]();
  await settle();
  hub.step(100);
  const first = await reader.next();
  assert.equal(first.value.length, 10);
  hub.step(100);
  await settle();
  assert.equal(hub.with("credit").length, 0, "nothing was consumed, so nothing may be granted");
  const next = reader.next();
  await settle();
  assert.deepEqual(hub.with("credit").map(({ credit }) => credit), [{ granted: "20", consumed: "10" }]);
  hub.step(100);
  assert.equal((await next).value.length, 10);
  await reader.return();
  assert.equal(hub.with("cancel").length, 1, "leaving the loop cancels");
});

test("a resume tells what was received and what may come", async () => {
  const { hub, clock, wire } = connected(() => words(9));
  const result = reading(wire.call(METHOD, {}, { window: 8 }));
  await settle();
  hub.step(3);
  await settle();
  hub.cut();
  clock.advance(250);
  await settle();
  const [{ resume, epoch }] = hub.with("resume");
  assert.deepEqual({ ...resume, resumeKey: null }, { after: "3", granted: "11", resumeKey: null });
  assert.equal(resume.resumeKey, hub.with("open")[0].open.resumeKey);
  assert.equal(epoch, 7);
  await finish(hub, clock, result);
  assert.equal(result.text, textOf(words(9)));
});

test("pauses between attempts double up to a limit and begin anew after a success", async () => {
  const { hub, clock, states, wire } = connected(() => words(3));
  const result = reading(wire.call(METHOD, {}));
  await settle();
  hub.step();
  await settle();
  hub.down = true;
  hub.cut();
  const pauses = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    const [pause] = clock.pending;
    pauses.push(pause);
    clock.advance(pause);
    await settle();
  }
  assert.deepEqual(pauses, [250, 500, 1000, 2000, 4000, 8000, 10000, 10000]);
  hub.down = false;
  await finish(hub, clock, result);
  assert.equal(result.text, textOf(words(3)));
  hub.cut();
  assert.equal(clock.pending[0], 250);
  assert.ok(states.includes("waiting"));
});

test("a pause is at least half of its length", async () => {
  const { hub, clock, wire } = connected(() => words(3), { random: () => 0 });
  reading(wire.call(METHOD, {}));
  await settle();
  hub.cut();
  assert.equal(clock.pending[0], 125);
});

test("an answer that the hub no longer knows ends as CALL_NOT_FOUND and keeps what had arrived", async () => {
  const { hub, clock, wire } = connected(() => words(9));
  const result = reading(wire.call(METHOD, {}, { repeatable: true }));
  await settle();
  hub.step(4);
  await settle();
  hub.forgetful = true;
  hub.cut();
  await finish(hub, clock, result);
  assert.equal(result.text, textOf(words(4)));
  assert.equal(result.error.reason, "CALL_NOT_FOUND");
  assert.equal(hub.with("open").length, 1, "what was read must not be opened again");
});

test("a call that had only heard progress is opened again under another id", async () => {
  const progress = { progress: { state: "STATE_LOADING" } };
  const { hub, clock, wire } = connected(() => [progress, ...words(3)]);
  const result = reading(wire.call(METHOD, {}, { repeatable: true }));
  await settle();
  hub.step(1);
  await settle();
  hub.forgetful = true;
  hub.cut();
  clock.advance(250);
  await finish(hub, clock, result);
  assert.equal(result.text, textOf(words(3)));
  const ids = hub.with("open").map(({ callId }) => callId);
  assert.equal(new Set(ids).size, 2);
});

test("a call that may not be resumed nor repeated fails with its connection", async () => {
  const { hub, clock, wire } = connected(() => words(3));
  const result = reading(wire.call(METHOD, {}, { resumable: false }));
  await settle();
  hub.cut();
  clock.advance(250);
  await settle();
  assert.equal(result.error.reason, "CONNECTION_LOST");
  assert.equal(result.error.code, Code.UNAVAILABLE);
});

test("errors carry code, reason, metadata and when to try again", async () => {
  const retry = { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "1.5s" };
  const info = { "@type": "type.googleapis.com/google.rpc.RequestInfo", requestId: "ref-1" };
  const error = WireError.fromStatus(failure(8, "QUEUE_FULL", [retry, info]));
  assert.deepEqual(
    [error.code, error.reason, error.metadata, error.retryAfter, error.reference],
    [8, "QUEUE_FULL", { model: "x" }, 1500, "ref-1"],
  );
  const { hub, clock, wire } = connected(() => []);
  const result = reading(wire.call(METHOD, {}));
  await settle();
  for (const call of hub.calls.values()) call.failure = failure(5, "MODEL_NOT_FOUND");
  await finish(hub, clock, result);
  assert.equal(result.error.reason, "MODEL_NOT_FOUND");
});

test("stopping ends the reader at once and tells the hub", async () => {
  const { hub, wire } = connected(() => words(50));
  const call = wire.call(METHOD, {});
  const result = reading(call);
  await settle();
  hub.step(2);
  await settle();
  call.cancel("enough");
  await settle();
  assert.equal(result.error.code, Code.CANCELLED);
  assert.equal(call.cancelled, true);
  assert.deepEqual(hub.with("cancel").map(({ cancel }) => cancel), [{ reason: "enough" }]);
  assert.equal(wire.openCalls, 0, "the hub's CLOSE has ended it");
  hub.step(5);
  await settle();
  assert.equal(result.text, textOf(words(2)));
});

test("a call that was stopped without a connection is cancelled after the next one", async () => {
  const { hub, clock, wire } = connected(() => words(50));
  const call = wire.call(METHOD, {});
  const result = reading(call);
  await settle();
  hub.step(2);
  hub.cut();
  call.cancel();
  await settle();
  assert.equal(result.error.code, Code.CANCELLED);
  clock.advance(250);
  await settle();
  assert.equal(hub.with("resume").length, 1);
  assert.equal(hub.with("cancel").length, 1);
  assert.equal(wire.openCalls, 0);
});

test("a call that was stopped before it was sent is never sent", async () => {
  const { hub, wire } = connected(() => words(5));
  hub.down = true;
  const call = wire.call(METHOD, {});
  const result = reading(call);
  call.cancel();
  await settle();
  assert.equal(result.error.code, Code.CANCELLED);
  assert.equal(wire.openCalls, 0);
  assert.equal(hub.with("open").length, 0);
});

test("frames of another run of the responder are not part of the call", async () => {
  const { hub, clock, wire } = connected(() => words(4));
  const result = reading(wire.call(METHOD, {}));
  await settle();
  hub.step(2);
  const [call] = hub.calls.values();
  call.socket.say({ callId: call.id, epoch: 8, sequence: "9", payload: [{ delta: { text: "alien" } }] });
  await finish(hub, clock, result);
  assert.equal(result.text, textOf(words(4)));
});

test("what is missing before the end is asked for, and missed where it cannot be had", async () => {
  const { hub, clock, wire } = connected(() => words(4));
  const result = reading(wire.call(METHOD, {}));
  await settle();
  hub.step(2);
  const [call] = hub.calls.values();
  call.socket.say({ callId: call.id, epoch: 7, sequence: "4", close: { status: {} } });
  await finish(hub, clock, result);
  assert.equal(result.text, textOf(words(4)));
  assert.equal(hub.with("resume")[0].resume.after, "2");

  const lossy = connected(() => words(4));
  const other = reading(lossy.wire.call(METHOD, {}, { resumable: false }));
  await settle();
  const [lost] = lossy.hub.calls.values();
  lost.socket.say({ callId: lost.id, epoch: 7, sequence: "4", close: { status: {} } });
  await other.done;
  assert.equal(other.error.reason, "STREAM_GAP");
});

test("numbers may be skipped where messages came in pieces", async () => {
  const { hub, clock, wire } = connected(() => words(1));
  const result = reading(wire.call(METHOD, {}));
  await settle();
  const [call] = hub.calls.values();
  const say = (sequence, text) => call.socket.say({ callId: call.id, epoch: 7, sequence, payload: [{ delta: { text } }] });
  say("5", "large ");
  say("5", "large ");
  say("6", "small");
  call.sent = 6;
  await settle();
  hub.cut();
  clock.advance(250);
  await settle();
  assert.equal(hub.with("resume")[0].resume.after, "6");
  await finish(hub, clock, result);
  assert.equal(result.text, "large small");
});

test("a hub that asks for a key is not dialled again until it has another one", async () => {
  const { hub, clock, states, wire } = connected(() => words(2), { key: "tr-old" });
  hub.refuse = failure(16, "UNAUTHENTICATED");
  const result = reading(wire.call(METHOD, {}));
  await settle();
  assert.equal(wire.state.name, "refused");
  assert.equal(wire.state.error.reason, "UNAUTHENTICATED");
  assert.deepEqual(clock.pending, []);
  hub.refuse = null;
  wire.setKey("tr-new");
  await finish(hub, clock, result);
  assert.equal(result.text, textOf(words(2)));
  assert.deepEqual(hub.protocols, [["troupe.v1.json", "troupe.key.tr-old"], ["troupe.v1.json", "troupe.key.tr-new"]]);
  assert.ok(!states.includes("waiting"));
});

test("a key that no hub can have given is refused without asking", async () => {
  const { hub, wire } = connected(() => [], { key: "khóa của tôi" });
  wire.connect();
  await settle();
  assert.equal(wire.state.name, "refused");
  assert.equal(hub.protocols.length, 0);
});

test("a hub that is full says when to come back", async () => {
  const retry = { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "5s" };
  const { hub, clock, wire } = connected(() => []);
  hub.refuse = failure(8, "TOO_MANY_CONNECTIONS", [retry]);
  wire.connect();
  await settle();
  assert.equal(wire.state.name, "waiting");
  assert.deepEqual(clock.pending, [5000]);
});

test("what the hub cannot take is not sent to it again", async () => {
  const { hub, clock, wire } = connected(() => words(2));
  const good = reading(wire.call(METHOD, {}, { repeatable: true }));
  await settle();
  hub.step(1);
  hub.cut();
  hub.refuse = failure(8, "MESSAGE_TOO_LARGE");
  const huge = reading(wire.call(METHOD, { huge: true }, { repeatable: true }));
  clock.advance(250);
  await settle();
  assert.equal(huge.error.reason, "MESSAGE_TOO_LARGE");
  hub.refuse = null;
  await finish(hub, clock, good);
  assert.equal(good.text, textOf(words(2)));
});

test("a connection that fell silent is left for another one", async () => {
  const { hub, clock, states, wire } = connected(() => words(4));
  const result = reading(wire.call(METHOD, {}));
  await settle();
  hub.step(1);
  await settle();
  clock.advance(15_000);
  assert.equal(hub.with("ping").length, 1);
  clock.advance(10_000);
  assert.equal(wire.state.name, "open", "the hub has answered");
  hub.mute = true;
  assert.ok(!states.includes("waiting"));
  clock.advance(15_000 + 10_000);
  assert.ok(states.includes("waiting"));
  await finish(hub, clock, result);
  assert.equal(result.text, textOf(words(4)));
});

test("a handshake that never ends is given up", async () => {
  const { hub, clock, wire } = connected(() => []);
  hub.accept = () => {};
  wire.connect();
  await settle();
  clock.advance(10_000);
  assert.equal(wire.state.name, "waiting");
});

test("a text that is no frame ends the connection and not the call", async () => {
  const { hub, clock, wire } = connected(() => words(4));
  const result = reading(wire.call(METHOD, {}));
  await settle();
  hub.step(2);
  [...hub.sockets][0].onmessage({ data: "{half" });
  assert.equal(wire.state.name, "waiting");
  await finish(hub, clock, result);
  assert.equal(result.text, textOf(words(4)));
});

test("another page goes on from a ticket without a gap", async () => {
  const messages = words(20);
  const { hub, clock, wire } = connected(() => messages);
  const call = wire.call(METHOD, {});
  const reader = call[Symbol.asyncIterator]();
  await settle();
  hub.step(6);
  const first = (await reader.next()).value;
  hub.step(3);
  const ticket = JSON.parse(JSON.stringify(call.ticket()));
  wire.close();
  hub.cut();
  const later = connected(() => []);
  later.hub.calls = hub.calls;
  const result = reading(later.wire.resume(ticket));
  await finish(later.hub, later.clock, result);
  assert.equal(textOf(first) + result.text, textOf(messages));
  assert.deepEqual(clock.pending, []);
});

for (const begun of [false, true]) {
  test(`an answer that ${begun ? "had" : "had not"} begun and is known no more is ${begun ? "lost" : "asked for again"} by another page`, async () => {
    const progress = { progress: { state: "STATE_LOADING" } };
    const { hub, wire } = connected(() => [progress, ...words(3)]);
    const call = wire.call(METHOD, { model: "m" });
    const reader = call[Symbol.asyncIterator]();
    await settle();
    hub.step(begun ? 2 : 1);
    await reader.next();
    const ticket = JSON.parse(JSON.stringify(call.ticket()));
    assert.equal(ticket.begun, begun);
    const later = connected(() => words(3));
    const result = reading(later.wire.resume(ticket, { model: "m" }));
    await finish(later.hub, later.clock, result);
    assert.equal(result.text, begun ? "" : textOf(words(3)));
    assert.equal(result.error?.reason, begun ? "CALL_NOT_FOUND" : undefined);
    assert.deepEqual(later.hub.with("open").map(({ payload }) => payload), begun ? [] : [[{ model: "m" }]]);
  });
}

test("a call with one answer gives that answer or throws", async () => {
  const { hub, wire } = connected((_, method) => (method === "a.b.C/Get" ? [{ model: "x" }] : []));
  const asked = wire.unary("a.b.C/Get", {});
  await settle();
  assert.equal(hub.with("open")[0].open.resumeKey, undefined);
  hub.step(2);
  assert.deepEqual(await asked, { model: "x" });
  const failing = wire.unary("a.b.C/Other", {});
  await settle();
  [...hub.calls.values()].at(-1).failure = failure(12, "METHOD_NOT_FOUND");
  hub.step(2);
  await assert.rejects(failing, { reason: "METHOD_NOT_FOUND", code: 12 });
});

test("closing ends every call and dials no more", async () => {
  const { hub, clock, wire } = connected(() => words(50));
  const result = reading(wire.call(METHOD, {}));
  await settle();
  hub.step(1);
  await settle();
  wire.close();
  await settle();
  assert.equal(result.error.code, Code.CANCELLED);
  assert.deepEqual(clock.pending, []);
  assert.equal(wire.state.name, "closed");
});
