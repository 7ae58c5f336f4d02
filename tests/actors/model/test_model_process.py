"""A model's states, made of what its process prints, how it beats and how it ends."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actors.model import model_process
from actors.model.launcher import Report
from actors.model.model_process import ModelProcess
from actors.model.process_watch import ProcessWatch
from bus import Code, RpcError, subjects
from bus.transports import Message
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.driver import Ending
from host.liveness import Heart
from host.member import Member
from host.settings import Settings
from host.supervision import KILL_SECONDS
from host.watchdog import Sight
from troupe.model.v1 import ModelState
from troupe.rpc.v1 import Progress

LOADING, READY = ModelState.MODEL_STATE_LOADING, ModelState.MODEL_STATE_READY
FAILED, AVAILABLE = ModelState.MODEL_STATE_FAILED, ModelState.MODEL_STATE_AVAILABLE


@dataclass(frozen=True)
class Limits:
    """A family's settings of its processes."""

    load_seconds: float = 60.0
    drain_seconds: float = 1.0
    max_restarts: int = 2
    restart_window_seconds: float = 60.0


class Played:
    """A process that says and does what the test wants."""

    def __init__(self, pid: int, instance: str) -> None:
        self.pid = pid
        self.instance = instance
        self.said: asyncio.Queue[Report | None] = asyncio.Queue()
        self.ending = ""
        self.told: list[str] = []

    def say(self, report: Report) -> None:
        self.said.put_nowait(report)

    def end(self, ending: str) -> None:
        self.ending = self.ending or ending
        self.said.put_nowait(None)

    async def reports(self) -> AsyncIterator[Report]:
        while (report := await self.said.get()) is not None:
            yield report

    async def ended(self) -> Ending:
        return Ending(self.ending, "SIGKILL" in self.ending)

    def terminate(self) -> None:
        self.told.append("terminate")
        self.end("it ended with code 0")

    def kill(self) -> None:
        self.told.append("kill")
        self.end("it was ended by SIGKILL")


class Launching:
    """Hands each process to the test."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[Played] = asyncio.Queue()
        self.count = 0

    async def launch(self, name: str, path: Path, instance: str) -> Played:
        self.count += 1
        played = Played((1 << 23) + self.count, instance)
        self.started.put_nowait(played)
        return played


class Hall:
    def __init__(self, watch: ProcessWatch | None = None, **limits: Any) -> None:
        self.launching = Launching()
        self.model = ModelProcess("tiny", Path("tiny.gguf"), self.launching, Limits(**limits), watch)
        self._changed = asyncio.Event()
        self.model.on_change = self._changed.set

    async def until(self, fits: Callable[[ModelProcess], bool]) -> None:
        async with asyncio.timeout(10):
            while not fits(self.model):
                self._changed.clear()
                await self._changed.wait()

    async def state(self, state: ModelState) -> None:
        await self.until(lambda model: model.state == state)

    async def serving(self) -> Played:
        await self.model.start()
        played = await self.launching.started.get()
        played.say(Report.ready())
        await self.state(READY)
        return played


def said(model: ModelProcess) -> str:
    """The sentence of its error."""
    return model.error.message if model.error else ""


async def test_loading_is_told_in_shares_until_it_serves() -> None:
    hall = Hall()
    await hall.model.start()
    played = await hall.launching.started.get()
    played.say(Report.loading(Progress(state=Progress.STATE_LOADING, fraction=0.5)))
    await hall.until(lambda model: model.progress.fraction == 0.5)
    assert (hall.model.state, hall.model.settled) == (LOADING, False)
    played.say(Report.ready())
    await hall.state(READY)
    assert hall.model.settled
    await hall.model.stop()


async def test_starting_what_runs_starts_nothing() -> None:
    hall = Hall()
    await hall.serving()
    await hall.model.start()
    assert hall.launching.count == 1
    await hall.model.stop()


async def test_one_that_crashes_is_loading_with_the_reason_and_then_serves_again() -> None:
    hall = Hall()
    (await hall.serving()).end("it was ended by SIGSEGV")
    await hall.state(LOADING)
    assert said(hall.model) == "it was ended by SIGSEGV"
    (await hall.launching.started.get()).say(Report.ready())
    await hall.state(READY)
    assert (hall.model.error, hall.model.restarts) == (None, 1)
    await hall.model.stop()


async def test_one_that_ends_before_it_ever_served_has_failed_at_once() -> None:
    hall = Hall()
    await hall.model.start()
    (await hall.launching.started.get()).end("it was ended by SIGABRT")
    await hall.state(FAILED)
    assert said(hall.model) == (
        "tiny.gguf cannot be loaded: it was ended by SIGABRT before it said anything; its log may say more."
    )
    assert hall.model.error is not None and hall.model.error.reason == "MODEL_LOAD_FAILED"
    assert hall.launching.count == 1


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (
            Progress(state=Progress.STATE_LOADING, fraction=0.25),
            "it ended with code 1 while the model was read, at 25%.",
        ),
        (Progress(state=Progress.STATE_QUEUED, note="It waits."), "it ended with code 1. It had said last: It waits."),
    ],
)
async def test_a_load_that_fails_tells_what_its_process_has_said_last(word: Progress, told: str) -> None:
    hall = Hall()
    await hall.model.start()
    played = await hall.launching.started.get()
    played.say(Report.loading(word))
    played.end("it ended with code 1")
    await hall.state(FAILED)
    assert said(hall.model) == f"tiny.gguf cannot be loaded: {told}"


async def test_a_load_that_is_ended_from_outside_is_tried_once_more_and_that_is_told() -> None:
    hall = Hall()
    await hall.model.start()
    (await hall.launching.started.get()).end("it was ended by SIGKILL")
    await hall.until(lambda model: model.error is not None)
    assert (hall.model.state, said(hall.model)) == (LOADING, "it was ended by SIGKILL")
    (await hall.launching.started.get()).say(Report.ready())
    await hall.state(READY)
    assert hall.model.error is None
    await hall.model.stop()
    await hall.model.start()
    for _ in range(2):
        (await hall.launching.started.get()).end("it was ended by SIGKILL")
    await hall.state(FAILED)
    assert hall.launching.count == 4


async def test_what_the_process_says_of_its_failure_is_the_reason_and_a_new_start_is_a_new_try() -> None:
    hall = Hall()
    await hall.model.start()
    played = await hall.launching.started.get()
    room = {"needed": "9000000000", "fits": "with 2,048 tokens of context"}
    why = RpcError(
        Code.RESOURCE_EXHAUSTED, "tiny fits nowhere.", reason="INSUFFICIENT_MEMORY", metadata=room, retry_after=2.5
    )
    played.say(Report.failed(why))
    played.end("it ended with code 1")
    await hall.state(FAILED)
    assert hall.model.error is not None and hall.model.error.to_status() == why.to_status()
    await hall.serving()
    assert said(hall.model) == ""
    await hall.model.stop()


async def test_one_that_does_not_serve_in_its_time_is_killed_and_has_failed() -> None:
    hall = Hall(load_seconds=0.1)
    await hall.model.start()
    played = await hall.launching.started.get()
    await hall.state(FAILED)
    assert played.told == ["kill"]
    assert said(hall.model) == "tiny was not loaded within 0.1 s."


async def test_waiting_for_others_is_told_as_it_is_and_no_part_of_the_time_to_load() -> None:
    hall = Hall(load_seconds=1.0)
    await hall.model.start()
    played = await hall.launching.started.get()
    waiting = Progress(state=Progress.STATE_QUEUED, position=2, note="large has to leave first.")
    waiting.eta.FromSeconds(5)
    played.say(Report.loading(waiting))
    await hall.until(lambda model: model.progress == waiting)
    driver = hall.model._driver
    assert driver is not None and driver.supervision.children["tiny"].serve_by == math.inf
    played.say(Report.loading(Progress(state=Progress.STATE_LOADING, fraction=0.0)))
    await hall.state(FAILED)
    assert (played.told, said(hall.model)) == (["kill"], "tiny was not loaded within 1 s.")


LEAVES = RpcError(Code.UNAVAILABLE, "large needs the memory.", reason="MODEL_REVOKED", retry_after=1.0)


async def test_one_that_says_it_leaves_is_let_go_before_it_ends_and_is_not_started_again() -> None:
    hall = Hall()
    played = await hall.serving()
    slow = asyncio.Event()
    played.terminate = slow.set  # type: ignore[method-assign]  # it has calls to finish
    played.say(Report.leaving(LEAVES))
    async with asyncio.timeout(10):
        await slow.wait()
    assert hall.model.state == ModelState.MODEL_STATE_DRAINING
    played.end("it ended with code 0")
    await hall.state(AVAILABLE)
    assert said(hall.model) == LEAVES.message
    assert (hall.launching.count, hall.model.restarts) == (1, 0)
    await hall.serving()
    assert (hall.launching.count, hall.model.error) == (2, None)
    await hall.model.stop()


async def test_one_that_leaves_for_the_stage_has_the_time_that_the_stage_gives() -> None:
    hall = Hall()
    played = await hall.serving()
    driver, slow = hall.model._driver, asyncio.Event()
    played.terminate = slow.set  # type: ignore[method-assign]
    played.say(Report.leaving(LEAVES, 25.0))
    await slow.wait()
    assert driver is not None
    child = driver.supervision.children["tiny"]
    assert child.kill_at is not None
    assert child.kill_at - child.since == pytest.approx(25.0 + KILL_SECONDS)
    played.end("it ended with code 0")
    await hall.state(AVAILABLE)


async def test_a_stop_whose_watcher_fails_meanwhile_comes_to_its_end() -> None:
    hall = Hall()
    played = await hall.serving()

    async def broken() -> Ending:
        raise RuntimeError("nobody looks any more")

    played.ended = broken  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await hall.model.stop()
    assert hall.model.state == AVAILABLE
    await hall.serving()
    await hall.model.stop()


async def test_a_stop_does_not_wait_for_ever_for_a_process_that_nobody_can_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_process, "GIVE_UP_SECONDS", 0.05)
    monkeypatch.setattr(model_process, "KILL_SECONDS", 0.0)
    hall = Hall(drain_seconds=0.0)
    played = await hall.serving()
    played.terminate = played.kill = lambda: None  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await hall.model.stop()
    assert hall.model.state == AVAILABLE


@pytest.mark.parametrize("ending", ["it was ended by SIGKILL", "it ended with code 1"])
async def test_one_that_is_killed_or_fails_while_it_leaves_has_left(ending: str) -> None:
    hall = Hall()
    played = await hall.serving()
    played.terminate = lambda: played.end(ending)  # type: ignore[method-assign]
    played.say(Report.leaving(LEAVES))
    await hall.state(AVAILABLE)
    assert hall.launching.count == 1
    await hall.model.stop()
    assert hall.model.state == AVAILABLE


async def test_one_that_is_killed_before_it_says_that_it_leaves_is_started_again() -> None:
    hall = Hall()
    played = await hall.serving()
    played.end("it was ended by SIGKILL")
    played.say(Report.leaving(LEAVES))  # never heard: it ended before
    await hall.state(LOADING)
    (await hall.launching.started.get()).say(Report.ready())
    await hall.state(READY)
    await hall.model.stop()


async def test_one_that_leaves_while_it_loads_tells_whoever_waits_why() -> None:
    hall = Hall()
    await hall.model.start()
    played = await hall.launching.started.get()
    played.say(Report.leaving(LEAVES))
    async for _ in hall.model.changes():
        pass
    assert said(hall.model) == LEAVES.message
    await hall.model.stop()


async def test_a_start_while_one_leaves_waits_for_its_end_and_is_not_undone_by_it() -> None:
    hall = Hall()
    played = await hall.serving()
    slow = asyncio.Event()
    played.terminate = slow.set  # type: ignore[method-assign]
    played.say(Report.leaving(LEAVES))
    await slow.wait()
    starting = asyncio.create_task(hall.model.start())
    played.end("it ended with code 0")
    await starting
    again = await hall.launching.started.get()
    again.say(Report.ready())
    await hall.state(READY)
    assert again.told == []
    await hall.model.stop()


async def test_one_that_keeps_ending_is_given_up_with_the_reason() -> None:
    hall = Hall(max_restarts=1)
    (await hall.serving()).end("it was ended by SIGSEGV")
    (await hall.launching.started.get()).end("it was ended by SIGSEGV")
    await hall.state(FAILED)
    assert said(hall.model).startswith("tiny keeps ending (it was ended by SIGSEGV)")


async def test_an_unloading_whose_asker_left_goes_on_and_a_start_waits_for_its_end() -> None:
    hall = Hall()
    played = await hall.serving()
    slow: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    played.terminate = lambda: slow.set_result(None)  # type: ignore[method-assign]  # it takes its time
    stopping = asyncio.create_task(hall.model.stop())
    await slow
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    assert hall.model.state == ModelState.MODEL_STATE_DRAINING
    starting = asyncio.create_task(hall.model.start())
    played.end("it ended with code 0")
    await starting
    (await hall.launching.started.get()).say(Report.ready())
    await hall.state(READY)
    await hall.model.stop()
    assert hall.model.state == AVAILABLE


# ---- with a bus


@pytest.fixture
async def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
async def member(broker: MemoryBroker, tmp_path: Path) -> AsyncIterator[Member]:
    async with Member(Settings(home=tmp_path), "family", transport=MemoryTransport(broker, "family-1")) as member:
        yield member


async def test_a_process_that_falls_silent_is_killed_and_its_loss_is_told_to_all(
    broker: MemoryBroker, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The system says of it that it lives and does nothing.
    monkeypatch.setattr("host.sight.sight", lambda pid: Sight(pid, {pid: 0.0}))
    watch = ProcessWatch(member)
    hall = Hall(watch)
    await hall.model.start()
    played = await hall.launching.started.get()
    transport = MemoryTransport(broker, f"family-tiny-{played.instance}-x")
    gone: asyncio.Queue[Message] = asyncio.Queue()
    await MemoryTransport(broker).subscribe(subjects.GONE, gone.put_nowait)
    heart = Heart(transport, "family")
    heart.state = "serving"
    heart.start()
    await hall.state(READY)
    assert hall.model.trouble() == ""
    heart._task.cancel()  # type: ignore[union-attr]  # it hangs
    await hall.state(LOADING)
    assert played.told == ["kill"]
    assert "told nothing for 1." in said(hall.model)
    assert hall.model.trouble() == f"tiny is started again: {said(hall.model)}."
    assert (await asyncio.wait_for(gone.get(), 10)).subject == subjects.gone(transport.process)
    await hall.model.stop()
    assert hall.model.trouble() == ""
    watch.stop()
