"""Constraints as masks: what may come next, on a vocabulary of bytes and a few longer pieces."""

import json
import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llguidance", reason="the part transformers is not installed")
pytest.importorskip("transformers", reason="the part transformers is not installed")

from actors.model.constraint import Constraint, GrammarFormat, PatternFormat, SchemaFormat, ToolUse
from actors.model.tools import HERMES
from actors.transformers.masks import Gate, Masks
from actors.transformers.vocabulary import Vocabulary
from bus import RpcError

PIECES = [*(bytes([byte]) for byte in range(256)), b'{"', b"true", b"</think>a", b"", b"<tool_call>", b"<end>"]
END, CALL, EMPTY = len(PIECES) - 1, len(PIECES) - 2, len(PIECES) - 3


class Words(Vocabulary):
    """As a vocabulary is, without a tokenizer."""

    def __init__(self) -> None:
        self.size = len(PIECES) + 3  # rows of a matrix that no text leads to
        self.ends = frozenset({END})
        self.controls = {"<tool_call>": CALL, "<end>": END}

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        return list(text.encode())

    def piece(self, token: int) -> bytes:
        return PIECES[token] if token < len(PIECES) else b""


@pytest.fixture(scope="module")
def masks() -> Masks:
    return Masks(Words())


def gate(masks: Masks, constraint: Constraint, markers: frozenset[str] = frozenset()) -> Gate:
    found = masks.compiled(constraint, markers)
    assert found is not None
    return found


def may(gate: Gate) -> set[bytes]:
    return {PIECES[token] for token in np.flatnonzero(gate.mask())}


def say(gate: Gate, text: str) -> bool:
    """Take a text byte by byte; whether it and the end of a turn after it were allowed."""
    for byte in [*text.encode(), END]:
        if not gate.allows(byte):
            return False
        gate.accept(byte)
    return True


def test_only_what_goes_on_may_come_and_the_end_only_where_it_is_complete(masks: Masks) -> None:
    held = gate(masks, Constraint(PatternFormat("(true|tree)s?")))
    assert may(held) == {b"t", b"true"}
    for byte in b"tr":
        held.accept(byte)
    assert may(held) == {b"u", b"e"}
    for byte in b"ue":
        held.accept(byte)
    assert may(held) == {b"s", b"<end>"}
    assert held.allows(END) and held.allows(ord("s")) and not held.allows(ord("t"))


def test_no_token_without_bytes_and_no_control_token_may_come(masks: Masks) -> None:
    held = gate(masks, Constraint(PatternFormat(".*")))
    mask = held.mask()
    assert len(mask) == len(PIECES) + 3
    assert not mask[EMPTY] and not mask[CALL] and not mask[len(PIECES) :].any()
    assert mask[END] and mask[ord("a")]


def test_what_is_begun_of_a_character_ends_as_one(masks: Masks) -> None:
    held = gate(masks, Constraint(PatternFormat("..")))
    held.accept(0xED)
    assert may(held) == {bytes([byte]) for byte in range(0x80, 0xA0)}


def test_a_marker_counts_as_its_spelling(masks: Masks) -> None:
    tools = ToolUse(HERMES, [{"name": "now", "parameters": None}], True, False)
    held = gate(masks, Constraint(tools=tools), HERMES.markers)
    assert held.allows(CALL)
    held.accept(CALL)
    assert b"<tool_call>" not in may(held)
    assert not gate(masks, Constraint(tools=tools)).allows(CALL)


def test_it_holds_from_the_trigger_on(masks: Masks) -> None:
    held = gate(masks, Constraint(SchemaFormat({"const": 1}), after="</think>"))
    for byte in b"any text</thin":
        assert held.allows(byte)
        held.accept(byte)
    assert held.mask().all()
    held.accept(ord("k"))
    held.accept(ord(">"))
    assert may(held) == {b" ", b"\n", b"1"}


def test_what_the_trigger_brings_with_it_is_taken_or_drops_the_constraint(masks: Masks) -> None:
    token = PIECES.index(b"</think>a")
    taken = gate(masks, Constraint(PatternFormat("ab"), after="</think>"))
    taken.accept(token)
    assert may(taken) == {b"b"}
    dropped = gate(masks, Constraint(PatternFormat("b"), after="</think>"))
    dropped.accept(token)
    assert dropped.mask().all()


def test_copies_go_their_own_ways(masks: Masks) -> None:
    first = gate(masks, Constraint(PatternFormat("ab|cd"), after="!"))
    second = first.copy()
    assert say(first, "x!ab") and say(second, "!cd")


ANY = {"type": "object"}
TREE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "to": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["n", "to"],
        }
    },
}
RECURSIVE: list[tuple[Any, list[str], list[str]]] = [
    (ANY, ['{"a": {"b": [1, -2.5e3, null, "x\\n", []]}, "c": {}}', "{ }"], ['{"a":1,}', '{"a":tru}', "[]", '{"a" 1}']),
    (TREE, ['{"n":1,"to":[{"n": 22, "to": []}, {"n":3,"to":[]}]}'], ['{"n":1,"to":[{"n":2}]}', '{"n":1,"to":[1]}']),
    (True, ['"a"', "12", "[[[]]]", "true", '{"a":{}}'], ["", "tru", "01", "nul", '"a']),
]


@pytest.mark.parametrize(("schema", "good", "bad"), RECURSIVE)
def test_values_without_a_bound_on_their_depth_are_held(
    masks: Masks, schema: Any, good: list[str], bad: list[str]
) -> None:
    for text in good:
        assert json.loads(text) is not ...
        assert say(gate(masks, Constraint(SchemaFormat(schema))), text), text
    for text in bad:
        assert not say(gate(masks, Constraint(SchemaFormat(schema))), text), text


GBNF = r"""root ::= item ("," " "? item)* # a list
item ::= [^,\n\]()"]{1,3} |
  "\u00e9\U0001F600\x41" | "(" root ")"
"""


def test_a_grammar_of_the_callers_own_is_held(masks: Masks) -> None:
    constraint = Constraint(GrammarFormat("gbnf", GBNF))
    for text in ("a", "abc, d", "é😀A", "(a,(b, c))"):
        assert say(gate(masks, constraint), text), text
    for text in ("", "a,", "(a", 'a"', "a\n"):
        assert not say(gate(masks, constraint), text), text


@pytest.mark.parametrize("last", ['"x"', "root?"])
def test_a_grammar_that_is_too_deep_for_the_library_is_refused(masks: Masks, last: str) -> None:
    """It goes down with the stack, and ends the process where that is full."""
    chain = "\n".join(f'r{number} ::= "a" r{number + 1}' for number in range(9000))
    with pytest.raises(RpcError, match="1000 deep") as refusal:
        masks.compiled(Constraint(GrammarFormat("gbnf", f"root ::= r0\n{chain}\nr9000 ::= {last}")))
    assert refusal.value.reason == "INVALID_SCHEMA"
    levels: dict[str, Any] = {}
    for _ in range(60):
        levels = {"type": "object", "properties": {"next": levels, "x": {"type": "array"}}, "required": ["x"]}
    assert masks.compiled(Constraint(SchemaFormat(levels))) is not None


@pytest.mark.parametrize("grammar", ["no grammar at all", "root ::= missing", 'root ::= "a', "root ::= [b-a]"])
def test_a_grammar_that_is_none_is_refused(masks: Masks, grammar: str) -> None:
    with pytest.raises(RpcError, match="line 1") as refusal:
        masks.compiled(Constraint(GrammarFormat("gbnf", grammar)))
    assert refusal.value.reason == "INVALID_SCHEMA"


def test_a_grammar_that_comes_to_no_text_is_refused_before_a_token_is_chosen(masks: Masks) -> None:
    held = gate(masks, Constraint(GrammarFormat("gbnf", "root ::= a\na ::= b\nb ::= a")))
    with pytest.raises(RpcError) as refusal:
        held.mask()
    assert refusal.value.reason == "INVALID_SCHEMA"


class Spaced(Words):
    """Puts a space before a text, as some tokenizers do."""

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        return list(f" {text}".encode())


def test_where_one_text_alone_can_follow_its_tokens_may(masks: Masks) -> None:
    for one in (masks, Masks(Spaced())):
        held = gate(one, Constraint(PatternFormat("true")))
        assert may(held) <= {b"t", b"true"}
        assert may(held)
        assert say(held, "true")


@pytest.mark.parametrize("pattern", [r"[A-Z]{2}-\d+", r"\w+@\w+\.(com|vn)", r"a.c\n\"?", r"(ab|a)b?c{0,3}"])
def test_a_pattern_is_matched_from_end_to_end(masks: Masks, pattern: str) -> None:
    texts = ["AB-1", "A-1", "a@b.vn", "a@b.com", "a@b.de", "axc\n", 'axc\n"', "abc", "abbccc", "ab", "b", "abcccc"]
    for text in texts:
        assert say(gate(masks, Constraint(PatternFormat(pattern))), text) == bool(re.fullmatch(pattern, text)), text
