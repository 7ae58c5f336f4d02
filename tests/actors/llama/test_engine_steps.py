"""Cancelling, waiting and closing, with each step of the engine made by the test."""

import asyncio
import threading
from pathlib import Path

import pytest

from actors.llama.binding import Batch
from actors.llama.engine import LlamaEngine
from actors.llama.schedule import RowGrouping
from actors.llama.settings import LlamaSettings
from actors.llama.stepper import FIRST_SECONDS
from actors.model.interface import (
    Cost,
    Ended,
    Prefilling,
    Queued,
    SamplingSettings,
    Tokens,
)
from bus import RpcError

from .engine_jobs import collect, job, outcome


async def test_cancelling_while_generating_frees_the_slot_within_one_step(stepped: LlamaEngine) -> None:
    stream = stepped.submit(job(stepped, "Hello", 100))
    for _ in range(4):
        stepped.step()
    assert (stepped.running, stepped.steps) == (1, 4)
    stream.cancel()
    stepped.step()
    assert (stepped.running, stepped.steps) == (0, 4)
    assert await outcome(stream) == "CANCELLED"


async def test_cancelling_while_the_prompt_is_read_frees_the_slot_within_one_step(stepped: LlamaEngine) -> None:
    stream = stepped.submit(job(stepped, "a " * 200, 10))
    stepped.step()
    stream.cancel()
    stepped.step()
    assert (stepped.running, stepped.steps) == (0, 1)
    assert await outcome(stream) == "CANCELLED"


async def test_cancelling_while_queued_frees_the_place_within_one_step(stepped: LlamaEngine) -> None:
    first, second = stepped.submit(job(stepped, "Hello", 100)), stepped.submit(job(stepped, "Hello", 100))
    stepped.step()
    assert (stepped.running, stepped.waiting) == (1, 1)
    second.cancel()
    stepped.step()
    assert (stepped.running, stepped.waiting) == (1, 0)
    assert await outcome(second) == "CANCELLED"
    first.cancel()


async def test_cancelling_one_call_does_not_touch_another(stepped: LlamaEngine) -> None:
    first, second = stepped.submit(job(stepped, "Hello", 5)), stepped.submit(job(stepped, "Xin chào", 5))
    stepped.step()
    first.cancel()
    while stepped.step():
        pass
    assert await outcome(second) == "complete"


async def test_a_queued_call_hears_its_position_and_then_that_it_runs(stepped: LlamaEngine) -> None:
    first, second = stepped.submit(job(stepped, "Hello", 5)), stepped.submit(job(stepped, "Hello", 5))
    while stepped.step():
        pass
    await collect(first)
    kinds = [type(event) for event in (await collect(second)).events if not isinstance(event, Tokens)]
    assert kinds == [Queued, Prefilling, Ended, Cost]


async def test_a_long_prompt_tells_how_far_it_is(stepped: LlamaEngine) -> None:
    stream = stepped.submit(job(stepped, "q" * 200, 1))
    while stepped.step():
        pass
    told = [event for event in (await collect(stream)).events if isinstance(event, Prefilling)]
    assert [(event.done, event.total) for event in told] == [(done, 200) for done in (0, 64, 128, 192)]


async def test_a_cancelled_call_leaves_its_tokens_for_reuse(stepped: LlamaEngine) -> None:
    stream = stepped.submit(job(stepped, "a " * 100, 10))
    stepped.step()
    stream.cancel()
    again = stepped.submit(job(stepped, "a " * 100, 1))
    while stepped.step():
        pass
    assert (await collect(again)).cost.cached_tokens == 64
    assert await outcome(stream) == "CANCELLED"


async def test_closing_fails_what_runs_and_what_waits(models: Path) -> None:
    engine = await LlamaEngine.open(models / "fixture.gguf", LlamaSettings(threads=1, slots=1))
    streams = [engine.submit(job(engine, "Hello", 2000)) for _ in range(3)]
    await engine.close()
    assert [await outcome(stream) for stream in streams] == ["INTERRUPTED"] * 3
    with pytest.raises(RpcError) as refusal:
        engine.submit(job(engine, "Hello"))
    assert refusal.value.reason == "SHUTTING_DOWN"


async def test_a_seed_gives_the_same_text_whatever_others_draw(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Together or apart is decided by the clock, and the last digits of the numbers differ with it.
    monkeypatch.setattr(RowGrouping, "apart", lambda *_: False)

    async def draw(*seeds: int) -> list[str]:
        settings = LlamaSettings(threads=1, slots=len(seeds))
        engine = LlamaEngine.load(models / "fixture.gguf", settings, asyncio.get_running_loop())
        sampling = [SamplingSettings(temperature=1.0, seed=seed) for seed in seeds]
        streams = [engine.submit(job(engine, "Hello", 24, sampling=each)) for each in sampling]
        while engine.step():
            pass
        texts = [(await collect(stream)).text() for stream in streams]
        await engine.close()
        return texts

    first, second = await draw(42, 1, 2), await draw(42, 3, 4)
    assert first[0] == second[0]
    assert len({*first, *second}) == 5


async def test_an_engine_tells_that_it_moves_and_when_it_has_no_work(engine: LlamaEngine) -> None:
    await collect(engine.submit(job(engine, "Hello", 20)))
    assert engine.pulse().steps >= 20
    while engine.pulse().working:
        await asyncio.sleep(0)


async def test_a_computation_that_does_not_return_is_work_that_does_not_move(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collect(engine.submit(job(engine, "Hello", 3)))
    entered, leave = threading.Event(), threading.Event()
    decode = engine._context.decode

    def hanging(batch: Batch, tokens: int) -> int:
        entered.set()
        leave.wait()
        return decode(batch, tokens)

    monkeypatch.setattr(engine._context, "decode", hanging)
    stream = engine.submit(job(engine, "Xin chào", 3))
    await asyncio.to_thread(entered.wait)
    first, second = engine.pulse(), engine.pulse()
    assert first.working and second.working
    assert first.steps == second.steps
    assert first.patience > 0
    leave.set()
    await collect(stream)


async def test_reading_a_prompt_asks_for_patience_by_its_length_and_writing_asks_for_none(stepped: LlamaEngine) -> None:
    stream = stepped.submit(job(stepped, "a " * 200, 5))
    assert stepped.pulse().patience == FIRST_SECONDS
    asked = []
    while stepped.step():
        asked.append(stepped.pulse().patience)
    assert asked[0] == FIRST_SECONDS
    assert 0 < asked[1] < FIRST_SECONDS
    assert asked[-1] == 0
    assert await outcome(stream) == "complete"
