"""Grammars of tool calls: what they make a model write is what the same family's parser reads."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors.llama.engine import LlamaEngine
from actors.model.interface import Constraint, Ended, EndReason, Job, SamplingSettings, Tokens
from actors.model.tools import HERMES, LLAMA, MISTRAL, MISTRAL_NAMED, ToolFormat, tool_constraint
from bus import RpcError

FORMATS = [HERMES, LLAMA, MISTRAL, MISTRAL_NAMED]
CLOCK: dict[str, Any] = {
    "name": "clock",
    "parameters": {"properties": {"zone": {"enum": ["Asia/Ho_Chi_Minh", "UTC"]}}, "required": ["zone"]},
}
NOW: dict[str, Any] = {"name": "now", "parameters": None}


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
    assert constraint is not None
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
    assert constraint is not None
    for seed in range(4):
        assert calls(form, await written(engine, constraint, seed)) == [("now", {})]


async def test_a_call_that_the_model_begins_is_held_from_there_on(
    open_engine: Callable[..., Awaitable[LlamaEngine]],
) -> None:
    engine = await open_engine()
    constraint = tool_constraint(HERMES, [CLOCK], required=False, parallel=False)
    assert constraint is not None
    text = await written(engine, constraint, 1, opening="<tool_call>")
    assert text.startswith("<tool_call>")
    assert [name for name, _ in calls(HERMES, text)] == ["clock"]


async def test_an_answer_in_a_format_may_be_a_call_instead(open_engine: Callable[..., Awaitable[LlamaEngine]]) -> None:
    engine = await open_engine()
    answer = {"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}
    constraint = tool_constraint(HERMES, [NOW], required=False, parallel=False, answer=answer)
    assert constraint is not None
    texts = [await written(engine, constraint, seed) for seed in range(20)]
    assert {calls(HERMES, text)[0][0] if "<tool_call>" in text else json.loads(text)["x"] for text in texts} == {
        "now",
        1,
    }


def test_a_schema_that_cannot_be_held_is_any_object_unless_it_is_strict() -> None:
    odd = {"name": "odd", "parameters": {"properties": {"a": {"not": {}}}}}
    constraint = tool_constraint(HERMES, [odd], required=True, parallel=True)
    assert constraint is not None and "odd-arguments ::= object" in constraint.grammar
    with pytest.raises(RpcError) as refusal:
        tool_constraint(HERMES, [{**odd, "strict": True}], required=True, parallel=True)
    assert refusal.value.field == "tools.odd.parameters.properties.a"
