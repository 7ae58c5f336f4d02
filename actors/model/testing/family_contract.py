"""What every family promises, as functions. Each takes a `Subject`: a family that is served on a bus, with two models.

A family's own test makes one and calls `family_contract`. The clauses follow each other: a later one may stand on what
an earlier one has loaded.
"""
# ruff: noqa: D103  # the names are the sentences

import asyncio
import contextlib
import json
import math
import os
import re
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from actors.model.constraint import SCHEMA, Constraint, GrammarFormat, PatternFormat, SchemaFormat, ToolUse
from actors.model.interface import Ended, EndReason, Engine, Job, Said, SamplingSettings, Tokens
from actors.model.names import qualified
from actors.model.tools import HERMES
from bus import Code, RpcError
from host.member import Member
from troupe.chat.v1 import (
    ChatServiceClient,
    Finish,
    GenerateRequest,
    Message,
    Part,
    Role,
    Sampling,
    Tool,
    ToolChoice,
    Usage,
)
from troupe.embedding.v1 import EmbeddingService, EmbeddingServiceClient, EmbedRequest
from troupe.family.v1 import (
    DescribeModelRequest,
    FamilyServiceClient,
    ListModelsRequest,
    StartModelRequest,
    StopModelRequest,
    WatchModelsRequest,
)
from troupe.model.v1 import Model, ModelState

SEEDS = 6
"""Answers under each constraint."""
PATIENCE_SECONDS = 60.0
"""For anything that is waited for; on a busy machine a process takes long to start."""
LONG = 200
"""Tokens of an answer that shall still be running while something happens to it."""
AFTER_CANCEL = 2
"""Tokens that may still come: of the step that was being computed, and of one that had been handed over."""


SMALL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "size": {"enum": ["small", "large"]},
        "marks": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 20}, "maxItems": 3},
    },
    "required": ["name", "size", "marks"],
}
LOOK = {"name": "look", "parameters": {"properties": {"at": {"enum": ["sea", "sky"]}}, "required": ["at"]}}


def _is_small(text: str) -> bool:
    found = json.loads(text)
    return (
        found.keys() == {"name", "size", "marks"}
        and len(found["name"]) <= 12
        and found["size"] in ("small", "large")
        and len(found["marks"]) <= 3
        and all(0 <= mark <= 20 for mark in found["marks"])
    )


def _is_empty(text: str) -> bool:
    return bool(json.loads(text) == {})


def _is_a_call(text: str) -> bool:
    parser = HERMES.parser(["look"])
    pieces = [*parser.feed(text), *parser.finish()]
    calls = [piece.call for piece in pieces if piece.call is not None]
    arguments = json.loads("".join(call.arguments for call in calls))
    return {call.name for call in calls} <= {"look", ""} and arguments["at"] in ("sea", "sky")


CONSTRAINTS: list[tuple[Constraint, Callable[[str], object]]] = [
    (Constraint(SchemaFormat(SMALL)), _is_small),
    (Constraint(SchemaFormat({"type": "object", "properties": {}, "additionalProperties": False})), _is_empty),
    (Constraint(PatternFormat(r"(yes|no)(, .{1,8})?")), re.compile(r"(yes|no)(, .{1,8})?").fullmatch),
    (Constraint(PatternFormat(r"[A-Z]{2}-\d{2,4}")), re.compile(r"[A-Z]{2}-\d{2,4}").fullmatch),
    (Constraint(GrammarFormat("gbnf", 'root ::= "(" root ")" | [a-cà-ă]')), re.compile("[(]*[a-cà-ă][)]*").fullmatch),
    (Constraint(tools=ToolUse(HERMES, [LOOK], required=True, parallel=False)), _is_a_call),
]
"""What may be demanded of an answer, and whether a text is so."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A family under test.

    member: a process on the bus, whose channel is called with. family: its name. models: two that chat, by their names
    within it; each holds LONG tokens and some more. open_engine: makes the engine of the first one in this process.
    pid: the process of a model that is served; None: families that serve models by themselves.
    """

    member: Member
    family: str
    models: tuple[str, str]
    open_engine: Callable[[], Awaitable[Engine]]
    pid: Callable[[str], int] | None = None

    @property
    def client(self) -> FamilyServiceClient:
        """The family."""
        return FamilyServiceClient(self.member.channel)

    async def described(self, name: str) -> Model:
        """A model as the family tells it now."""
        return (await self.client.describe_model(DescribeModelRequest(family=self.family, model=name))).model

    async def start(self, name: str) -> list[Model]:
        """Load a model; what was told on the way, the last with its state."""
        request = StartModelRequest(family=self.family, model=name)
        return [each.model async for each in self.client.start_model(request)]

    async def stop(self, name: str) -> None:
        """Unload a model."""
        await self.client.stop_model(StopModelRequest(family=self.family, model=name))

    def asked(self, name: str, tokens: int = 12, **options: object) -> GenerateRequest:
        """A chat with a model, of the likeliest tokens."""
        message = Message(role=Role.ROLE_USER, parts=[Part(text="a b")])
        return GenerateRequest(
            model=qualified(self.family, name),
            messages=[message],
            sampling=Sampling(temperature=0),
            max_tokens=tokens,
            **options,  # type: ignore[arg-type]
        )


@dataclass(slots=True)
class Reply:
    """All that came of a chat."""

    pieces: list[str]
    ids: list[int]
    calls: list[str]
    tokens: int
    finishes: list[Finish]
    usage: Usage | None


async def chat(subject: Subject, request: GenerateRequest, begun: asyncio.Event | None = None) -> Reply:
    reply = Reply([], [], [], 0, [], None)
    async with contextlib.aclosing(ChatServiceClient(subject.member.channel).generate(request)) as responses:
        async for each in responses:
            kind = each.WhichOneof("event")
            if kind == "delta":
                reply.pieces.append(each.delta.text)
                reply.ids += each.delta.token_ids
                reply.calls += [call.name for call in each.delta.tool_calls if call.name]
                reply.tokens += each.delta.tokens
                if begun is not None:
                    begun.set()
            elif kind == "finish":
                reply.finishes.append(each.finish)
            elif kind == "usage":
                reply.usage = each.usage
    return reply


async def it_lists_and_describes_its_models(subject: Subject) -> None:
    listed = (await subject.client.list_models(ListModelsRequest(family=subject.family))).models
    assert set(subject.models) <= {model.name for model in listed}
    answer = await subject.client.describe_model(DescribeModelRequest(family=subject.family, model=subject.models[0]))
    assert answer.model.services, "a model tells what it can be called for"
    assert answer.model.context_tokens > LONG
    assert answer.model.state == ModelState.MODEL_STATE_AVAILABLE
    assert answer.needs.weights_bytes > 0, "a model tells what it takes"


async def an_unknown_model_is_refused_by_name(subject: Subject) -> None:
    error = await refused(subject.start("no-such-model"))
    assert (error.code, error.reason) == (Code.NOT_FOUND, "MODEL_NOT_FOUND")


async def a_model_is_loaded_once_for_all_who_want_it(subject: Subject) -> None:
    told = await asyncio.gather(*[subject.start(subject.models[0]) for _ in range(3)])
    assert all(each[-1].state == ModelState.MODEL_STATE_READY for each in told)
    assert len(await subject.start(subject.models[0])) == 1, "what is loaded is told at once"
    assert (await subject.described(subject.models[0])).state == ModelState.MODEL_STATE_READY


async def greedy_answers_are_the_same_each_time(subject: Subject) -> None:
    first, second = [await chat(subject, subject.asked(subject.models[0])) for _ in range(2)]
    assert first.tokens > 0
    assert first.ids == second.ids
    assert "".join(first.pieces) == "".join(second.pieces)
    assert len(first.finishes) == 1
    assert first.usage is not None
    assert first.usage.prompt_tokens > 0
    assert first.usage.completion_tokens == first.tokens


async def an_answer_comes_as_it_is_made(subject: Subject) -> None:
    engine = await subject.open_engine()
    try:
        prompt = engine.tokenize("a b", control=False)
        stream = engine.submit(Job(prompt, LONG, SamplingSettings(temperature=0), ignore_end=True))
        lists = [events async for events in stream]
    finally:
        await engine.close()
    made = [event for events in lists for event in events if isinstance(event, Tokens)]
    assert sum(event.count for event in made) == LONG
    assert len(lists) > 2, "tokens are handed over before all are made"


async def a_cancelled_answer_ends_within_a_step(subject: Subject) -> None:
    engine = await subject.open_engine()
    try:
        prompt = engine.tokenize("a b", control=False)
        stream = engine.submit(Job(prompt, LONG, SamplingSettings(temperature=0), ignore_end=True))
        after, cancelled = 0, False
        with contextlib.suppress(RpcError):
            async for events in stream:
                made = [event for event in events if isinstance(event, Tokens)]
                after += sum(event.count for event in made) if cancelled else 0
                if made:
                    stream.cancel()
                    cancelled = True
        assert cancelled
        assert after <= AFTER_CANCEL
    finally:
        await engine.close()


async def a_caller_that_leaves_disturbs_nobody(subject: Subject) -> None:
    name, begun = subject.models[0], asyncio.Event()
    alone = await chat(subject, subject.asked(name))
    leaving = [asyncio.create_task(chat(subject, subject.asked(name, LONG), begun)) for _ in range(4)]
    await begun.wait()
    beside = asyncio.create_task(chat(subject, subject.asked(name)))
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    assert (await beside).ids == alone.ids


async def tools_are_called_or_refused_with_a_reason(subject: Subject) -> None:
    tools = [Tool(name="look", description="Looks.")]
    free = await chat(subject, subject.asked(subject.models[0], tools=tools))
    assert free.finishes, "tools that may be called leave the model free"
    must = ToolChoice(mode=ToolChoice.Mode.MODE_REQUIRED)
    request = subject.asked(subject.models[0], LONG, tools=tools, tool_choice=must)
    [forced] = await asyncio.gather(chat(subject, request), return_exceptions=True)
    if isinstance(forced, RpcError):
        assert forced.reason == "UNSUPPORTED_CONSTRAINT"
        return
    if isinstance(forced, BaseException):
        raise forced
    # A model with random weights may never come to the end of its arguments; but it says nothing beside its calls.
    assert set(forced.calls) <= {"look"}
    assert not "".join(forced.pieces)


async def answers_keep_to_every_constraint_that_the_engine_obeys(subject: Subject) -> None:
    """On models that know no form, with chances as wide as they go; so whatever may be said is said at some time."""
    engine = await subject.open_engine()
    try:
        for constraint, keeps in CONSTRAINTS:
            if constraint.kinds <= engine.info.obeys:
                texts = await asyncio.gather(*[_constrained(engine, constraint, seed) for seed in range(SEEDS)])
                assert all(map(keeps, texts)), f"{constraint}: {texts}"
    finally:
        await engine.close()


async def a_constrained_answer_goes_on_as_it_would_have_been(subject: Subject) -> None:
    engine = await subject.open_engine()
    try:
        if not (engine.info.continues and SCHEMA in engine.info.obeys):
            return
        constraint = CONSTRAINTS[0][0]
        whole = await _said(engine, constraint, 1)
        for place in (1, len(whole) // 2, len(whole) - 1):
            assert await _said(engine, constraint, 1, whole[:place]) == whole
        refused_by = await refused(_said(engine, constraint, 1, engine.tokenize("never this", control=False)))
        assert refused_by.reason == "CONTINUATION_UNSUPPORTED"
    finally:
        await engine.close()


async def embeddings_have_length_one_and_depend_on_the_text_alone(subject: Subject) -> None:
    model = await subject.described(subject.models[0])
    if EmbeddingService.INFO.name not in model.services:
        return
    request = EmbedRequest(model=qualified(subject.family, model.name), inputs=["a b", "b a a", "a b"])
    found = [each async for each in EmbeddingServiceClient(subject.member.channel).embed(request)]
    vectors = [list(each.values) for each in found if each.values]
    assert len(vectors) == 3
    assert {len(vector) for vector in vectors} == {model.embedding_dimensions or len(vectors[0])}
    assert all(math.isclose(_length(vector), 1.0, abs_tol=1e-3) for vector in vectors)
    assert _distance(vectors[0], vectors[2]) < 1e-3 < _distance(vectors[0], vectors[1])


async def a_crash_stays_the_models_own(subject: Subject) -> None:
    if subject.pid is None:
        return
    broken, other = subject.models
    await subject.start(other)
    calm, before = await chat(subject, subject.asked(other)), await chat(subject, subject.asked(broken))
    begun = asyncio.Event()
    running = asyncio.create_task(chat(subject, subject.asked(other, LONG), begun))
    await begun.wait()
    first, told = subject.pid(broken), asyncio.Event()
    watching = asyncio.create_task(_comes_back(subject, broken, told))
    await told.wait()
    os.kill(first, signal.SIGKILL)
    assert (await running).tokens > 0, "the other one's answer goes on"
    await watching
    assert subject.pid(broken) != first
    assert (await chat(subject, subject.asked(broken))).ids == before.ids
    assert (await chat(subject, subject.asked(other))).ids == calm.ids


async def _constrained(engine: Engine, constraint: Constraint, seed: int) -> str:
    """What a model says under a constraint, from beginning to end."""
    text, end = "", None
    async for events in engine.submit(_any_token(engine, constraint, seed)):
        for event in events:
            text += event.text if isinstance(event, Tokens) else ""
            end = event.reason if isinstance(event, Ended) else end
    assert end is EndReason.STOP, f"{constraint} ends by itself, not at a limit: {text!r}"
    return text


async def _said(engine: Engine, constraint: Constraint, seed: int, before: Sequence[int] = ()) -> list[int]:
    """The tokens of an answer, those that were said before included."""
    job = _any_token(engine, constraint, seed, (Said(before),) if before else ())
    found: list[int] = []
    async for events in engine.submit(job):
        found += [token for event in events if isinstance(event, Tokens) for token in event.ids]
    return found


def _any_token(engine: Engine, constraint: Constraint, seed: int, said: Sequence[Said] = ()) -> Job:
    sampling = SamplingSettings(temperature=2, top_k=0, top_p=1, min_p=0, seed=seed)
    tools = constraint.tools
    markers = tools.form.markers if tools is not None else frozenset[str]()
    prompt = engine.tokenize("a b", control=False)
    return Job(prompt, LONG, sampling, constraint=constraint, markers=markers, said=said)


async def _comes_back(subject: Subject, name: str, watched: asyncio.Event) -> None:
    """Return when a model was lost and is ready again: the family starts it anew by itself."""
    lost = False
    async with contextlib.aclosing(subject.client.watch_models(WatchModelsRequest(family=subject.family))) as looks:
        async for look in looks:
            for model in look.models:
                ready = model.name == name and model.state == ModelState.MODEL_STATE_READY
                if lost and ready:
                    return
                lost = lost or (model.name == name and not ready)
            watched.set()


async def what_is_unloaded_gives_its_memory_back(subject: Subject) -> None:
    name = subject.models[0]
    pid = subject.pid(name) if subject.pid is not None else None
    await subject.stop(name)
    assert (await subject.described(name)).state == ModelState.MODEL_STATE_AVAILABLE
    await subject.stop(name)  # and may be repeated
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            raise AssertionError(f"the process {pid} of {name} still runs")
    assert (await subject.start(name))[-1].state == ModelState.MODEL_STATE_READY
    assert (await chat(subject, subject.asked(name))).tokens > 0


Clause = Callable[[Subject], Awaitable[None]]

FAMILY_CONTRACT: list[Clause] = [
    it_lists_and_describes_its_models,
    an_unknown_model_is_refused_by_name,
    a_model_is_loaded_once_for_all_who_want_it,
    greedy_answers_are_the_same_each_time,
    an_answer_comes_as_it_is_made,
    a_cancelled_answer_ends_within_a_step,
    a_caller_that_leaves_disturbs_nobody,
    tools_are_called_or_refused_with_a_reason,
    answers_keep_to_every_constraint_that_the_engine_obeys,
    a_constrained_answer_goes_on_as_it_would_have_been,
    embeddings_have_length_one_and_depend_on_the_text_alone,
    a_crash_stays_the_models_own,
    what_is_unloaded_gives_its_memory_back,
]


async def family_contract(subject: Subject) -> None:
    """Hold a family to all of it. What fails is raised with the clause's name."""
    for clause in FAMILY_CONTRACT:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await clause(subject)
        except BaseException as problem:
            problem.add_note(f"in the clause {clause.__name__.replace('_', ' ')}")
            raise


async def refused(call: Awaitable[object]) -> RpcError:
    """The error that a call ends with."""
    try:
        await call
    except RpcError as error:
        return error
    raise AssertionError("the call was not refused")


def _length(vector: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in vector))


def _distance(left: Sequence[float], right: Sequence[float]) -> float:
    return math.dist(left, right)
