/** The two sheets: settings, and earlier chats. */

import { titleOf } from "./chat.js";
import { button, made } from "./turns.js";

const byId = (id) => document.getElementById(id);

/** Settings: `changed({name: value})` after each change, `keyChanged(key)` when another key was entered. */
export class SettingsSheet {
  #changed;

  constructor(settings, key, { changed, keyChanged }) {
    this.#changed = changed;
    byId("settings-key").value = key;
    byId("settings-key").addEventListener("change", (event) => keyChanged(event.target.value.trim()));
    byId("open-settings").addEventListener("click", () => byId("settings").showModal());
    for (const name of ["language", "appearance", "system"]) this.#bind(name, settings[name]);
    byId("temperature").addEventListener("input", () => this.#setTemperature(Number(byId("temperature").value)));
    byId("temperature-default").addEventListener("change", ({ target }) => {
      this.#setTemperature(target.checked ? null : Number(byId("temperature").value));
    });
    showTemperature(settings.temperature);
  }

  #bind(name, value) {
    const field = byId(name);
    field.value = value;
    field.addEventListener("input", () => this.#changed({ [name]: field.value }));
  }

  #setTemperature(temperature) {
    showTemperature(temperature);
    this.#changed({ temperature });
  }
}

function showTemperature(temperature) {
  byId("temperature-default").checked = temperature === null;
  if (temperature !== null) byId("temperature").value = temperature;
  byId("temperature-value").textContent = temperature === null ? "" : temperature.toFixed(1);
}

/**
 * Earlier chats: `opened(chat)` when one was chosen, `removed(id)` before one is deleted (null: all are), `restored(chat, shown)`
 * when one is had back, which goes until the sheet is closed.
 */
export class HistorySheet {
  #store;
  #page;

  constructor(store, page) {
    this.#store = store;
    this.#page = page;
    byId("open-history").addEventListener("click", () => this.#open());
    byId("remove-all").addEventListener("click", () => this.#removeAll());
  }

  #open() {
    this.#fill();
    byId("history").showModal();
  }

  #fill() {
    const chats = this.#store.chats();
    byId("no-history").hidden = chats.length > 0;
    byId("remove-all").hidden = chats.length === 0;
    byId("chats").replaceChildren(...chats.map((chat) => this.#row(chat)));
  }

  #row(chat) {
    const { say, locale, current } = this.#page;
    const title = titleOf(chat) || say("untitled");
    const open = button("", () => this.#choose(chat.id));
    open.className = "open-chat";
    open.setAttribute("aria-current", String(chat.id === current()));
    const name = made("span");
    name.append(title);
    open.append(name, time(chat.updated, locale));
    const remove = button("×", () => this.#remove(chat.id, row));
    remove.className = "icon-button";
    remove.setAttribute("aria-label", say("remove", { title }));
    const row = made("li");
    row.append(open, remove);
    return row;
  }

  #choose(id) {
    byId("history").close();
    const chat = this.#store.chat(id);
    if (chat) this.#page.opened(chat);
  }

  /** Delete a chat; its row offers it back, and has the focus that its button had. */
  #remove(id, row) {
    const shown = id === this.#page.current();
    this.#page.removed(id);
    const chat = this.#store.chat(id);
    this.#store.removeChat(id);
    const title = titleOf(chat) || this.#page.say("untitled");
    const words = made("span", "removed");
    words.append(this.#page.say("removed", { title }));
    const undo = button(this.#page.say("undo"), () => this.#restore(chat, shown, row));
    undo.className = "quiet";
    undo.setAttribute("aria-label", this.#page.say("undoRemove", { title }));
    row.replaceChildren(words, undo);
    undo.focus();
  }

  #restore(chat, shown, row) {
    this.#page.restored(chat, shown);
    const again = this.#row(chat);
    row.replaceWith(again);
    again.querySelector(".open-chat").focus();
  }

  #removeAll() {
    if (!window.confirm(this.#page.say("removeAllAsk"))) return;
    this.#store.removeAllChats();
    this.#page.removed(null);
    this.#fill();
    byId("history").querySelector("[value=close]").focus();
  }
}

function time(moment, locale) {
  const element = made("time");
  const at = new Date(moment);
  element.dateTime = at.toISOString();
  element.append(new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(at));
  return element;
}
