/**
 * Markdown in a document, made of nodes one by one: text only ever becomes text nodes.
 *
 * A growing text is cheap to show again: blocks that are complete stay as they are, only the last one is made anew.
 */

import { parse } from "./markdown.js";

const TAGS = { strong: "strong", emphasis: "em", strike: "del" };
/** A page has its own headings above: a model's "#" is a third-level one. */
const HEADING_SHIFT = 2;

/**
 * A text in an element.
 *   host      the element to fill
 *   document  makes the nodes
 *   copy(text) called when the button of a code block is pressed; its second argument is the button
 *   copyLabel  of these buttons
 */
export class MarkdownView {
  #host;
  #options;
  #text = "";
  #settled = 0;
  #tail = [];
  #last = null;

  constructor(host, options) {
    this.#host = host;
    this.#options = { document: globalThis.document, copy: () => {}, copyLabel: "Copy", ...options };
  }

  /** Show this text; what it shares with the text before is left alone. */
  update(text) {
    if (text === this.#text) return;
    if (!text.startsWith(this.#text)) this.clear();
    this.#text = text;
    const tail = text.slice(this.#settled);
    const blocks = parse(tail);
    if (this.#replaceCode(blocks)) return;
    this.#tail.forEach((node) => node.remove());
    const nodes = blocks.map((block) => this.#block(block));
    this.#host.append(...nodes);
    this.#tail = nodes.slice(-1);
    if (blocks.length > 1) this.#settled += offsetOf(tail, blocks.at(-1).line);
    this.#last = blocks.at(-1);
  }

  clear() {
    this.#host.replaceChildren();
    this.#text = "";
    this.#settled = 0;
    this.#tail = [];
    this.#last = null;
  }

  /** A growing code block keeps its nodes, so that its scroll position and its button stay. */
  #replaceCode(blocks) {
    const [block] = blocks;
    const same = blocks.length === 1 && block.type === "code" && this.#last?.type === "code";
    if (!same || block.language !== this.#last.language) return false;
    this.#tail[0].querySelector("code").textContent = block.text;
    this.#last = block;
    return true;
  }

  #make(tag, ...children) {
    const node = this.#options.document.createElement(tag);
    node.append(...children);
    return node;
  }

  #block(block) {
    switch (block.type) {
      case "heading":
        return this.#make(`h${Math.min(6, block.level + HEADING_SHIFT)}`, ...this.#inlines(block.children));
      case "code":
        return this.#code(block);
      case "quote":
        return this.#make("blockquote", ...block.blocks.map((each) => this.#block(each)));
      case "list":
        return this.#list(block);
      case "table":
        return this.#table(block);
      case "rule":
        return this.#make("hr");
      default:
        return this.#make("p", ...this.#inlines(block.children));
    }
  }

  #code({ language, text }) {
    const code = this.#make("code", text);
    const button = this.#make("button", this.#options.copyLabel);
    button.type = "button";
    button.addEventListener("click", () => this.#options.copy(code.textContent, button));
    const pre = this.#make("pre", code);
    pre.tabIndex = 0;
    const bar = this.#make("div", this.#make("span", language), button);
    bar.className = "code-bar";
    const figure = this.#make("div", bar, pre);
    figure.className = "code-block";
    return figure;
  }

  #list({ ordered, start, items }) {
    const node = this.#make(ordered ? "ol" : "ul", ...items.map((blocks) => this.#item(blocks)));
    if (ordered) node.start = start;
    return node;
  }

  /** A list of single lines stands close together: its paragraphs lose their own margins. */
  #item(blocks) {
    const [first, ...rest] = blocks;
    const tight = first?.type === "paragraph" && rest.every((block) => block.type === "list");
    if (!tight) return this.#make("li", ...blocks.map((block) => this.#block(block)));
    return this.#make("li", ...this.#inlines(first.children), ...rest.map((block) => this.#block(block)));
  }

  #table({ alignments, head, rows }) {
    const row = (tag) => (cells) => this.#make("tr", ...cells.map((cell, column) => this.#cell(tag, cell, alignments[column])));
    const table = this.#make("table", this.#make("thead", row("th")(head)), this.#make("tbody", ...rows.map(row("td"))));
    const frame = this.#make("div", table);
    frame.className = "table-frame";
    frame.tabIndex = 0;
    return frame;
  }

  #cell(tag, children, alignment) {
    const node = this.#make(tag, ...this.#inlines(children));
    node.className = `align-${alignment}`;
    if (tag === "th") node.scope = "col";
    return node;
  }

  #inlines(children) {
    return children.map((node) => this.#inline(node));
  }

  #inline(node) {
    if (node.type === "text") return node.text;
    if (node.type === "break") return this.#make("br");
    if (node.type === "code") return this.#make("code", node.text);
    if (node.type === "link") return this.#link(node);
    return this.#make(TAGS[node.type], ...this.#inlines(node.children));
  }

  #link({ href, children }) {
    const node = this.#make("a", ...this.#inlines(children));
    node.href = href;
    node.rel = "noopener noreferrer";
    node.target = "_blank";
    return node;
  }
}

function offsetOf(text, line) {
  let at = 0;
  for (let passed = 0; passed < line; passed++) at = text.indexOf("\n", at) + 1;
  return at;
}
