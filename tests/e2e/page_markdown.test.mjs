import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "../../clients/web/markdown.js";
import { MarkdownView } from "../../clients/web/markdown_view.js";
import { FakeDocument, FakeElement, seeded } from "./page_fakes.mjs";

const TAGS = new Set(
  "host p h2 h3 h4 h5 h6 ul ol li blockquote hr pre code div span button table thead tbody tr th td a strong em del br".split(" "),
);

function shown(text) {
  const host = new FakeElement("host");
  new MarkdownView(host, { document: new FakeDocument() }).update(text);
  return host;
}

const outline = (text) => shown(text).outline.replace(/^<host>|<\/host>$/g, "");

const CASES = [
  ["a paragraph keeps its line ends", "one\ntwo", "<p>one<br></br>two</p>"],
  ["an empty line begins another paragraph", "one\n\n\ntwo", "<p>one</p><p>two</p>"],
  ["headings stand below the page's own", "# A\n## B\n###### C", "<h2>A</h2><h3>B</h3><h6>C</h6>"],
  ["headings begin at one level, whatever the text begins with", "### A\n#### B\n# C", "<h2>A</h2><h3>B</h3><h2>C</h2>"],
  ["emphasis", "*a* **b** ***c*** ~~d~~ _e_ __f__", "<p><em>a</em> <strong>b</strong> <em><strong>c</strong></em> <del>d</del> <em>e</em> <strong>f</strong></p>"],
  ["names with underscores are no emphasis", "a_b_c and 2 * 3 * 4", "<p>a_b_c and 2 * 3 * 4</p>"],
  ["what is not closed is text", "**a `b [c](", "<p>**a `b [c](</p>"],
  ["inline code keeps everything", "`**a** <b>` and ``x ` y``", "<p><code>**a** <b></code> and <code>x ` y</code></p>"],
  ["escapes", "\\*a\\* \\# \\`", "<p>*a* # `</p>"],
  ["lists nest", "- a\n  - b\n  - c\n- d", "<ul><li>a<ul><li>b</li><li>c</li></ul></li><li>d</li></ul>"],
  ["ordered lists hold paragraphs and code", "1. a\n\n   b\n2. c", "<ol><li><p>a</p><p>b</p></li><li>c</li></ol>"],
  ["a list ends at a paragraph", "- a\n\nb", "<ul><li>a</li></ul><p>b</p>"],
  ["quotes", "> a\n> - b\nc", "<blockquote><p>a</p><ul><li>b<br></br>c</li></ul></blockquote>"],
  ["rules", "a\n\n---\n\nb", "<p>a</p><hr></hr><p>b</p>"],
  ["HTML is text", "<script>alert(1)</script> <b>x</b>", "<p><script>alert(1)</script> <b>x</b></p>"],
  ["Vietnamese", "**Cổng mặc định** là `8080`, *đúng vậy*.", "<p><strong>Cổng mặc định</strong> là <code>8080</code>, <em>đúng vậy</em>.</p>"],
  [
    "tables",
    "| a | b \\| c |\n|---|--:|\n| 1 | **2** |\n| 3 |",
    "<div><table><thead><tr><th>a</th><th>b | c</th></tr></thead><tbody><tr><td>1</td><td><strong>2</strong></td></tr><tr><td>3</td><td></td></tr></tbody></table></div>",
  ],
];

for (const [name, text, expected] of CASES) test(name, () => assert.equal(outline(text), expected));

test("code blocks keep their text and offer it for copying", () => {
  let copied;
  const host = new FakeElement("host");
  new MarkdownView(host, { document: new FakeDocument(), copy: (text) => (copied = text), copyLabel: "Sao chép" })
    .update("```python\ndef f():\n    return '<a>'\n```\nafter");
  const button = host.querySelector("button");
  assert.equal(button.textContent, "Sao chép");
  button.onclick();
  assert.equal(copied, "def f():\n    return '<a>'");
  assert.equal(host.querySelector("span").textContent, "python");
  assert.equal(host.children.at(-1).textContent, "after");
});

test("a code block that is not closed yet is one already", () => {
  assert.equal(shown("```\nx = 1").querySelector("code").textContent, "x = 1");
});

test("links go to http and https only, and tell the other side nothing", () => {
  const text = "[a](https://troupe.example/x_(y)?q=1 \"t\") <http://b.example> https://c.example/d. ![pic](https://e.example/f.png)";
  const links = shown(text).all().filter(({ tag }) => tag === "a");
  assert.deepEqual(links.map(({ href }) => href), [
    "https://troupe.example/x_(y)?q=1", "http://b.example/", "https://c.example/d", "https://e.example/f.png",
  ]);
  for (const link of links) assert.deepEqual([link.rel, link.target], ["noopener noreferrer", "_blank"]);
});

test("other addresses are text", () => {
  for (const address of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "//x.example", "/x", "java\nscript:x", "https://", "\u0001javascript:x"]) {
    const links = shown(`[a](${address}) <${address}>`).all().filter(({ tag }) => tag === "a");
    assert.deepEqual(links, [], address);
  }
});

/** Makes texts out of what is special to markdown and to HTML. */
function strange(random) {
  const pieces = ["*", "**", "_", "~~", "`", "```", "\n", "\n\n", "# ", "> ", "- ", "1. ", "    ", "|", "|-|-|\n", "[", "](", ")",
    "javascript:alert(1)", "https://x.example/", "<script>", "</script>", "<img src=x onerror=alert(1)>", "\\", "a", "đ", "😀", "\t", "\r\n",
    "data:text/html,", "!", "\"", "'", "&lt;", "\u0000", "\u202e", "https://a@b:99999/"];
  const length = Math.floor(random() * 60);
  return Array.from({ length }, () => pieces[Math.floor(random() * pieces.length)]).join("");
}

test("no text makes an element that could run or a link that is not http", () => {
  const random = seeded(20);
  for (let turn = 0; turn < 3000; turn++) {
    const text = strange(random);
    for (const node of shown(text).all()) {
      assert.ok(TAGS.has(node.tag), `${node.tag} from ${JSON.stringify(text)}`);
      if (node.tag === "a") assert.match(node.href, /^https?:\/\//);
    }
  }
});

test("a text that grows piece by piece looks as if it had come at once", () => {
  const random = seeded(21);
  const sample = CASES.map(([, text]) => text).join("\n\n");
  for (let turn = 0; turn < 1500; turn++) {
    const text = turn === 0 ? sample : strange(random);
    const host = new FakeElement("host");
    const view = new MarkdownView(host, { document: new FakeDocument() });
    for (let at = 0; at < text.length; at += 1 + Math.floor(random() * 6)) view.update(text.slice(0, at));
    view.update(text);
    assert.equal(host.outline, shown(text).outline, JSON.stringify(text));
  }
});

test("blocks that are complete are left alone while the text grows", () => {
  const host = new FakeElement("host");
  const view = new MarkdownView(host, { document: new FakeDocument() });
  view.update("one\n\ntwo");
  const [first] = host.children;
  view.update("one\n\ntwo and\n\nthree");
  assert.equal(host.children[0], first);
  view.update("other");
  assert.equal(host.outline, "<host><p>other</p></host>");
});

test("a code block that grows keeps its element", () => {
  const host = new FakeElement("host");
  const view = new MarkdownView(host, { document: new FakeDocument() });
  view.update("```js\nlet");
  const [block] = host.children;
  view.update("```js\nlet a = 1;");
  assert.equal(host.children[0], block);
  assert.equal(block.querySelector("code").textContent, "let a = 1;");
});

test("nesting is bounded and hostile texts take linear work", () => {
  for (const piece of ["*a ", "a* ", "**", "[", "![a](", "``a`", "> ", "- ", "  - a\n", "|a", "<http://", "~~a", "1. a\n   - b\n", "`"]) {
    const blocks = parse(piece.repeat(20_000));
    assert.ok(depthOf(blocks) < 200, piece);
  }
});

function depthOf(value) {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Object.values(value).reduce((deepest, each) => Math.max(deepest, depthOf(each)), 0);
}
