"""What was delivered of an answer is not said again, wherever it was broken off; and all else is said."""

from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.model.continuation import Continuation
from actors.model.interface import Cost, Ended, EndReason, EngineInfo, Event, Job, Said, Tokens, TokenScore
from actors.model.service import ServedModel
from actors.model.text import TextStream
from bus import Context, RpcError
from bus.behalf import TOKENS
from troupe.chat.v1 import ChatService, CompleteRequest, CompleteResponse, Delta, GenerateRequest, GenerateResponse

TEMPLATE = "{{ messages[0].content }}{{ tools }}<tool_call>{% if think %}<think>\n{% endif %}"
CALLS = (
    "<think>hm", "m</think>\n\n", "Let me see. ", "\n<tool_call>\n", '{"name": "clo', 'ck", "arguments": {"zo',
    'ne": "VN"}}\n</tool', "_call>\n<tool_call>", '{"name": "clock", "arguments": {}}', "</tool_call>",
)  # fmt: skip
TEXT = ("Xin ", "ch", "ào, ", "thế giới", ". EN", "Dx", " never said")


class Reader:
    """An engine whose answers are written down, a token for each part; `pace` events leave at a time."""

    def __init__(self, parts: Sequence[str], *, continues: bool = True, split: bool = False, pace: int = 2) -> None:
        self.pace = pace
        whole = "".join(parts).encode()
        # Cut within characters too, as tokens are.
        self.parts = (
            [whole[place : place + 3] for place in range(0, len(whole), 3)]
            if split
            else [part.encode() for part in parts]
        )
        self.jobs: list[Job] = []
        self.info = EngineInfo(
            context_tokens=1000, embedding_tokens=0, embedding_dimensions=0, vocabulary=256, generates=True,
            template=TEMPLATE, begin_text="", end_text="", begins=False, control_texts=frozenset(), infill=None,
            obeys=frozenset({"tools"}), continues=continues,
        )  # fmt: skip

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        return list(text.encode())

    def submit(self, job: Job) -> "Script":
        self.jobs.append(job)
        said = job.said or [Said()] * job.choices
        again = [event for choice, each in enumerate(said) for event in self._answer(choice, each.ids, job, again=True)]
        new: list[Event] = []
        for choice, each in enumerate(said):
            if not each.ended:
                told = self._answer(choice, range(len(self.parts)), job)
                end = told[-1] if isinstance(told[-1], Ended) else Ended(choice, EndReason.STOP)
                new += [*[event for event in told[len(each.ids) :] if event is not end], end]
        count = sum(len(each.ids) for each in said) + sum(isinstance(e, Tokens) and e.count for e in new)
        return Script([*again, *new, Cost(len(job.prompt), 0, count, 0.0, 0.0, 0.0)], self.pace)

    def _answer(self, choice: int, ids: Sequence[int], job: Job, *, again: bool = False) -> list[Event]:
        text, events = TextStream(job.stop), list[Event]()
        for token in ids:
            score = () if again or job.alternatives is None else (TokenScore(self.parts[token], -1.0, ()),)
            events.append(Tokens(choice, text.feed(self.parts[token]), 1, score, (token,), again))
            if text.stopped:
                break
        rest = "" if again else text.flush()
        return [*events, *([Tokens(choice, rest, 0)] if rest else []), *_stopped(choice, text, again)]

    def embed(self, inputs: Sequence[Sequence[int]]) -> Any:
        raise AssertionError(inputs)

    async def load_adapter(self, name: str, path: Path) -> None:
        raise AssertionError(name)

    async def close(self) -> None:
        """Nothing is open."""


def _stopped(choice: int, text: TextStream, again: bool) -> list[Event]:
    return [Ended(choice, EndReason.STOP, text.stopped)] if text.stopped and not again else []


class Script:
    """Some events at a time."""

    def __init__(self, events: Sequence[Event], pace: int) -> None:
        self._lists = iter([events[place : place + pace] for place in range(0, len(events), pace)])

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        return self

    async def __anext__(self) -> Sequence[Event]:
        for events in self._lists:
            return events
        raise StopAsyncIteration

    def cancel(self) -> None:
        """It is all here."""


class NoAdapters:
    async def ensure(self, name: str, engine: object) -> None:
        raise AssertionError(name)


def generate_request(**given: Any) -> GenerateRequest:
    told = {"model": "x", "messages": [{"role": "ROLE_USER", "parts": [{"text": "Hi"}]}], **given}
    return ParseDict(told, GenerateRequest())


@cache
def served(engine: Reader) -> ServedModel:
    """Templates are compiled once."""
    return ServedModel(engine, NoAdapters())


@cache
def reader(parts: Sequence[str], split: bool, pace: int) -> Reader:
    return Reader(parts, split=split, pace=pace)


async def answer(engine: Reader, request: Any, delivered: Sequence[Any] = ()) -> tuple[list[Any], str]:
    """All responses, and the tokens that the trailers tell."""
    model, asked = served(engine), type(request)()
    asked.CopyFrom(request)
    asked.delivered.extend(delivered)
    name = "Generate" if isinstance(request, GenerateRequest) else "Complete"
    context = Context("call", ChatService.INFO.methods[name], {})
    method = model.generate if isinstance(request, GenerateRequest) else model.complete
    return [each async for each in method(asked, context)], context.trailers[TOKENS]


def told(responses: Sequence[Any]) -> dict[str, Any]:
    """All that a reader has of an answer, however it was cut. Names of calls are left out where they are random."""
    found: dict[str, Any] = {}
    for response in responses:
        delta = response.delta
        for kind in ("text", "reasoning"):
            found[f"{kind} {delta.choice}"] = found.get(f"{kind} {delta.choice}", "") + getattr(delta, kind)
        for call in delta.tool_calls:
            known = found.setdefault(f"call {delta.choice} {call.index}", ["", "", 0])
            known[0] += call.name
            known[1] += call.arguments
            known[2] += bool(call.id)
        found.setdefault(f"ids {delta.choice}", []).extend(delta.token_ids)
        found.setdefault("scores", []).extend(score.token for score in delta.logprobs)
        if response.HasField("finish"):
            found.setdefault(f"finish {response.finish.choice}", []).append(str(response.finish))
        if response.HasField("usage"):
            usage = response.usage
            found.setdefault("reasoning tokens", []).append(usage.reasoning_tokens)
            found.setdefault("usage", []).append((usage.prompt_tokens, usage.completion_tokens))
    found["tokens"] = sum(response.delta.tokens for response in responses)
    return found


REQUESTS: list[tuple[Sequence[str], Any]] = [
    (TEXT, generate_request(stop=["END"], choices=2, logprobs=True)),
    (TEXT[:-1], generate_request(stop=["ENDS", "said"])),
    (CALLS, generate_request(tools=[{"name": "clock"}])),
    (CALLS, generate_request(template_variables={"think": True}, tools=[{"name": "clock"}], choices=2)),
    (TEXT, CompleteRequest(model="x", prompt="Nghe nói: ", echo=True, max_tokens=50, choices=2, stop=["EN"])),
]


@settings(deadline=None)
@given(
    st.sampled_from(REQUESTS), st.booleans(), st.integers(1, 5), st.lists(st.integers(0, 60), min_size=1, max_size=4)
)
async def test_wherever_it_breaks_off_the_whole_is_told_once(
    asked: tuple[Sequence[str], Any], split: bool, pace: int, cuts: list[int]
) -> None:
    parts, request = asked
    engine = reader(parts, split, pace)
    whole, cost = await answer(engine, request)
    delivered: list[Any] = []
    for cut in cuts:
        rest, _ = await answer(engine, request, delivered)
        delivered += rest[:cut]
    rest, cost_at_the_end = await answer(engine, request, delivered)
    found, wanted = told([*delivered, *rest]), told(whole)
    if pace > 1:  # tokens that leave together count as what the first of them is
        del found["reasoning tokens"], wanted["reasoning tokens"]
    assert found == wanted
    assert cost_at_the_end == cost


async def test_a_call_keeps_the_name_that_it_was_told_by() -> None:
    engine, request = Reader(CALLS), generate_request(tools=[{"name": "clock"}])
    whole, _ = await answer(engine, request)
    for cut in range(len(whole) + 1):
        rest, _ = await answer(engine, request, whole[:cut])
        calls = [call for response in [*whole[:cut], *rest] for call in response.delta.tool_calls]
        assert [call.index for call in calls if call.id] == [0, 1]
        assert len({call.id for call in calls if call.id}) == 2


async def test_what_was_said_again_is_not_in_what_is_told() -> None:
    engine, request = Reader(TEXT), generate_request()
    whole, _ = await answer(engine, request)
    rest, _ = await answer(engine, request, whole[:2])
    assert engine.jobs[-1].said == (Said([0, 1, 2, 3]),)
    assert [list(each.delta.token_ids) for each in rest if each.HasField("delta")] == [[4, 5], [6]]


async def test_where_nothing_is_missing_the_engine_is_not_asked() -> None:
    engine, request = Reader(TEXT), generate_request()
    whole, cost = await answer(engine, request)
    assert await answer(engine, request, whole) == ([], cost)
    assert len(engine.jobs) == 1


UNFIT: list[tuple[list[GenerateResponse], str]] = [
    ([GenerateResponse(delta=Delta(choice=1, text="x"))], "choice 1, and 1 were asked for"),
    ([GenerateResponse(delta=Delta(text="xy", tokens=2, token_ids=[1]))], "does not name all of its tokens"),
    ([GenerateResponse(delta=Delta(text="x", tokens=1, token_ids=[256]))], "no tokens of this model"),
    ([GenerateResponse(delta=Delta(text="x", tokens=9, token_ids=range(9)))], "more was said than was asked for"),
]


@pytest.mark.parametrize(("delivered", "why"), UNFIT)
async def test_what_nobody_could_go_on_from_is_refused_and_says_why(
    delivered: list[GenerateResponse], why: str
) -> None:
    engine = Reader(TEXT)
    with pytest.raises(RpcError, match=why) as refusal:
        await answer(engine, generate_request(max_tokens=8), delivered)
    assert refusal.value.reason == "CONTINUATION_UNSUPPORTED"
    assert engine.jobs == []


async def test_an_engine_that_cannot_go_on_is_not_asked_to() -> None:
    engine = Reader(TEXT, continues=False)
    with pytest.raises(RpcError, match="cannot take up what another process has said") as refusal:
        await answer(engine, generate_request(), [GenerateResponse(delta=Delta(text="x", tokens=1))])
    assert refusal.value.reason == "CONTINUATION_UNSUPPORTED"
    assert (await answer(engine, generate_request()))[0]


def test_a_call_that_begins_has_nothing_to_leave_out() -> None:
    before = Continuation(list[CompleteResponse](), 2, Reader(TEXT).info)
    assert (before.choices, before.whole) == ([], False)
    job = Job([1], 5)
    assert before.taken_up_by(job) == job
