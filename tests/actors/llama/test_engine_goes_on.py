"""An answer that goes on in another engine of the same model is the one that it would have been."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from actors.llama.catalog import SHIPPED
from actors.llama.engine import LlamaEngine
from actors.llama.sampling import seed_of
from actors.llama.settings import LlamaSettings
from actors.model.constraint import Constraint, PatternFormat, SchemaFormat
from actors.model.interface import Cost, Ended, EndReason, Job, Said, SamplingSettings, Tokens

from .engine_jobs import GREEDY, Answer, chat, collect, outcome

Run = Callable[[Job], Awaitable[Answer]]
DRAWN = SamplingSettings(temperature=1.0, seed=11)
PENALISED = SamplingSettings(temperature=0, frequency_penalty=1.5, presence_penalty=0.5, repeat_penalty=1.3)
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}


@pytest.fixture
async def engine() -> AsyncIterator[LlamaEngine]:
    """The shipped model, which computes when told; nothing is reused of one call for another."""
    settings = LlamaSettings(threads=1, slots=4, context=512)
    engine = LlamaEngine.load(SHIPPED / "troupe-tiny.gguf", settings, asyncio.get_running_loop())
    yield engine
    await engine.close()


async def run(engine: LlamaEngine, job: Job) -> Answer:
    for slot in engine._stepper._table.slots:
        engine._context.cut(slot.index, 0)
        slot.cached = 0
    stream = engine.submit(job)
    while engine.step():
        pass
    return await collect(stream)


def asked(engine: LlamaEngine, question: str = "What is a troupe?", max_tokens: int = 24, **options: Any) -> Job:
    given: dict[str, Any] = {"sampling": GREEDY, **options}
    return Job(engine.tokenize(chat(question), control=True), max_tokens, **given)


def tokens(answer: Answer, choice: int = 0, *, again: bool | None = None) -> list[Tokens]:
    found = [event for event in answer.events if isinstance(event, Tokens) and event.choice == choice]
    return [event for event in found if again is None or event.again == again]


def ids(answer: Answer, choice: int = 0, *, again: bool | None = None) -> list[int]:
    return [token for event in tokens(answer, choice, again=again) for token in event.ids]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampling": DRAWN},
        {"sampling": PENALISED},
        {"sampling": replace(PENALISED, temperature=0.9, seed=3)},
        {"stop": ("hub",)},
        {"alternatives": 2},
        {"constraint": Constraint(SchemaFormat(PERSON))},
        {"constraint": Constraint(PatternFormat("[a-z]{3,9}( [a-z]{2,7}){4}")), "sampling": DRAWN},
        {"ignore_end": True, "max_tokens": 12},
    ],
    ids=["greedy", "drawn", "penalised", "both", "stopped", "scored", "schema", "pattern", "limited"],
)
async def test_it_goes_on_from_every_place_as_it_would_have(engine: LlamaEngine, options: dict[str, Any]) -> None:
    job = asked(engine, **options)
    whole = await run(engine, job)
    said = ids(whole)
    assert len(said) > 4
    for cut in range(len(said) + 1):
        rest = await run(engine, replace(job, said=[Said(said[:cut])]))
        assert (ids(rest, again=True), ids(rest, again=False)) == (said[:cut], said[cut:])
        assert rest.text() == whole.text()
        assert rest.end() == whole.end()
        assert [score.token for score in rest.scores()] == [score.token for score in whole.scores()[cut:]]
        assert (rest.cost.prompt_tokens, rest.cost.completion_tokens) == (len(job.prompt), len(said))


async def test_what_is_said_again_comes_first_and_token_by_token(engine: LlamaEngine) -> None:
    job = asked(engine)
    said = ids(await run(engine, job))
    rest = await run(engine, replace(job, said=[Said(said[:5])]))
    events = [event for event in rest.events if isinstance(event, Tokens)]
    assert [event.again for event in events[:6]] == [True] * 5 + [False]
    assert [event.count for event in events[:5]] == [1] * 5


async def test_choices_go_on_each_from_its_place_and_what_has_ended_is_only_told(engine: LlamaEngine) -> None:
    job = asked(engine, choices=3, sampling=SamplingSettings(temperature=1.5, seed=4), stop=("the",))
    whole = await run(engine, job)
    before = [Said(ids(whole, 0), ended=True), Said(ids(whole, 1)[:2]), Said(())]
    rest = await run(engine, replace(job, said=before))
    for choice in range(3):
        assert ids(rest, choice) == ids(whole, choice)
    assert ids(rest, 0, again=False) == []
    assert [event.choice for event in rest.events if isinstance(event, Ended)].count(0) == 0
    assert rest.cost.completion_tokens == whole.cost.completion_tokens


async def test_where_only_the_end_is_missing_nothing_is_computed(engine: LlamaEngine) -> None:
    job = asked(engine, choices=2, ignore_end=True, max_tokens=4)
    whole = await run(engine, job)
    said = [Said(ids(whole, 0), ended=True), Said(ids(whole, 1), ended=True)]
    steps = engine.steps
    rest = await run(engine, replace(job, said=said))
    assert [type(event) for event in rest.events if not isinstance(event, Tokens)] == [Cost]
    assert rest.cost.completion_tokens == 8
    unended = await run(engine, replace(job, said=[replace(each, ended=False) for each in said]))
    assert [unended.end(choice).reason for choice in range(2)] == [EndReason.LENGTH] * 2
    assert engine.steps == steps


async def test_a_grammar_takes_nothing_that_it_forbids_from_others(engine: LlamaEngine) -> None:
    job = asked(engine, constraint=Constraint(PatternFormat("[0-9]+")))
    foreign = engine.tokenize("Hello", control=False)
    assert await outcome(await submitted(engine, replace(job, said=[Said(foreign)]))) == "CONTINUATION_UNSUPPORTED"
    assert engine.running == engine.waiting == 0
    assert (await run(engine, job)).text()


async def test_it_is_cancelled_as_any_other(engine: LlamaEngine) -> None:
    job = asked(engine, max_tokens=100, ignore_end=True)
    stream = engine.submit(replace(job, said=[Said(ids(await run(engine, job))[:50])]))
    engine.step()
    stream.cancel()
    engine.step()
    assert (engine.running, await outcome(stream)) == (0, "CANCELLED")


async def test_what_was_read_before_counts_as_cached_no_further_than_the_prompt(engine: LlamaEngine) -> None:
    job = asked(engine)
    said = ids(await run(engine, job))
    stream = engine.submit(replace(job, said=[Said(said[:6])]))
    while engine.step():
        pass
    assert (await collect(stream)).cost.cached_tokens == len(job.prompt)


def test_each_place_of_each_seed_is_drawn_by_a_seed_of_its_own() -> None:
    seeds = {seed_of(seed, place) for seed in (0, 1, 2**32 - 1) for place in range(1000)}
    assert len(seeds) == 3000
    assert all(0 <= seed < 2**31 for seed in seeds)


async def submitted(engine: LlamaEngine, job: Job) -> Any:
    stream = engine.submit(job)
    while engine.step():
        pass
    return stream


def test_events_of_engines_that_cannot_go_on_name_no_tokens() -> None:
    event = Tokens(0, "x", 1)
    assert (event.ids, event.again) == ((), False)
