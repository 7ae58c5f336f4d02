"""What was decided, done with processes that the test plays."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from bus import Code, RpcError
from host import driver as module
from host.driver import Driver, Ending
from host.supervision import Child, State, Supervision
from troupe.rpc.v1 import Heartbeat


class Played:
    """A process that ends when it is told to."""

    def __init__(self, name: str, instance: str, pid: int) -> None:
        self.name = name
        self.instance = instance
        self.pid = pid
        self.told: list[str] = []
        self._end: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    async def ended(self) -> Ending:
        return await asyncio.shield(self._end)

    def end(self, why: str) -> None:
        if not self._end.done():
            self._end.set_result(Ending(why, why == "it was killed"))

    def terminate(self) -> None:
        self.told.append("terminate")
        self.end("it ended in order")

    def kill(self) -> None:
        self.told.append("kill")
        self.end("it was killed")

    def beat(self, state: str = "serving", **engine: Any) -> Heartbeat:
        return Heartbeat(process=f"{self.name}-{self.instance}-x", actor=self.name, state=state, **engine)


class Hall:
    """A driver of two processes, and what it tells."""

    def __init__(self, **options: Any) -> None:
        self.played: asyncio.Queue[Played] = asyncio.Queue()
        self.states: asyncio.Queue[tuple[str, State]] = asyncio.Queue()
        self.failed: list[str] = []
        self.gone: list[str] = []
        self.unreachable = False
        self.broken = False
        own = {"max_restarts": 1, "window": 60.0, "drain": 5.0, **options}
        self.supervision = Supervision([["a"], ["b"]], **own)
        self.driver = Driver(
            self.supervision, self._launch, changed=self._changed, failed=self._failed, gone=self._gone
        )

    async def _launch(self, name: str, instance: str) -> Played:
        if self.broken:
            raise FileNotFoundError("no such program")
        played = Played(name, instance, 1 << 23)
        self.played.put_nowait(played)
        return played

    def _changed(self, child: Child) -> None:
        self.states.put_nowait((child.name, child.state))

    def _failed(self, child: Child) -> None:
        self.failed.append(child.name)

    async def _gone(self, process: str) -> None:
        self.gone.append(process)
        if self.unreachable:
            raise RpcError(Code.UNAVAILABLE, "The bus is away.")

    async def until(self, name: str, state: State) -> None:
        async with asyncio.timeout(10):
            while await self.states.get() != (name, state):
                pass


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    hall = Hall()
    yield hall
    await hall.driver.end()


async def both(hall: Hall) -> tuple[Played, Played]:
    """Both, serving."""
    hall.driver.start()
    first, second = await hall.played.get(), await hall.played.get()
    for played in (first, second):
        await asyncio.sleep(0)
        hall.driver.heard(played.beat())
    assert {child.state for child in hall.supervision.children.values()} == {State.SERVING}
    return first, second


async def test_a_beat_belongs_to_the_process_whose_instance_it_names(hall: Hall) -> None:
    first, _ = await both(hall)
    hall.driver.heard(Heartbeat(process="a-other-x", actor="a", state="draining"))
    assert hall.supervision.children["a"].process == f"a-{first.instance}-x"


async def test_one_that_ends_is_told_of_and_started_again_under_another_instance(hall: Hall) -> None:
    first, second = await both(hall)
    first.end("it crashed")
    again = await hall.played.get()
    assert (again.name, again.instance != first.instance, second.told) == ("a", True, [])
    assert hall.gone == [f"a-{first.instance}-x"]
    assert hall.supervision.children["a"].last_exit == "it crashed"


async def test_an_end_that_cannot_be_told_hinders_no_start(hall: Hall) -> None:
    hall.unreachable = True
    first, _ = await both(hall)
    first.end("it crashed")
    assert (await hall.played.get()).name == "a"


async def test_a_program_that_cannot_be_started_fails_with_the_reason(hall: Hall) -> None:
    hall.broken = True
    hall.driver.start()
    await hall.until("a", State.FAILED)
    assert "could not be started: no such program" in hall.supervision.children["a"].last_exit
    assert "a" in hall.failed


async def test_a_stop_ends_group_after_group_and_is_over_when_all_have_ended(hall: Hall) -> None:
    first, second = await both(hall)
    hall.driver.stop()
    await asyncio.wait_for(hall.driver.finished.wait(), 10)
    assert (first.told, second.told) == (["terminate"], ["terminate"])
    assert hall.driver.supervision.settled


async def test_whoever_watches_no_longer_leaves_nobody_running_unless_it_is_asked_to(hall: Hall) -> None:
    first, second = await both(hall)
    await hall.driver.end(leave=True)
    assert (first.told, second.told) == ([], [])


async def test_what_is_ended_is_killed() -> None:
    hall = Hall()
    first, second = await both(hall)
    await hall.driver.end()
    assert (first.told, second.told) == (["kill"], ["kill"])


async def test_a_watcher_that_fails_says_so_and_leaves_nobody_unwatched(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.001)
    first, _ = await both(hall)
    monkeypatch.setattr(hall.supervision, "tick", None)
    with pytest.raises(TypeError):
        await asyncio.wait_for(asyncio.shield(hall.driver.failure), 10)
    assert first.told == ["kill"]


async def test_what_runs_for_a_process_belongs_to_no_call(hall: Hall) -> None:
    with structlog.contextvars.bound_contextvars(call_id="c-1"):
        hall.driver.start()
    first = await hall.played.get()
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        first.end("it crashed")
        await hall.until("a", State.BACKING_OFF)
    assert [line for line in lines if "call_id" in line] == []
    assert [line["last_exit"] for line in lines if line["event"] == "process.state"] == ["it crashed"]


async def test_once_all_is_settled_no_time_is_kept_until_somebody_asks(hall: Hall) -> None:
    hall.broken = True
    hall.driver.start()
    await hall.until("b", State.FAILED)
    await hall.until("a", State.FAILED) if hall.supervision.children["a"].state is not State.FAILED else None
    while hall.driver._tasks:
        await asyncio.sleep(0.01)
    hall.broken = False
    hall.driver.do(hall.supervision.revive(0.0))
    assert (await hall.played.get()).name == "a"
    assert hall.driver._ticking
