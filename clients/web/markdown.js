/**
 * Markdown that a model wrote, as data: `parse` gives blocks, `inlines` what is inside a line of text.
 *
 * Nothing here touches a document; markdown_view.js builds the nodes. HTML is text like any other, pictures become
 * links, and only http and https links are links. Time grows linearly with the text and nesting is bounded, because the
 * text may come from anywhere.
 *
 * Blocks: {type: "heading", level, children} {type: "paragraph", children} {type: "code", language, text}
 * {type: "quote", blocks} {type: "list", ordered, start, items: [blocks]} {type: "table", alignments, head, rows}
 * {type: "rule"}; each with `line`, the line it begins at. Inlines: {type: "text" | "code", text} {type: "break"}
 * {type: "strong" | "emphasis" | "strike", children} {type: "link", href, children}
 */

const MAX_DEPTH = 8;
const MAX_COLUMNS = 64;

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?: +(.*)|)$/;
const DELIMITERS = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** The blocks of a text. */
export function parse(text) {
  return blocksOf(text.replaceAll("\r\n", "\n").replaceAll("\t", "    ").split("\n"), 0);
}

function blocksOf(lines, depth) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at].trim() === "") {
      at++;
      continue;
    }
    const [block, next] = blockAt(lines, at, depth);
    blocks.push({ ...block, line: at });
    at = next;
  }
  return blocks;
}

function blockAt(lines, at, depth) {
  const line = lines[at];
  if (FENCE.test(line)) return code(lines, at);
  if (HEADING.test(line)) return heading(line, at);
  if (RULE.test(line)) return [{ type: "rule" }, at + 1];
  if (depth < MAX_DEPTH && QUOTE.test(line)) return quote(lines, at, depth);
  if (depth < MAX_DEPTH && ITEM.test(line)) return list(lines, at, depth);
  if (beginsTable(lines, at)) return table(lines, at);
  return paragraph(lines, at, depth);
}

function code(lines, at) {
  const [, fence, language] = FENCE.exec(lines[at]);
  const indent = indentOf(lines[at]);
  const ends = (line) => line.trim().length >= fence.length && line.trim() === fence[0].repeat(line.trim().length);
  let end = at + 1;
  while (end < lines.length && !ends(lines[end])) end++;
  const body = lines.slice(at + 1, end).map((line) => line.slice(Math.min(indent, indentOf(line))));
  return [{ type: "code", language, text: body.join("\n") }, end + 1];
}

function heading(line, at) {
  const [, marks, title = ""] = HEADING.exec(line);
  return [{ type: "heading", level: marks.length, children: inlines(title) }, at + 1];
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && lines[end].trim() !== "" && (QUOTE.test(lines[end]) || !interrupts(lines[end], depth))) end++;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return [{ type: "quote", blocks: blocksOf(inner, depth + 1) }, end];
}

function list(lines, at, depth) {
  const [, margin, marker] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(marker);
  const items = [];
  let next = at;
  while (next < lines.length) {
    const found = ITEM.exec(lines[next]);
    if (!found || /\d/.test(found[2]) !== ordered || found[1].length > margin.length + 3 || RULE.test(lines[next])) break;
    const end = itemEnd(lines, next, found);
    items.push(blocksOf(itemLines(lines, next, end, found), depth + 1));
    next = end;
  }
  return [{ type: "list", ordered, start: ordered ? parseInt(marker, 10) : 1, items }, next];
}

function contentIndent([, margin, marker]) {
  return margin.length + marker.length + 1;
}

function itemEnd(lines, at, found) {
  const indent = Math.min(contentIndent(found), found[1].length + 2);
  let end = at + 1;
  while (end < lines.length) {
    if (lines[end].trim() === "") {
      const next = nextFilled(lines, end);
      if (next === lines.length || (indentOf(lines[next]) < indent && !ITEM.test(lines[next]))) return next;
      end = next;
    } else if (indentOf(lines[end]) < indent && interrupts(lines[end], 0)) {
      return end;
    } else {
      end++;
    }
  }
  return end;
}

function nextFilled(lines, at) {
  while (at < lines.length && lines[at].trim() === "") at++;
  return at;
}

function itemLines(lines, at, end, found) {
  const indent = contentIndent(found);
  while (lines[end - 1].trim() === "" && end > at + 1) end--;
  const rest = lines.slice(at + 1, end).map((line) => line.slice(Math.min(indent, indentOf(line))));
  return [found[3] ?? "", ...rest];
}

function beginsTable(lines, at) {
  const below = lines[at + 1];
  if (below === undefined || !lines[at].includes("|") || !DELIMITERS.test(below)) return false;
  const columns = cells(lines[at]).length;
  return columns === cells(below).length && columns <= MAX_COLUMNS;
}

function table(lines, at) {
  const alignments = cells(lines[at + 1]).map(alignment);
  const row = (line) => alignments.map((_, column) => inlines(cells(line)[column] ?? ""));
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) end++;
  return [{ type: "table", alignments, head: row(lines[at]), rows: lines.slice(at + 2, end).map(row) }, end];
}

function alignment(cell) {
  const left = cell.startsWith(":");
  const right = cell.endsWith(":");
  if (left && right) return "center";
  return right ? "right" : "left";
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function paragraph(lines, at, depth) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() !== "" && !interrupts(lines[end], depth) && !beginsTable(lines, end)) end++;
  const text = lines.slice(at, end).map((line) => line.trim()).join("\n");
  return [{ type: "paragraph", children: inlines(text) }, end];
}

function interrupts(line, depth) {
  if (FENCE.test(line) || HEADING.test(line) || RULE.test(line)) return true;
  return depth < MAX_DEPTH && (QUOTE.test(line) || ITEM.test(line));
}

function indentOf(line) {
  return line.length - line.trimStart().length;
}

// ---- inside a line

const ESCAPE = /\\([!-/:-@[-`{-~])/y;
const CODE = /(`+)(?!`)/y;
const BRACKETED = /!?\[((?:[^[\]\\\n]|\\.){0,500})\]\(\s*<?([^\s<>()]{1,2000}(?:\([^\s<>()]{0,500}\)[^\s<>()]{0,500}){0,4})>?(?:\s+"[^"\n]{0,300}")?\s*\)/y;
const ANGLED = /<(https?:\/\/[^\s<>]{1,2000})>/y;
const BARE = /https?:\/\/[^\s<>"'`]{1,2000}/y;
const MARK = /\*+|_+|~~/y;
const PLAIN = /[^\\`![<h*_~\n]+/y;
const WORD = /[\p{L}\p{N}]/u;
const KINDS = { "*1": "emphasis", _1: "emphasis", "*2": "strong", _2: "strong", "~2": "strike" };

/** What is inside a line of text. `linked` is true inside a link, where there are no others. */
export function inlines(text, linked = false) {
  const tree = new Tree();
  let at = 0;
  while (at < text.length) at = step(text, at, tree, linked);
  return tree.finish();
}

function step(text, at, tree, linked) {
  const take = (pattern) => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  const plain = take(PLAIN);
  if (plain) return tree.text(plain[0]), at + plain[0].length;
  const escape = take(ESCAPE);
  if (escape) return tree.text(escape[1]), at + 2;
  if (text[at] === "\n") return tree.add({ type: "break" }), at + 1;
  if (text[at] === "`") return span(text, at, tree, take(CODE)[1]);
  const link = linked ? null : linkAt(take, text, at);
  if (link) return tree.add(link.node), at + link.length;
  const mark = take(MARK);
  if (mark) return tree.mark(mark[0], text[at - 1] ?? " ", text[at + mark[0].length] ?? " "), at + mark[0].length;
  return tree.text(text[at]), at + 1;
}

function span(text, at, tree, ticks) {
  const end = tree.closingTicks(text, at + ticks.length, ticks.length);
  if (end < 0) return tree.text(ticks), at + ticks.length;
  const inner = text.slice(at + ticks.length, end).replaceAll("\n", " ");
  tree.add({ type: "code", text: /^ .*[^ ].* $/.test(inner) ? inner.slice(1, -1) : inner });
  return end + ticks.length;
}

function linkAt(take, text, at) {
  if (text[at] === "h") return bareLink(take, text, at);
  const angled = text[at] === "<" ? take(ANGLED) : null;
  if (angled) return made(angled[1], [{ type: "text", text: angled[1] }], angled[0].length);
  const found = text[at] === "[" || text[at] === "!" ? take(BRACKETED) : null;
  return found && made(found[2], inlines(found[1], true), found[0].length);
}

function bareLink(take, text, at) {
  const found = WORD.test(text[at - 1] ?? " ") ? null : take(BARE);
  if (!found) return null;
  const trimmed = withoutTrail(found[0]);
  return made(trimmed, [{ type: "text", text: trimmed }], trimmed.length);
}

/** Punctuation after an address belongs to the sentence, a closing bracket too unless the address opened it. */
function withoutTrail(address) {
  let end = address.length;
  while (end > 0) {
    const last = address[end - 1];
    const unopened = last === ")" && !address.slice(0, end).includes("(");
    if (!unopened && !".,:;!?*_~]}".includes(last)) break;
    end--;
  }
  return address.slice(0, end);
}

function made(address, children, length) {
  const href = safeAddress(address);
  return href && { node: { type: "link", href, children }, length };
}

/** The address in its normal form, or null unless it is http or https. */
export function safeAddress(address) {
  const url = URL.canParse(address) ? new URL(address) : null;
  return url && (url.protocol === "https:" || url.protocol === "http:") ? url.href : null;
}

/** Emphasis as it opens and closes: a stack of what is open, each with the children it has so far. */
class Tree {
  #open = [{ mark: "", children: [] }];
  #tickEnds = null;

  text(text) {
    const siblings = this.#open.at(-1).children;
    const last = siblings.at(-1);
    if (last?.type === "text") last.text += text;
    else siblings.push({ type: "text", text });
  }

  add(node) {
    this.#open.at(-1).children.push(node);
  }

  /** A run of `*`, `_` or `~~` between two characters: closes what it can, opens what is left. */
  mark(run, before, after) {
    const inWord = run[0] === "_" && WORD.test(before) && WORD.test(after);
    if (run.length > 3 || inWord) return this.text(run);
    const closes = !/\s/.test(before);
    const opens = !/\s/.test(after);
    let rest = run;
    let closed = closes ? this.#close(rest) : 0;
    while (closed > 0) {
      rest = rest.slice(closed);
      closed = rest ? this.#close(rest) : 0;
    }
    if (!rest) return;
    if (opens && this.#open.length <= MAX_DEPTH) this.#open.push({ mark: rest, children: [] });
    else this.text(rest);
  }

  /** Close the nearest emphasis of this kind; how many of the marks that took. */
  #close(rest) {
    const at = this.#open.findLastIndex(({ mark }) => mark[0] === rest[0]);
    if (at < 1) return 0;
    this.#flatten(at + 1);
    const { mark, children } = this.#open.pop();
    const closed = Math.min(mark.length, rest.length, 2);
    const node = { type: KINDS[rest[0] + closed], children };
    if (mark.length > closed) this.#open.push({ mark: mark.slice(closed), children: [node] });
    else this.add(node);
    return closed;
  }

  /** What was opened and never closed is text. */
  #flatten(from) {
    const parent = this.#open[from - 1];
    for (const { mark, children } of this.#open.splice(from)) parent.children.push({ type: "text", text: mark }, ...children);
  }

  finish() {
    this.#flatten(1);
    return this.#open[0].children;
  }

  /** Where the run of exactly `length` backticks that closes a code span begins, or -1. Runs are found once. */
  closingTicks(text, from, length) {
    this.#tickEnds ??= runsOf(text);
    const starts = this.#tickEnds.get(length) ?? [];
    while (starts.length > 0 && starts[0] < from) starts.shift();
    return starts[0] ?? -1;
  }
}

function runsOf(text) {
  const runs = new Map();
  for (const { 0: run, index } of text.matchAll(/`+/g)) {
    if (!runs.has(run.length)) runs.set(run.length, []);
    runs.get(run.length).push(index);
  }
  return runs;
}
