/**
 * Markdown in a document, made of nodes one by one: text only ever becomes text nodes.
 *
 * A growing text is cheap to show again: blocks that are complete stay as they are, only the last one is made anew.
 */

import { parse } from "./markdown.js";

const TAGS = { strong: "strong", emphasis: "em", strike: "del" };
/** The page's own heading stands above: whatever level a text begins with, here that is the second. */
const TOP_HEADING = 2;
const LAST_HEADING = 6;

/**
 * A text in an element.
 *   host      the element to fill
 *   document  makes the nodes
 *   copy(text, button) called when the button of a code block is pressed
 *   copyLabel of these buttons
 */
export class MarkdownView {
  #host;
  #options;
  #text = "";
  #settled = 0;
  #tail = [];
  #settledTop = null;
  #top = 1;

  constructor(host, options) {
    this.#host = host;
    this.#options = { document: globalThis.document, copy: () => {}, copyLabel: "Copy", ...options };
  }

  /** Show this text; what it shares with the text before is left alone. */
  update(text) {
    if (text === this.#text) return;
    if (!text.startsWith(this.#text)) this.clear();
    this.#text = text;
    const rest = text.slice(this.#settled);
    const blocks = withSources(parse(rest), rest);
    this.#top = this.#settledTop ?? topLevel(blocks) ?? 1;
    let same = 0;
    while (same < blocks.length && blocks[same].source === this.#tail[same]?.source) same++;
    this.#replace(same, blocks);
    const final = finalBlocks(blocks, rest);
    this.#settled += final > 0 ? blocks[final].offset : 0;
    this.#settledTop ??= topLevel(blocks.slice(0, final));
    this.#tail = blocks.slice(final);
  }

  clear() {
    this.#host.replaceChildren();
    this.#text = "";
    this.#settled = 0;
    this.#settledTop = null;
    this.#tail = [];
  }

  /** Make the nodes of the blocks from this one on; those before keep theirs. */
  #replace(same, blocks) {
    blocks.forEach((block, place) => (block.node = place < same ? this.#tail[place].node : null));
    if (blocks.length === same + 1 && this.#grow(this.#tail[same], blocks[same])) return;
    for (const { node } of this.#tail.slice(same)) node.remove();
    for (const block of blocks.slice(same)) block.node = this.#block(block);
    this.#host.append(...blocks.slice(same).map(({ node }) => node));
  }

  /** A growing code block keeps its nodes, so that its scroll position and its button stay. */
  #grow(before, block) {
    if (this.#tail.at(-1) !== before || before?.type !== "code" || block.type !== "code") return false;
    if (before.language !== block.language) return false;
    block.node = before.node;
    block.node.querySelector("code").textContent = block.text;
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
        return this.#make(`h${this.#level(block)}`, ...this.#inlines(block.children));
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

  #level({ level }) {
    return Math.min(LAST_HEADING, Math.max(TOP_HEADING, TOP_HEADING + level - this.#top));
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

/** Level of the first heading, if there is one. */
function topLevel(blocks) {
  return blocks.find(({ type }) => type === "heading")?.level ?? null;
}

/** The blocks with where each begins in the text, and its own part of the text. */
function withSources(blocks, text) {
  let line = 0;
  let offset = 0;
  for (const block of blocks) {
    for (; line < block.line; line++) offset = text.indexOf("\n", offset) + 1;
    block.offset = offset;
  }
  blocks.forEach((block, place) => (block.source = text.slice(block.offset, blocks[place + 1]?.offset)));
  return blocks;
}

/**
 * How many blocks can no longer change, the last one never being among them. What follows a block decides where it
 * ends, and a line that is still growing may turn out to be something else; a table is known by its second line.
 */
function finalBlocks(blocks, text) {
  const completeLines = text.split("\n").length - 1;
  return Math.max(0, blocks.findLastIndex(({ line, type }) => line + (type === "table" ? 1 : 0) < completeLines));
}
