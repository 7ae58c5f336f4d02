/** The chat page: what it shows and what its keys and buttons do. */

import { copyText, nextFrame, socketAddress, storage, typedByFingers } from "./browser.js";
import { Chat, newConversation } from "./chat.js";
import { ModelMenu } from "./models.js";
import { HistorySheet, SettingsSheet } from "./sheets.js";
import { Store } from "./store.js";
import { preferredLanguage, speaker } from "./texts.js";
import { button, made, TurnsView } from "./turns.js";
import { Wire } from "./wire.js";

/** Model whose subject is Troupe itself: it is asked about nothing else. */
const GUIDE = "troupe-tiny";
const ABOUT_TROUPE = ["suggestion1", "suggestion2", "suggestion3"];
const ABOUT_THE_WORLD = ["suggestion4", "suggestion5", "suggestion6"];
/** Models that the hub brings and that know no other language. */
const ENGLISH_ONLY = new Set(["smollm2-135m"]);
const NEAR_END_PIXELS = 80;
const COPIED_MS = 1500;
/** Between two looks at a list of models that will change by itself. */
const LOOK_AGAIN_MS = 2000;

const byId = (id) => document.getElementById(id);

class Page {
  #store = new Store(storage("localStorage"), storage("sessionStorage"));
  #settings = this.#store.settings();
  #conversation = newConversation();
  #chats = new Map();
  /** Conversations that were deleted while they were answered: their end brings them back no more. */
  #gone = new Set();
  #paint = null;
  #look = 0;
  #pinned = true;
  #wire;
  #models;
  #view;

  constructor() {
    this.#settings.language ||= preferredLanguage(navigator.languages);
    this.#wire = new Wire({ url: socketAddress(), key: this.#store.key(), onstate: (state) => this.#connection(state) });
    this.#models = new ModelMenu(byId("model"), {
      wanted: this.#settings.model,
      chosen: (model) => this.#changeSettings({ model }),
      begun: () => this.#conversation.turns.length > 0,
    });
    this.#view = new TurnsView(byId("turns"), this);
    new HistorySheet(this.#store, this);
    new SettingsSheet(this.#settings, this.#store.key(), {
      changed: (changes) => this.#changeSettings(changes),
      keyChanged: (key) => this.#useKey(key),
    });
    this.#applySettings();
    this.#bind();
    this.#restore();
    this.#wire.connect();
  }

  // ---- what the views ask for

  get say() {
    return speaker(this.#settings.language);
  }

  /** How dates and numbers are written: as the browser has it, where that is the language that was chosen. */
  get locale() {
    const { language } = this.#settings;
    return navigator.languages.find((each) => each.startsWith(language)) ?? language;
  }

  get connected() {
    return this.#wire.state.name === "open";
  }

  /** The id of the conversation that is shown. */
  current = () => this.#conversation.id;

  /** Copy a text and say so on the button that was pressed. */
  copy = async (text, pressed) => {
    const copied = await copyText(text);
    const label = pressed.textContent;
    pressed.textContent = this.say(copied ? "copied" : "copyFailed");
    setTimeout(() => (pressed.textContent = label), COPIED_MS);
  };

  /** Have the last answer made once more. */
  again = () => {
    if (!this.#answering) this.#follow((chat, settings) => chat.again(this.#conversation, settings));
  };

  /** Show another conversation; an answer that is being made elsewhere goes on. */
  opened = (chat) => {
    this.#conversation = this.#chats.get(chat.id)?.conversation ?? settled(chat);
    this.#showConversation();
  };

  /** A conversation is deleted; null: all are. Answers under way are stopped, and what there is of them is kept. */
  removed = (id) => {
    for (const [running, chat] of this.#chats) {
      if (id !== null && id !== running) continue;
      this.#store.saveChat(chat.conversation);
      this.#gone.add(running);
      chat.stop();
    }
    if (id === null || id === this.#conversation.id) this.#newChat();
  };

  /** A conversation is had back after all. shown: it was the one on the page. */
  restored = (chat, shown) => {
    this.#gone.delete(chat.id);
    this.#store.saveChat(settled(chat));
    if (shown) this.opened(chat);
  };

  // ---- beginning

  #bind() {
    const message = byId("message");
    byId("composer").addEventListener("submit", (event) => (event.preventDefault(), this.#ask(message.value)));
    message.addEventListener("input", () => this.#fitMessage());
    message.addEventListener("keydown", (event) => this.#typed(event));
    message.enterKeyHint = typedByFingers() ? "enter" : "send";
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.#escape());
    byId("stop").addEventListener("click", () => this.#stop());
    byId("new-chat").addEventListener("click", () => this.#newChat());
    byId("retry-now").addEventListener("click", () => this.#wire.connect());
    byId("latest").addEventListener("click", () => this.#toEnd());
    byId("stage").addEventListener("scroll", () => this.#scrolled(), { passive: true });
    byId("key-form").addEventListener("submit", (event) => (event.preventDefault(), this.#useKey(byId("key").value.trim())));
    addEventListener("pagehide", () => this.#leave());
    addEventListener("online", () => this.#hasten());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hasten());
  }

  /** Go on where this tab was before it was loaded again, with the answers that were being made. */
  #restore() {
    const { chat: id, tickets = {} } = this.#store.takePlace() ?? {};
    const shown = id ? this.#store.chat(id) : null;
    if (shown) this.#conversation = shown;
    for (const [chatId, ticket] of Object.entries(tickets)) {
      const conversation = chatId === id ? shown : this.#store.chat(chatId);
      if (conversation?.turns.at(-1)?.state === "running") this.#resume(conversation, ticket);
    }
    if (!this.#answering) settled(this.#conversation);
    this.#showConversation();
  }

  #resume(conversation, ticket) {
    this.#chatFor(conversation).resume(conversation, ticket, this.#settings);
  }

  /** The tab is closed or loaded again: keep what is here, and what an answer can go on from. */
  #leave() {
    const tickets = {};
    for (const [id, chat] of this.#chats) {
      if (!chat.running) continue;
      tickets[id] = chat.ticket();
      this.#store.saveChat(chat.conversation);
    }
    this.#store.savePlace({ chat: this.#conversation.id, tickets });
  }

  // ---- asking

  get #answering() {
    return this.#chats.get(this.#conversation.id)?.running ?? false;
  }

  #chatFor(conversation) {
    const chat = new Chat({
      wire: this.#wire,
      changed: (changed, turn) => this.#changed(changed, turn),
      painted: () => this.#painted(),
    });
    this.#chats.set(conversation.id, chat);
    return chat;
  }

  #ask(text) {
    if (this.#answering || !text.trim() || !this.#models.name) return;
    byId("message").value = "";
    this.#fitMessage();
    this.#follow((chat, settings) => chat.ask(this.#conversation, text.trim(), settings));
  }

  #follow(begin) {
    this.#pinned = true;
    begin(this.#chatFor(this.#conversation), { ...this.#settings, model: this.#models.name });
    this.#store.saveChat(this.#conversation);
  }

  #stop() {
    this.#chats.get(this.#conversation.id)?.stop();
    byId("message").focus();
  }

  #escape() {
    if (this.#answering && !document.querySelector("dialog[open]")) this.#stop();
  }

  /**
   * An input method uses Enter for itself while it composes, for example Vietnamese letters. Where fingers type there is no
   * Shift + Enter: Enter makes a new line there, and the button sends.
   */
  #typed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    if (typedByFingers() && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.#ask(byId("message").value);
  }

  #newChat() {
    this.#conversation = newConversation();
    this.#models.startAnew();
    this.#showSuggestions();
    this.#showConversation();
    byId("message").focus();
  }

  // ---- showing

  #changed(conversation, turn) {
    this.#painted();
    if (turn.state === "running") return;
    this.#chats.delete(conversation.id);
    if (!this.#gone.has(conversation.id)) this.#store.saveChat(conversation);
    this.#refreshModels();
  }

  /** Resolves when what has changed is on the screen. */
  #painted() {
    this.#paint ??= new Promise((resolve) => {
      nextFrame(() => {
        this.#paint = null;
        this.#show();
        resolve();
      });
    });
    return this.#paint;
  }

  #show() {
    this.#view.refresh();
    const answering = this.#answering;
    const hadFocus = document.activeElement === byId("stop");
    byId("stop").hidden = !answering;
    byId("send").hidden = answering;
    if (hadFocus && !answering) byId("message").focus();
    byId("welcome").hidden = this.#conversation.turns.length > 0;
    if (this.#pinned) byId("stage").scrollTop = byId("stage").scrollHeight;
    this.#scrolled();
  }

  #showConversation() {
    this.#pinned = true;
    this.#view.open(this.#conversation);
    this.#show();
  }

  #scrolled() {
    const stage = byId("stage");
    this.#pinned = stage.scrollHeight - stage.scrollTop - stage.clientHeight < NEAR_END_PIXELS;
    byId("latest").hidden = this.#pinned;
  }

  #toEnd() {
    byId("stage").scrollTop = byId("stage").scrollHeight;
    byId("message").focus();
  }

  #fitMessage() {
    const message = byId("message");
    message.style.height = "auto";
    message.style.height = `${message.scrollHeight}px`;
    byId("send").disabled = !message.value.trim() || !this.#models.name;
  }

  // ---- the hub

  #connection({ name, error }) {
    if (name === "waiting") byId("connection").hidden = false;
    if (name === "open" || name === "refused") byId("connection").hidden = true;
    if (name === "refused") this.#askForKey(error);
    if (name === "open") this.#refreshModels();
    this.#painted();
  }

  #askForKey() {
    byId("key-words").textContent = this.say(this.#store.key() ? "keyRefused" : "keyAsked");
    byId("key-form").hidden = false;
    byId("key").focus();
  }

  #useKey(key) {
    this.#store.saveKey(key);
    byId("settings-key").value = key;
    byId("key").value = "";
    this.#wire.setKey(key);
  }

  async #refreshModels() {
    clearTimeout(this.#look);
    await this.#readModels();
    this.#showSuggestions();
    this.#fitMessage();
    await this.#models.refreshComing(this.#wire, this.say);
    clearTimeout(this.#look);
    if (!this.#models.settled) this.#look = setTimeout(() => this.#refreshModels(), LOOK_AGAIN_MS);
  }

  async #readModels() {
    const notice = byId("model-notice");
    try {
      await this.#models.refresh(this.#wire, this.say);
      byId("key-form").hidden = true;
      notice.hidden = this.#models.models.length > 0;
      notice.textContent = this.say("noModels");
    } catch (error) {
      notice.hidden = false;
      notice.textContent = this.say("modelsFailed", { why: error.message });
    }
  }

  #hasten() {
    if (this.#wire.state.name === "waiting") this.#wire.connect();
  }

  // ---- settings and language

  #changeSettings(changes) {
    const { language } = this.#settings;
    Object.assign(this.#settings, changes);
    this.#store.saveSettings(this.#settings);
    this.#applySettings();
    this.#showSuggestions();
    if (this.#settings.language !== language) this.#showConversation();
  }

  #applySettings() {
    const { say } = this;
    document.documentElement.lang = this.#settings.language;
    document.documentElement.dataset.appearance = this.#settings.appearance;
    for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
    for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = say(element.dataset.placeholder);
    for (const element of document.querySelectorAll("[data-label]")) label(element, say(element.dataset.label));
    this.#models.show(say);
  }

  /** Questions that the model can be asked, made anew only where they become others: one of them may have the focus. */
  #showSuggestions() {
    const list = byId("suggestions");
    const model = this.#models.name;
    const language = ENGLISH_ONLY.has(model) ? "en" : this.#settings.language;
    const names = model === GUIDE ? ABOUT_TROUPE : ABOUT_THE_WORLD;
    list.hidden = !model;
    if (list.lang === language && list.dataset.first === names[0]) return;
    list.lang = language;
    list.dataset.first = names[0];
    const say = speaker(language);
    const suggested = names.map((name) => {
      const row = made("li");
      row.append(button(say(name), (pressed) => this.#ask(pressed.textContent)));
      return row;
    });
    list.replaceChildren(...suggested);
  }
}

function label(element, words) {
  element.setAttribute("aria-label", words);
  if (element.tagName === "BUTTON") element.title = words;
}

/** Nobody follows an answer that was being made when its page went away without a ticket. */
function settled(conversation) {
  const last = conversation.turns.at(-1);
  if (last?.state === "running") last.state = "interrupted";
  return conversation;
}

new Page();
