"""Calls in text: found the same however the text is cut, and text that is no call stays text."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.model.reply import Piece, ReplyParser, ToolParser
from actors.model.tool_parsers import HermesParser, LlamaParser, MistralParser, joined

Arguments = dict[str, Any]

TOOLS = ("clock", "weather")
ARGUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda x: st.lists(x, max_size=3)),
    max_size=3,
)
CALLS = st.lists(st.tuples(st.sampled_from(TOOLS), ARGUMENTS), min_size=1, max_size=3)
CUTS = st.lists(st.integers(0, 7), max_size=60)


def ids() -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"call_{next(numbers)}"


def pieces_of(parser: ToolParser, text: str, cuts: list[int], *, cut: bool = False) -> list[Piece]:
    found = []
    for length in cuts:
        found += parser.feed(text[:length])
        text = text[length:]
    return [*found, *parser.feed(text), *parser.finish(cut=cut)]


def calls_in(pieces: list[Piece]) -> list[tuple[str, str, str]]:
    """(id, name, arguments) of each call, from its deltas."""
    found: dict[int, list[str]] = {}
    for piece in pieces:
        if piece.call is not None:
            call = found.setdefault(piece.call.index, ["", "", ""])
            for place, more in enumerate((piece.call.id, piece.call.name, piece.call.arguments)):
                call[place] += more
    assert list(found) == list(range(len(found)))
    return [(id, name, arguments) for id, name, arguments in found.values()]


def text_in(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def hermes(calls: list[tuple[str, Arguments]]) -> str:
    return "\n".join(f"<tool_call>\n{write(name, 'arguments', given)}\n</tool_call>" for name, given in calls)


def llama(calls: list[tuple[str, Arguments]]) -> str:
    return "; ".join(write(name, "parameters", given) for name, given in calls)


def mistral(calls: list[tuple[str, Arguments]]) -> str:
    return f"[TOOL_CALLS] [{', '.join(write(name, 'arguments', given) for name, given in calls)}]"


def mistral_named(calls: list[tuple[str, Arguments]]) -> str:
    return "".join(f"[TOOL_CALLS]{name}[ARGS]{json.dumps(given)}" for name, given in calls)


def write(name: str, key: str, arguments: Arguments) -> str:
    return json.dumps({"name": name, key: arguments}, ensure_ascii=False)


FAMILIES: dict[str, tuple[Callable[..., ToolParser], Callable[[list[tuple[str, Arguments]]], str]]] = {
    "hermes": (HermesParser, hermes),
    "llama": (lambda source: LlamaParser(TOOLS, source), llama),
    "mistral": (MistralParser, mistral),
    "mistral named": (MistralParser, mistral_named),
}


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=60, deadline=None)
@given(calls=CALLS, cuts=CUTS)
def test_calls_are_the_same_however_the_text_is_cut(
    family: str, calls: list[tuple[str, Arguments]], cuts: list[int]
) -> None:
    parser, written = FAMILIES[family]
    pieces = pieces_of(parser(ids()), written(calls), cuts)
    found = calls_in(pieces)
    assert [(name, json.loads(arguments)) for _, name, arguments in found] == calls
    assert [id for id, _, _ in found] == [f"call_{place}" for place in range(len(calls))]
    assert text_in(pieces) == ""


@pytest.mark.parametrize("family", FAMILIES)
@given(text=st.text("abc{}[]<>_/ \n\"':ệ", max_size=60), cuts=CUTS)
def test_text_without_calls_stays_as_it_is(family: str, text: str, cuts: list[int]) -> None:
    parser, _ = FAMILIES[family]
    pieces = pieces_of(parser(ids()), text, cuts)
    assert calls_in(pieces) == []
    assert text_in(pieces) == text


@pytest.mark.parametrize("family", ["hermes", "mistral"])
def test_text_before_a_call_is_shown_and_the_gap_is_not(family: str) -> None:
    parser, written = FAMILIES[family]
    pieces = pieces_of(parser(ids()), "Để tôi xem.\n\n" + written([("clock", {})]), [3, 3, 3])
    assert text_in(pieces) == "Để tôi xem."
    assert [name for _, name, _ in calls_in(pieces)] == ["clock"]


def test_arguments_flow_before_they_are_complete() -> None:
    parser = HermesParser(ids())
    assert calls_in(parser.feed('<tool_call>{"name": "clock", "arguments": {"zone": "As')) == [
        ("call_0", "clock", '{"zone": "As')
    ]


def test_arguments_that_come_before_the_name_wait_for_it() -> None:
    pieces = pieces_of(HermesParser(ids()), '<tool_call>{"arguments": {"a": 1}, "name": "clock"}</tool_call>', [])
    assert calls_in(pieces) == [("call_0", "clock", '{"a": 1}')]


def test_arguments_written_as_a_string_are_unpacked() -> None:
    pieces = pieces_of(HermesParser(ids()), '<tool_call>{"name": "clock", "arguments": "{\\"a\\": 1}"}</tool_call>', [])
    assert calls_in(pieces) == [("call_0", "clock", '{"a": 1}')]


@pytest.mark.parametrize(
    "text", ["<tool_call>no JSON</tool_call>", '<tool_call>{"a": 1}', "<tool_call>", '<tool_call>{"na']
)
def test_what_only_looks_like_a_call_is_text(text: str) -> None:
    pieces = pieces_of(HermesParser(ids()), text, [1] * 40)
    assert calls_in(pieces) == []
    assert text_in(pieces) == text


@pytest.mark.parametrize("family", FAMILIES)
@given(end=st.integers(1, 400), cuts=CUTS)
def test_a_limit_leaves_no_markup_behind_a_call(family: str, end: int, cuts: list[int]) -> None:
    parser, written = FAMILIES[family]
    first, both = written([("clock", {"place": "Huế"})]), written([("clock", {"place": "Huế"}), ("weather", {})])
    pieces = pieces_of(parser(ids()), both[: len(first) + end], cuts, cut=True)
    assert text_in(pieces) == ""
    _, name, arguments = calls_in(pieces)[0]
    assert (name, json.loads(arguments)) == ("clock", {"place": "Huế"})


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("hermes", '<tool_call>\n{"name": "get_'),
        ("hermes", "<tool_call>"),
        ("hermes", "<tool_c"),
        ("llama", '<|python_tag|>{"name": "get_'),
        ("mistral", '[TOOL_CALLS] [{"name": "get_'),
        ("mistral named", "[TOOL_CALLS]get_"),
    ],
)
def test_a_first_call_that_a_limit_cut_off_is_no_text(family: str, text: str) -> None:
    parser, _ = FAMILIES[family]
    assert pieces_of(parser(ids()), text, [3, 3], cut=True) == []


@pytest.mark.parametrize(("family", "text"), [("hermes", "a <"), ("llama", '{"name": "Ng'), ("mistral", "see [1")])
def test_text_that_a_limit_cut_off_stays_where_it_may_be_no_call(family: str, text: str) -> None:
    parser, _ = FAMILIES[family]
    assert text_in(pieces_of(parser(ids()), text, [2], cut=True)) == text


def test_of_an_answer_that_is_held_to_calls_nothing_is_content() -> None:
    reply = ReplyParser(thinking=True, tools=LlamaParser(TOOLS, ids()), calls_only=True)
    pieces = pieces_of(_Reply(reply), 'hm</think>\n{"name": "clo', [4, 4], cut=True)
    assert (text_in(pieces), "".join(piece.reasoning for piece in pieces)) == ("", "hm")


def test_an_answer_in_json_is_no_call_of_llama() -> None:
    text = '{"name": "Nguyễn", "parameters": {}}'
    pieces = pieces_of(LlamaParser(TOOLS, ids()), text, [4, 4])
    assert calls_in(pieces) == []
    assert text_in(pieces) == text


def test_llama_may_mark_its_calls() -> None:
    pieces = pieces_of(
        LlamaParser(TOOLS, ids()), '<|python_tag|>{"type": "function", "name": "clock", "parameters": {}}', [5]
    )
    assert calls_in(pieces) == [("call_0", "clock", "{}")]


THOUGHTS = "<think>\nLà mấy giờ?\n</think>\n\nNow."


@given(CUTS)
def test_thoughts_are_separated_however_the_text_is_cut(cuts: list[int]) -> None:
    parser = ReplyParser(thinks=True)
    pieces = pieces_of(_Reply(parser), THOUGHTS, cuts)
    assert "".join(piece.reasoning for piece in pieces) == "Là mấy giờ?\n"
    assert text_in(pieces) == "Now."


@given(CUTS)
def test_thoughts_that_began_in_the_prompt_are_separated(cuts: list[int]) -> None:
    pieces = pieces_of(_Reply(ReplyParser(thinking=True)), "hmm</think>Yes", cuts)
    assert ("".join(piece.reasoning for piece in pieces), text_in(pieces)) == ("hmm", "Yes")


def test_a_call_after_thoughts_is_found() -> None:
    parser = ReplyParser(thinks=True, tools=HermesParser(ids()))
    pieces = pieces_of(_Reply(parser), "<think>x</think>\n" + hermes([("clock", {})]), [2, 2, 2])
    assert calls_in(pieces) == [("call_0", "clock", "{}")]
    assert parser.called


def test_neighbouring_pieces_are_joined() -> None:
    assert joined([Piece(text="a"), Piece(text="b")]) == [Piece(text="ab")]


class _Reply:
    """A ReplyParser as a ToolParser, so that the same cutting serves both."""

    def __init__(self, parser: ReplyParser) -> None:
        self._parser = parser

    @property
    def calls(self) -> int:
        return int(self._parser.called)

    def feed(self, text: str) -> list[Piece]:
        return self._parser.feed(text)

    def finish(self, *, cut: bool = False) -> list[Piece]:
        return self._parser.finish(cut=cut)
