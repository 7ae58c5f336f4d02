import assert from "node:assert/strict";
import { test } from "node:test";

import { Chat, newConversation, requestFor, titleOf } from "../../clients/web/chat.js";
import { Store } from "../../clients/web/store.js";
import { preferredLanguage, speaker, TEXTS } from "../../clients/web/texts.js";
import { Wire } from "../../clients/web/wire.js";
import { endWords, modelWords, progressWords, usageWords } from "../../clients/web/words.js";
import { FakeHub, failure, ManualClock, settle } from "./page_fakes.mjs";

const SETTINGS = { model: "troupe-tiny", system: "", temperature: null };
const en = speaker("en");
const vi = speaker("vi");

function chatting(answer) {
  const hub = new FakeHub(answer);
  const clock = new ManualClock();
  const wire = new Wire({ url: "ws://hub/ws", WebSocket: hub.WebSocket, setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout });
  const shown = [];
  const chat = new Chat({ wire, changed: (_, turn) => shown.push({ ...turn }), painted: async () => {} });
  return { hub, clock, chat, shown, conversation: newConversation() };
}

async function answered(hub, running) {
  let ended = false;
  running.then(() => (ended = true));
  for (let turn = 0; turn < 300 && !ended; turn++) {
    hub.step();
    await settle();
  }
  assert.ok(ended);
}

test("the request holds instructions, what was said and the temperature", () => {
  const turns = [
    { role: "user", text: "Một" },
    { role: "assistant", text: "", state: "failed" },
    { role: "user", text: "Hai" },
    { role: "assistant", text: "Ba", state: "done" },
    { role: "user", text: "Bốn" },
  ];
  const said = (role, text) => ({ role, parts: [{ text }] });
  assert.deepEqual(requestFor(turns, { model: "m", system: " Ngắn gọn. ", temperature: 0 }), {
    model: "m",
    messages: [said("ROLE_SYSTEM", "Ngắn gọn."), said("ROLE_USER", "Một\n\nHai"), said("ROLE_ASSISTANT", "Ba"), said("ROLE_USER", "Bốn")],
    sampling: { temperature: 0 },
  });
  assert.equal("sampling" in requestFor(turns, SETTINGS), false);
});

test("an answer gathers its text, what it waited for, how it ended and what it cost", async () => {
  const messages = [
    { progress: { state: "STATE_QUEUED", position: 2 } },
    { delta: { reasoning: "Hm." } },
    { delta: { text: "Xin " } },
    { delta: { choice: 1, text: "of another choice" } },
    { delta: { text: "chào" } },
    { finish: { reason: "FINISH_REASON_LENGTH" } },
    { usage: { promptTokens: 5, completionTokens: 2 } },
  ];
  const { hub, chat, shown, conversation } = chatting(() => messages);
  const running = chat.ask(conversation, "Chào", SETTINGS);
  assert.equal(chat.running, true);
  await answered(hub, running);
  const [, turn] = conversation.turns;
  assert.deepEqual([turn.text, turn.reasoning, turn.state, turn.finish], ["Xin chào", "Hm.", "done", "FINISH_REASON_LENGTH"]);
  assert.deepEqual(turn.usage, { promptTokens: 5, completionTokens: 2 });
  assert.ok(shown.some(({ progress }) => progress?.position === 2));
  assert.equal(chat.running, false);
});

test("a person's stop keeps the text and is no error", async () => {
  const { hub, chat, conversation } = chatting(() => Array.from({ length: 99 }, () => ({ delta: { text: "a" } })));
  const running = chat.ask(conversation, "x", SETTINGS);
  await settle();
  hub.step(3);
  await settle();
  chat.stop();
  await running;
  assert.deepEqual([conversation.turns[1].state, conversation.turns[1].text, conversation.turns[1].error], ["stopped", "aaa", null]);
});

for (const [reason, state] of [["PEER_LOST", "interrupted"], ["CONTINUATION_UNSUPPORTED", "interrupted"], ["RESUME_OUT_OF_RANGE", "interrupted"], ["QUEUE_FULL", "failed"]]) {
  test(`an answer that ends with ${reason} is ${state} and can be tried again`, async () => {
    const { hub, chat, conversation } = chatting(() => [{ delta: { text: "a" } }]);
    const running = chat.ask(conversation, "x", SETTINGS);
    await settle();
    for (const call of hub.calls.values()) call.failure = failure(8, reason);
    await answered(hub, running);
    assert.equal(conversation.turns[1].state, state);
    assert.equal(conversation.turns[1].error.reason, reason);
    await answered(hub, chat.again(conversation, SETTINGS));
    assert.deepEqual(conversation.turns.map(({ role, text }) => [role, text]), [["user", "x"], ["assistant", "a"]]);
    assert.equal(hub.with("open")[1].payload[0].messages.length, 1);
  });
}

test("both languages say everything, with the same values", () => {
  assert.deepEqual(Object.keys(TEXTS.vi), Object.keys(TEXTS.en));
  const values = (text) => [...text.matchAll(/\{\w+\}/g)].map(([value]) => value).sort();
  for (const name of Object.keys(TEXTS.en)) assert.deepEqual(values(TEXTS.vi[name]), values(TEXTS.en[name]), name);
});

test("the browser's first language that the page speaks is chosen", () => {
  assert.equal(preferredLanguage(["fr-FR", "vi-VN", "en"]), "vi");
  assert.equal(preferredLanguage(["fr"]), "en");
});

test("progress is told in words", () => {
  const cases = [
    [null, "Sending…", "Đang gửi…"],
    [{ state: "STATE_QUEUED", position: 1 }, "Next in line…", "Sắp đến lượt bạn…"],
    [{ state: "STATE_QUEUED", position: 3, eta: "12.4s" }, "Number 3 in line, about 12 s…", "Đang xếp hàng ở vị trí 3, khoảng 12 giây…"],
    [{ state: "STATE_LOADING", fraction: 0.456, eta: "240s" }, "Loading the model, 46 %, about 4 min…", "Đang nạp mô hình, 46 %, khoảng 4 phút…"],
    [{ state: "STATE_RUNNING" }, "Reading your message…", "Đang đọc tin nhắn của bạn…"],
  ];
  for (const [progress, english, vietnamese] of cases) {
    assert.equal(progressWords(progress, en, true), english);
    assert.equal(progressWords(progress, vi, true), vietnamese);
  }
  assert.equal(progressWords(null, en, false), "Waiting for the connection…");
});

test("errors say what to do", () => {
  const failed = (error) => ({ state: "failed", text: "", model: "tiny", error: { message: "m", reference: "", ...error } });
  assert.match(endWords(failed({ reason: "MODEL_NOT_FOUND" }), en), /“tiny”.*Choose another/);
  assert.match(endWords(failed({ reason: "QUEUE_FULL", retryAfter: 2200 }), en), /Wait 3 s and try again/);
  assert.match(endWords(failed({ reason: "RATE_LIMITED", retryAfter: null }), vi), /chờ giây lát/);
  assert.equal(endWords(failed({ reason: "SOMETHING", reference: "r1" }), en), "That did not work: m Whoever runs the hub can look it up: troupe logs r1");
  assert.doesNotMatch(endWords(failed({ reason: "QUEUE_FULL", reference: "r1" }), en), /r1/);
  assert.match(endWords({ state: "interrupted", text: "a" }, en), /interrupted.*rest of it is lost/);
  assert.equal(endWords({ state: "done", text: "a" }, en), "");
});

test("costs are told in tokens and tokens per second", () => {
  const usage = { promptTokens: 20, completionTokens: 41, decodeSeconds: 0.5 };
  assert.equal(usageWords(usage, en, "en").words, "41 tokens · 80 tokens/s");
  assert.equal(usageWords({ completionTokens: 1 }, vi, "vi").words, "1 token");
  assert.equal(modelWords({ name: "m", state: "MODEL_STATE_AVAILABLE" }, en), "m (loads when asked)");
  assert.equal(modelWords({ name: "m", state: "MODEL_STATE_READY" }, en), "m");
  assert.equal(modelWords({ name: "m", state: "MODEL_STATE_LOADING", default: true }, vi), "m (mặc định, đang nạp)");
});

test("a chat is called by its first words", () => {
  const titled = (text) => titleOf({ turns: [{ text }] });
  assert.equal(titled(" How\n do I? "), "How do I?");
  assert.equal(titled("x".repeat(80)).length, 60);
  assert.equal(titleOf({ turns: [] }), "");
});

/** Storage with a limit, whose keys are its own properties, as in a browser. */
function storage(limit = Infinity) {
  const kept = {
    getItem: (key) => kept[key] ?? null,
    setItem: (key, text) => {
      const others = Object.keys(kept).filter((each) => each !== key && typeof kept[each] === "string");
      if (others.reduce((sum, each) => sum + kept[each].length, text.length) > limit) throw new Error("QuotaExceededError");
      kept[key] = text;
    },
    removeItem: (key) => delete kept[key],
  };
  return kept;
}

const chatNamed = (id, updated, text = "x") => ({ id, updated, turns: [{ role: "user", text }] });

test("at most fifty chats are kept, the latest ones", () => {
  const store = new Store(storage(), storage());
  for (let index = 0; index < 60; index++) store.saveChat(chatNamed(`c${index}`, index));
  assert.equal(store.chats().length, 50);
  assert.equal(store.chats()[0].id, "c59");
  assert.equal(store.chat("c5"), null);
});

test("old chats make room where the browser has none left", () => {
  const store = new Store(storage(5000), storage());
  for (let index = 0; index < 8; index++) store.saveChat(chatNamed(`c${index}`, index, "y".repeat(1000)));
  assert.ok(store.chats().length >= 3);
  assert.equal(store.chats()[0].id, "c7");
});

test("a storage that is forbidden or holds rubbish is borne", () => {
  const store = new Store(null, null);
  store.saveChat(chatNamed("a", 1));
  store.saveKey("k");
  assert.deepEqual([store.chats(), store.chat("a"), store.key(), store.takePlace()], [[], null, "", null]);
  const broken = storage();
  broken.setItem("troupe.chat.z", "{");
  broken.setItem("troupe.settings", "null");
  assert.deepEqual(new Store(broken, storage()).chats(), []);
  assert.equal(new Store(broken, storage()).settings().appearance, "system");
});

test("the place of a tab is given once", () => {
  const store = new Store(storage(), storage());
  store.savePlace({ chat: "a", tickets: {} });
  assert.deepEqual(store.takePlace(), { chat: "a", tickets: {} });
  assert.equal(store.takePlace(), null);
});
