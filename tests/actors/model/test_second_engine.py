"""The services on an engine that is not llama.cpp: the interface is all that they need."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest
from google.protobuf.json_format import ParseDict

from actors.model.constraint import Constraint, PatternFormat, SchemaFormat
from actors.model.interface import Cost, Embedding, Ended, EndReason, EngineInfo, Event, Job, Prefilling, Queued, Tokens
from actors.model.service import ServedModel
from bus import Code, Context, RpcError
from troupe.chat.v1 import (
    ChatService,
    CompleteRequest,
    CountTokensRequest,
    FinishReason,
    GenerateRequest,
    GenerateResponse,
)
from troupe.rpc.v1 import Progress

Item = TypeVar("Item")

THINKING_TEMPLATE = "{{ messages[0].content }}{{ tools }}<tool_call>{% if think %}<think>\n{% endif %}"


OBEYS = frozenset({"schema", "pattern", "tools"})


COST = Cost(3, 1, 1, 0.1, 0.2, 0.3)


class Script(Generic[Item]):
    """Says what it was told to say."""

    def __init__(self, lists: Sequence[Sequence[Item]]) -> None:
        self._lists = iter(lists)
        self.cancelled = False

    def __aiter__(self) -> AsyncIterator[Sequence[Item]]:
        return self

    async def __anext__(self) -> Sequence[Item]:
        for items in self._lists:
            return items
        raise StopAsyncIteration

    def cancel(self) -> None:
        self.cancelled = True


class ScriptedEngine:
    """An engine of another kind: one token per character, and answers from a script."""

    def __init__(self, *events: Sequence[Event], **info: Any) -> None:
        given: dict[str, Any] = {
            "generates": True,
            "infill": None,
            "obeys": OBEYS,
            "template": THINKING_TEMPLATE,
            "control_texts": frozenset(),
            **info,
        }
        self.info = EngineInfo(
            context_tokens=1000,
            embedding_tokens=100,
            embedding_dimensions=2,
            vocabulary=256,
            begin_text="",
            end_text="",
            begins=False,
            **given,
        )
        self.events = events
        self.jobs: list[Job] = []
        self.generation = Script(events)

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        return [ord(character) % 256 for character in text]

    def submit(self, job: Job) -> Script[Event]:
        self.jobs.append(job)
        return self.generation

    def embed(self, inputs: Sequence[Sequence[int]]) -> Script[Embedding]:
        return Script([[Embedding(index, (0.6, 0.8), len(tokens))] for index, tokens in enumerate(inputs)])

    async def load_adapter(self, name: str, path: Path) -> None:
        raise AssertionError(name)

    async def close(self) -> None:
        """Nothing is open."""


class NoAdapters:
    async def ensure(self, name: str, engine: object) -> None:
        raise AssertionError(name)


def said(*texts: str) -> list[list[Event]]:
    """Texts of one choice, one token each, and the end."""
    cost = replace(COST, completion_tokens=len(texts))
    tokens: list[list[Event]] = [[Tokens(0, text, 1)] for text in texts]
    return [*tokens, [Ended(0, EndReason.STOP), cost]]


async def answers(engine: ScriptedEngine, **request: Any) -> list[GenerateResponse]:
    model = ServedModel(engine, NoAdapters())
    given = {"model": "x", "messages": [{"role": "ROLE_USER", "parts": [{"text": "Hi"}]}], **request}
    context = Context("call", ChatService.INFO.methods["Generate"], {})
    return [response async for response in model.generate(ParseDict(given, GenerateRequest()), context)]


async def test_thoughts_come_as_reasoning_and_are_counted() -> None:
    responses = await answers(ScriptedEngine(*said("<think>", "hm", "m</think>", "\n\nYes")))
    deltas = [response.delta for response in responses if response.HasField("delta")]
    assert "".join(delta.reasoning for delta in deltas) == "hmm"
    assert "".join(delta.text for delta in deltas) == "Yes"
    assert responses[-1].usage.reasoning_tokens == 2
    assert responses[-2].finish.reason == FinishReason.FINISH_REASON_STOP


async def test_thoughts_that_begin_in_the_prompt_are_reasoning_too() -> None:
    responses = await answers(ScriptedEngine(*said("hm", "</think>", "Yes")), template_variables={"think": True})
    assert [response.delta.reasoning for response in responses if response.delta.reasoning] == ["hm"]


async def test_a_format_holds_for_the_answer_after_the_thoughts() -> None:
    engine = ScriptedEngine(*said("x"))
    await answers(engine, template_variables={"think": True}, response_format={"json": {}})
    constraint = engine.jobs[0].constraint
    assert constraint == Constraint(SchemaFormat({"type": "object"}, "response_format.json"), after="</think>")


async def test_tools_that_may_be_called_wait_for_their_trigger() -> None:
    engine = ScriptedEngine(*said("x"))
    await answers(engine, tools=[{"name": "clock"}])
    constraint = engine.jobs[0].constraint
    assert constraint is not None and constraint.tools is not None
    assert (constraint.tools.form.trigger, constraint.tools.required) == ("<tool_call>", False)
    assert "<tool_call>" in engine.jobs[0].markers


async def test_a_format_and_tools_leave_the_model_the_choice() -> None:
    engine = ScriptedEngine(*said("x"))
    await answers(engine, tools=[{"name": "clock"}], response_format={"json": {}})
    constraint = engine.jobs[0].constraint
    assert constraint is not None and constraint.kinds == {"schema", "tools"}


async def test_what_the_engine_cannot_obey_is_refused_and_not_ignored() -> None:
    engine = ScriptedEngine(*said("x"), obeys=frozenset({"pattern"}))
    refused: list[dict[str, Any]] = [
        {"response_format": {"json": {}}},
        {"response_format": {"grammar": {"dialect": "gbnf", "grammar": "root ::= [a]"}}},
        {"tools": [{"name": "clock", "strict": True}]},
        {"tools": [{"name": "clock"}], "tool_choice": {"mode": "MODE_REQUIRED"}},
    ]
    for request in refused:
        with pytest.raises(RpcError, match="it knows: pattern") as refusal:
            await answers(engine, **request)
        assert refusal.value.reason == "UNSUPPORTED_CONSTRAINT" and refusal.value.field
    assert engine.jobs == []
    await answers(engine, tools=[{"name": "clock"}], response_format={"pattern": {"pattern": "ab"}})
    assert engine.jobs[0].constraint == Constraint(PatternFormat("ab", "response_format.pattern.pattern"))


async def test_waiting_and_reading_come_as_progress() -> None:
    engine = ScriptedEngine([Queued(2, 1.5)], [Prefilling(10, 40)], *said("x"))
    waiting, reading = [each.progress for each in await answers(engine) if each.HasField("progress")]
    assert (waiting.state, waiting.position, waiting.eta.ToMilliseconds()) == (Progress.STATE_QUEUED, 2, 1500)
    assert reading.state == Progress.STATE_RUNNING
    assert reading.fraction == pytest.approx(0.25)


async def test_what_piles_up_leaves_as_one_delta() -> None:
    responses = await answers(ScriptedEngine([Tokens(0, "a", 1), Tokens(0, "b", 1)], *said("c")))
    assert [(each.delta.text, each.delta.tokens) for each in responses if each.HasField("delta")] == [
        ("ab", 2),
        ("c", 1),
    ]


async def test_leaving_cancels_the_generation() -> None:
    engine = ScriptedEngine(*said("a", "b", "c"))
    model = ServedModel(engine, NoAdapters())
    request = GenerateRequest(model="x")
    request.messages.add(role=2).parts.add(text="Hi")
    stream = model.generate(request, Context("call", ChatService.INFO.methods["Generate"], {}))
    await anext(aiter(stream))
    assert not engine.generation.cancelled
    await stream.aclose()  # type: ignore[attr-defined]
    assert engine.generation.cancelled


async def test_a_gap_is_filled_by_models_that_can() -> None:
    engine = ScriptedEngine(*said("x"), infill=(1, 2, 3))
    model = ServedModel(engine, NoAdapters())
    request = CompleteRequest(model="x", prompt="a", suffix="b")
    context = Context("call", ChatService.INFO.methods["Complete"], {})
    assert [response async for response in model.complete(request, context)]
    assert engine.jobs[0].prompt == [1, ord("a"), 2, ord("b"), 3]


async def test_a_model_that_only_embeds_says_so() -> None:
    with pytest.raises(RpcError, match="embeddings only"):
        await answers(ScriptedEngine(generates=False))


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)


def ended(responses: Sequence[GenerateResponse]) -> tuple[str, str]:
    """The text, and the stop string that is told."""
    text = "".join(response.delta.text for response in responses)
    [finish] = [response.finish for response in responses if response.HasField("finish")]
    return text, finish.stop


async def test_marks_of_turns_are_stops_that_are_not_told() -> None:
    engine = ScriptedEngine([Tokens(0, "Yes", 1)], [Ended(0, EndReason.STOP, "<|im_end|>"), COST], template=CHATML)
    assert ended(await answers(engine, stop=["###"])) == ("Yes", "")
    assert engine.jobs[0].stop == ("###", "<|im_start|>", "<|im_end|>")
    engine = ScriptedEngine([Ended(0, EndReason.STOP, "<|im_end|>"), COST], template=CHATML)
    assert ended(await answers(engine, stop=["<|im_end|>"])) == ("", "<|im_end|>")


async def test_marks_that_people_write_stop_nothing_and_neither_do_those_of_an_answer_in_a_format() -> None:
    engine = ScriptedEngine(*said("x"), template="{{ messages[0].content }}", control_texts=frozenset({"<|end|>"}))
    await answers(engine, messages=[{"role": "ROLE_USER", "parts": [{"text": "What is <|end|>?"}]}])
    assert engine.jobs[0].stop == ()
    engine = ScriptedEngine(*said("x"), template=CHATML)
    await answers(engine, response_format={"json": {}})
    assert engine.jobs[0].stop == ()


async def test_a_completion_stops_at_the_marks_that_its_own_prompt_writes() -> None:
    engine = ScriptedEngine(*said("x"), template="")
    model = ServedModel(engine, NoAdapters())
    context = Context("call", ChatService.INFO.methods["Complete"], {})
    for prompt, stops in (("Once", ()), ("<|im_start|>user\nHi<|im_end|>\n", ("<|im_start|>", "<|im_end|>"))):
        engine.generation = Script(engine.events)
        request = CompleteRequest(model="x", prompt=prompt)
        assert [response async for response in model.complete(request, context)]
        assert engine.jobs[-1].stop == stops


async def test_a_model_without_chat_template_says_what_to_use_instead() -> None:
    engine = ScriptedEngine(*said("x"), template="")
    with pytest.raises(RpcError, match=r"no chat template.*Complete") as refusal:
        await answers(engine)
    assert (refusal.value.code, refusal.value.reason) == (Code.FAILED_PRECONDITION, "NO_CHAT_TEMPLATE")
    request = CountTokensRequest(model="x")
    request.messages.add(role=2).parts.add(text="Hi")
    context = Context("call", ChatService.INFO.methods["CountTokens"], {})
    with pytest.raises(RpcError, match="no chat template"):
        await ServedModel(engine, NoAdapters()).count_tokens(request, context)
    assert engine.jobs == []
