/** The turns of a conversation as elements. */

import { MarkdownView } from "./markdown_view.js";
import { endWords, progressWords, usageWords } from "./words.js";

const CALM_ENDS = new Set(["stopped", "done"]);

/**
 * Shows conversations in an element.
 *   host        the element
 *   page        {say, locale, connected, copy(text, button), again()}; read anew each time
 */
export class TurnsView {
  #host;
  #page;
  #views = [];
  #conversation = null;

  constructor(host, page) {
    this.#host = host;
    this.#page = page;
  }

  /** Show a conversation from its beginning. */
  open(conversation) {
    this.#host.replaceChildren();
    this.#views = [];
    this.#conversation = conversation;
    this.refresh();
  }

  /** Bring what is shown up to date: turns that came or went, and the last one. */
  refresh() {
    const { turns } = this.#conversation;
    while (this.#views.length > 0 && this.#views.at(-1).turn !== turns[this.#views.length - 1]) this.#views.pop().element.remove();
    for (const turn of turns.slice(this.#views.length)) this.#add(turn);
    this.#views.slice(-3).forEach((view, place, shown) => view.update(place === shown.length - 1));
  }

  #add(turn) {
    const view = turn.role === "user" ? new UserTurn(turn, this.#page) : new AssistantTurn(turn, this.#page);
    this.#views.push(view);
    view.update(false);
    this.#host.append(view.element);
  }
}

class UserTurn {
  constructor(turn, page) {
    this.turn = turn;
    this.element = made("article", "turn user");
    this.element.setAttribute("aria-label", page.say("you"));
    this.element.append(turn.text);
  }

  update() {}
}

class AssistantTurn {
  #page;
  #markdown;
  #thoughts = null;
  #answer = made("div", "answer");
  #waiting = made("p", "waiting");
  #ending = made("p", "ending");
  #tools = made("div", "turn-tools");
  #copy;
  #again;
  #cost = made("span", "cost");

  constructor(turn, page) {
    this.turn = turn;
    this.#page = page;
    this.element = made("article", "turn assistant");
    this.element.setAttribute("aria-label", turn.model);
    this.#markdown = new MarkdownView(this.#answer, { copy: page.copy, copyLabel: page.say("copy") });
    this.#copy = button(page.say("copy"), (pressed) => page.copy(turn.text, pressed));
    this.#again = button(page.say("again"), () => page.again());
    this.#again.classList.add("again");
    this.#tools.append(this.#copy, this.#again, this.#cost);
    this.element.append(this.#answer, this.#waiting, this.#ending, this.#tools);
  }

  /** `last` tells whether nothing was said after it. */
  update(last) {
    const { turn } = this;
    const running = turn.state === "running";
    this.element.setAttribute("aria-busy", String(running));
    this.#showThoughts();
    this.#markdown.update(turn.text);
    this.#showWaiting(running && !turn.text);
    this.#showEnding();
    this.#tools.hidden = running;
    this.#copy.hidden = turn.text === "";
    this.#again.hidden = !last;
    this.#again.classList.toggle("wanted", turn.state === "interrupted" || turn.state === "failed");
    this.#showCost();
  }

  #showThoughts() {
    const { reasoning } = this.turn;
    if (!reasoning) return;
    if (this.#thoughts === null) {
      const details = made("details", "thoughts");
      const summary = made("summary");
      summary.append(this.#page.say("reasoning"));
      this.#thoughts = made("div");
      details.append(summary, this.#thoughts);
      this.element.prepend(details);
    }
    this.#thoughts.textContent = reasoning.trim();
  }

  #showWaiting(shown) {
    this.#waiting.hidden = !shown;
    if (!shown) return;
    const words = progressWords(this.turn.progress, this.#page.say, this.#page.connected);
    if (this.#waiting.textContent !== words) this.#waiting.textContent = words;
  }

  #showEnding() {
    const words = this.turn.state === "running" ? "" : endWords(this.turn, this.#page.say);
    this.#ending.hidden = words === "";
    this.#ending.textContent = words;
    this.#ending.classList.toggle("quiet-ending", CALM_ENDS.has(this.turn.state));
  }

  #showCost() {
    const { usage } = this.turn;
    if (!usage) return;
    const { words, title } = usageWords(usage, this.#page.say, this.#page.locale);
    this.#cost.textContent = words;
    this.#cost.title = title;
  }
}

export function made(tag, className = "") {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

export function button(words, act) {
  const element = made("button");
  element.type = "button";
  element.append(words);
  element.addEventListener("click", () => act(element));
  return element;
}
