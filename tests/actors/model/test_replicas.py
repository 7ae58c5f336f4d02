"""A model that one process serves, or several: what it is when these load, serve, leave and end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.model.launcher import Report
from actors.model.model_process import ModelProcess
from actors.model.replicas import MOST, ReplicatedModel
from bus import Code, RpcError
from host.driver import Ending
from troupe.model.v1 import ModelState

LOADING, READY = ModelState.MODEL_STATE_LOADING, ModelState.MODEL_STATE_READY
FAILED, AVAILABLE = ModelState.MODEL_STATE_FAILED, ModelState.MODEL_STATE_AVAILABLE
NOT_WANTED = RpcError(Code.RESOURCE_EXHAUSTED, "not now", reason="REPLICA_NOT_WANTED")


@dataclass(frozen=True)
class Limits:
    load_seconds: float = 60.0
    drain_seconds: float = 1.0
    max_restarts: int = 0
    restart_window_seconds: float = 60.0


class Played:
    """A process that says and does what the test wants."""

    pid = 1

    def __init__(self) -> None:
        self.told: list[str] = []
        self._said: asyncio.Queue[Report | None] = asyncio.Queue()
        self._ending = ""

    def say(self, report: Report) -> None:
        self._said.put_nowait(report)

    def end(self, ending: str = "it ended with code 0") -> None:
        self._ending = self._ending or ending
        self._said.put_nowait(None)

    async def reports(self) -> AsyncIterator[Report]:
        while (report := await self._said.get()) is not None:
            yield report

    async def ended(self) -> Ending:
        return Ending(self._ending)

    def terminate(self) -> None:
        self.told.append("terminate")
        self.end()

    def kill(self) -> None:
        self.told.append("kill")
        self.end("killed")


class Hall:
    """One model, and its processes as they are started."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[Played] = asyncio.Queue()
        self.model = ReplicatedModel(lambda: ModelProcess("a", Path("a"), self, Limits()))
        self.changed = asyncio.Event()
        self.model.on_change = self.changed.set

    async def launch(self, name: str, path: Path, instance: str) -> Played:
        played = Played()
        self.started.put_nowait(played)
        return played

    async def until(self, state: ModelState, processes: int) -> None:
        while (self.model.state, len(self.model.processes)) != (state, processes):
            self.changed.clear()
            await self.changed.wait()

    async def served(self, processes: int = 1) -> list[Played]:
        """So many serve."""
        await self.model.start()
        found = [await self.started.get()]
        found[0].say(Report.ready())
        await self.until(READY, 1)
        for number in range(2, processes + 1):
            found[0].say(Report.welcome())
            found.append(await self.started.get())
            found[-1].say(Report.ready())
            while [each.state for each in self.model.processes] != [READY] * number:
                self.changed.clear()
                await self.changed.wait()
        return found


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    async with asyncio.timeout(30):
        made = Hall()
        yield made
        await made.model.stop()


async def test_one_more_is_started_when_it_is_welcome_and_the_model_is_ready_all_the_while(hall: Hall) -> None:
    first, _ = await hall.served(2)
    assert (hall.model.state, len(hall.model.processes)) == (READY, 2)
    assert first.told == []


async def test_a_model_that_loads_is_welcome_once(hall: Hall) -> None:
    await hall.model.start()
    first = await hall.started.get()
    first.say(Report.welcome())
    first.say(Report.ready())
    await hall.until(READY, 1)
    await hall.model.start()
    assert hall.started.empty()


async def test_one_that_ends_concerns_no_other(hall: Hall) -> None:
    first, second = await hall.served(2)
    first.end("it was ended by SIGSEGV")
    await hall.until(READY, 1)
    assert second.told == [] and hall.model.error is None


async def test_one_that_is_not_wanted_after_all_goes_without_a_word(hall: Hall) -> None:
    [first] = await hall.served()
    first.say(Report.welcome())
    second = await hall.started.get()
    second.say(Report.leaving(NOT_WANTED))
    await hall.until(READY, 1)
    assert hall.model.error is None and hall.model.trouble() == ""


async def test_the_last_one_tells_why_it_ended(hall: Hall) -> None:
    first, second = await hall.served(2)
    second.end("it was ended by SIGSEGV")
    await hall.until(READY, 1)
    first.end("it was ended by SIGABRT")
    await hall.until(FAILED, 1)
    assert "SIGABRT" in str(hall.model.error)


async def test_unloading_ends_all_and_a_welcome_that_comes_meanwhile_starts_none(hall: Hall) -> None:
    first, second = await hall.served(2)
    stopping = asyncio.create_task(hall.model.stop())
    first.say(Report.welcome())
    await stopping
    assert first.told == second.told == ["terminate"]
    assert hall.model.state == AVAILABLE
    assert hall.started.empty()
    await hall.model.start()
    assert hall.model.state == LOADING


async def test_there_are_no_more_than_the_most(hall: Hall) -> None:
    found = await hall.served(MOST)
    found[0].say(Report.welcome())
    found[1].end()
    await hall.until(READY, MOST - 1)
    assert hall.started.empty()
