"""Constraints as grammars: what they make a model write is what the same family's parser reads."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors.llama.engine import LlamaEngine
from actors.model.constraint import Constraint, Format, PatternFormat, SchemaFormat, ToolUse
from actors.model.grammar.constraints import compile_constraint
from actors.model.interface import Ended, EndReason, Job, SamplingSettings, Tokens
from actors.model.tools import HERMES, LLAMA, MISTRAL, MISTRAL_NAMED, ToolFormat
from bus import RpcError

FORMATS = [HERMES, LLAMA, MISTRAL, MISTRAL_NAMED]
CLOCK: dict[str, Any] = {
    "name": "clock",
    "parameters": {"properties": {"zone": {"enum": ["Asia/Ho_Chi_Minh", "UTC"]}}, "required": ["zone"]},
}
NOW: dict[str, Any] = {"name": "now", "parameters": None}


def tool_constraint(
    form: ToolFormat, tools: list[dict[str, Any]], *, required: bool, parallel: bool, answer: Format | None = None
) -> Constraint:
    return Constraint(answer, ToolUse(form, tools, required, parallel))


async def written(engine: LlamaEngine, constraint: Constraint, seed: int, opening: str = "") -> str:
    """What the random model writes under a constraint, after `opening`."""
    prompt = engine.tokenize("Hello", control=True)
    bias = {}
    if opening:
        [first] = engine.tokenize(opening, control=True)
        bias = {first: 100.0}
    sampling = SamplingSettings(temperature=2, top_k=0, top_p=1, min_p=0, seed=seed, logit_bias=bias)
    text = ""
    async with asyncio.timeout(20):
        async for events in engine.submit(Job(prompt, 1500, sampling, constraint=constraint)):
            for event in events:
                text += event.text if isinstance(event, Tokens) else ""
                assert not isinstance(event, Ended) or event.reason is EndReason.STOP
    return text


def calls(form: ToolFormat, text: str) -> list[tuple[str, Any]]:
    parser = form.parser(["clock", "now"])
    found: list[list[str]] = []
    for piece in [*parser.feed(text), *parser.finish()]:
        assert not piece.text.strip(), piece.text
        if piece.call is not None and piece.call.name:
            found.append([piece.call.name, ""])
        if piece.call is not None:
            found[-1][1] += piece.call.arguments
    return [(name, json.loads(arguments)) for name, arguments in found]


@pytest.mark.parametrize("form", FORMATS, ids=[form.name for form in FORMATS])
async def test_demanded_calls_are_written_as_the_family_reads_them(
    open_engine: Callable[..., Awaitable[LlamaEngine]], form: ToolFormat
) -> None:
    engine = await open_engine()
    constraint = tool_constraint(form, [CLOCK, NOW], required=True, parallel=True)
    seen = set()
    for seed in range(12):
        found = calls(form, await written(engine, constraint, seed))
        assert found
        for name, arguments in found:
            assert arguments == {} if name == "now" else arguments["zone"] in ("Asia/Ho_Chi_Minh", "UTC")
            seen.add(name)
    assert seen == {"clock", "now"}


@pytest.mark.parametrize("form", FORMATS, ids=[form.name for form in FORMATS])
async def test_one_call_is_one_call_if_parallel_ones_are_not_wanted(
    open_engine: Callable[..., Awaitable[LlamaEngine]], form: ToolFormat
) -> None:
    engine = await open_engine()
    constraint = tool_constraint(form, [NOW], required=True, parallel=False)
    for seed in range(4):
        assert calls(form, await written(engine, constraint, seed)) == [("now", {})]


async def test_a_call_that_the_model_begins_is_held_from_there_on(
    open_engine: Callable[..., Awaitable[LlamaEngine]],
) -> None:
    engine = await open_engine()
    constraint = tool_constraint(HERMES, [CLOCK], required=False, parallel=False)
    text = await written(engine, constraint, 1, opening="<tool_call>")
    assert text.startswith("<tool_call>")
    assert [name for name, _ in calls(HERMES, text)] == ["clock"]


async def test_an_answer_in_a_format_may_be_a_call_instead(open_engine: Callable[..., Awaitable[LlamaEngine]]) -> None:
    engine = await open_engine()
    answer = SchemaFormat({"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]})
    constraint = tool_constraint(HERMES, [NOW], required=False, parallel=False, answer=answer)
    texts = [await written(engine, constraint, seed) for seed in range(20)]
    assert {calls(HERMES, text)[0][0] if "<tool_call>" in text else json.loads(text)["x"] for text in texts} == {
        "now",
        1,
    }


def test_a_schema_that_cannot_be_held_is_any_object_unless_it_is_strict() -> None:
    odd = {"name": "odd", "parameters": {"properties": {"a": {"not": {}}}}}
    grammar = compile_constraint(tool_constraint(HERMES, [odd], required=True, parallel=True))
    assert grammar is not None and "odd-arguments ::= object" in grammar.text
    with pytest.raises(RpcError) as refusal:
        compile_constraint(tool_constraint(HERMES, [{**odd, "strict": True}], required=True, parallel=True))
    assert refusal.value.field == "tools.odd.parameters.properties.a"


PATTERNS = [r"(yes|no)", r"^[A-Z]{2}-\d+$", r"a.c\n\"?", r"\w+@\w+\.(com|vn)", r"[^\s,]{3}", r"đ[àáâ]\\"]


@pytest.mark.parametrize("pattern", PATTERNS)
async def test_a_pattern_is_matched_from_end_to_end(
    open_engine: Callable[..., Awaitable[LlamaEngine]], pattern: str
) -> None:
    engine = await open_engine()
    for seed in range(4):
        text = await written(engine, Constraint(PatternFormat(pattern)), seed)
        assert re.fullmatch(pattern, text), text


def test_a_pattern_that_cannot_be_held_is_refused_with_its_field() -> None:
    with pytest.raises(RpcError, match="groups that begin") as refusal:
        compile_constraint(Constraint(PatternFormat("(?=a)b", "response_format.pattern.pattern")))
    assert (refusal.value.reason, refusal.value.field) == ("INVALID_SCHEMA", "response_format.pattern.pattern")


async def test_a_pattern_and_tools_leave_the_model_the_choice(
    open_engine: Callable[..., Awaitable[LlamaEngine]],
) -> None:
    engine = await open_engine()
    constraint = tool_constraint(HERMES, [NOW], required=False, parallel=False, answer=PatternFormat("ab?c"))
    texts = {await written(engine, constraint, seed) for seed in range(20)}
    assert {calls(HERMES, text)[0][0] if "<tool_call>" in text else text for text in texts} == {"now", "ac", "abc"}


def test_a_format_waits_for_the_end_of_thoughts() -> None:
    grammar = compile_constraint(Constraint(SchemaFormat({"const": 1}), after="</think>"))
    assert grammar is not None and grammar.trigger == "</think>"
    assert grammar.text.startswith("root ::= [ \\n]{0,4} constrained\nconstrained ::= ")
