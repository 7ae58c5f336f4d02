/** Chats, settings and the place where the reader was, in the browser's storage; bounded. */

const CHAT = "troupe.chat.";
const SETTINGS = "troupe.settings";
const KEY = "troupe.key";
const PLACE = "troupe.place";
const MAX_CHATS = 50;
const MAX_CHARACTERS = 2_000_000;

export const DEFAULT_SETTINGS = { language: "", appearance: "system", temperature: null, system: "", model: "" };

/**
 * What the page remembers. A storage that is full or forbidden is no reason to stop: then less is remembered.
 *   lasting  localStorage: chats, settings
 *   tab      sessionStorage: the API key, which chat is open, how to go on with its answer
 */
export class Store {
  constructor(lasting, tab) {
    this.lasting = lasting;
    this.tab = tab;
  }

  settings() {
    return { ...DEFAULT_SETTINGS, ...read(this.lasting, SETTINGS) };
  }

  saveSettings(settings) {
    write(this.lasting, SETTINGS, settings);
  }

  key() {
    return read(this.tab, KEY) ?? "";
  }

  saveKey(key) {
    write(this.tab, KEY, key);
  }

  /** {chat: id, ticket} of this tab, or null. Reading it forgets it: an answer is continued once. */
  takePlace() {
    const place = read(this.tab, PLACE);
    remove(this.tab, PLACE);
    return place;
  }

  savePlace(place) {
    write(this.tab, PLACE, place);
  }

  /** All chats, the latest first. */
  chats() {
    const chats = chatKeys(this.lasting).map((key) => read(this.lasting, key));
    return chats.filter((chat) => Array.isArray(chat?.turns)).sort((one, other) => other.updated - one.updated);
  }

  chat(id) {
    const chat = read(this.lasting, CHAT + id);
    return Array.isArray(chat?.turns) ? chat : null;
  }

  /** Keep a chat; the oldest others make room for it. */
  saveChat(chat) {
    const text = JSON.stringify(chat);
    if (text.length > MAX_CHARACTERS) return;
    this.#makeRoom(chat.id, text.length);
    while (!put(this.lasting, CHAT + chat.id, text) && this.#removeOldest(chat.id));
  }

  removeChat(id) {
    remove(this.lasting, CHAT + id);
  }

  removeAllChats() {
    chatKeys(this.lasting).forEach((key) => remove(this.lasting, key));
  }

  #makeRoom(id, size) {
    const others = this.chats().filter((chat) => chat.id !== id);
    let total = size;
    others.forEach((chat, place) => {
      total += JSON.stringify(chat).length;
      if (place >= MAX_CHATS - 1 || total > MAX_CHARACTERS) this.removeChat(chat.id);
    });
  }

  #removeOldest(keep) {
    const oldest = this.chats().filter((chat) => chat.id !== keep).at(-1);
    if (oldest) this.removeChat(oldest.id);
    return oldest !== undefined;
  }
}

function chatKeys(storage) {
  try {
    return Object.keys(storage).filter((key) => key.startsWith(CHAT));
  } catch {
    return [];
  }
}

function read(storage, key) {
  try {
    return JSON.parse(storage.getItem(key));
  } catch {
    return null;
  }
}

function write(storage, key, value) {
  return put(storage, key, JSON.stringify(value));
}

function put(storage, key, text) {
  try {
    storage.setItem(key, text);
    return true;
  } catch {
    return false;
  }
}

function remove(storage, key) {
  try {
    storage.removeItem(key);
  } catch {
    // A storage that is forbidden holds nothing.
  }
}
