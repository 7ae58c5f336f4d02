"""A NATS server that ends, hangs, or cannot come back; the supervisor's tests have the whole hub around it."""

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from host import bus_watch, embedded, supervision
from host.bus_watch import BusWatch
from host.embedded import EmbeddedServer, ServerError
from host.settings import SupervisorSettings
from host.supervision import Child, State


class Hall:
    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.states: asyncio.Queue[State] = asyncio.Queue()
        self.problems: asyncio.Queue[str] = asyncio.Queue()
        self.watch = BusWatch(server, SupervisorSettings(), changed=self._changed, failed=self.problems.put_nowait)
        self.running = asyncio.create_task(self.watch.run())

    def _changed(self, child: Child) -> None:
        self.states.put_nowait(child.state)

    async def until(self, state: State) -> None:
        async with asyncio.timeout(20):
            while await self.states.get() is not state:
                pass


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Hall]:
    async with EmbeddedServer(tmp_path) as server:
        hall = Hall(server)
        await hall.until(State.SERVING)
        yield hall
        hall.running.cancel()
        await asyncio.gather(hall.running, return_exceptions=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_a_server_that_is_gone_or_hangs_is_started_again_on_its_port(hall: Hall, number: signal.Signals) -> None:
    port, pid = hall.server.port, hall.server.pid
    os.kill(pid, number)
    await hall.until(State.BACKING_OFF)
    await hall.until(State.SERVING)
    assert hall.server.pid not in (0, pid)
    assert hall.server.port == port
    assert await hall.server.answers(5.0)


async def test_while_the_watcher_hears_itself_the_server_is_not_asked(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked(_: float) -> bool:
        raise AssertionError("it was asked")

    monkeypatch.setattr(hall.server, "answers", asked)
    monkeypatch.setattr(bus_watch, "HEARD_SECONDS", 60.0)
    hall.watch.heard_itself()
    await hall.watch._probe()


async def test_a_server_comes_back_while_nothing_can_be_written(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(embedded, "_write_private", full)
    os.kill(hall.server.pid, signal.SIGKILL)
    await hall.until(State.BACKING_OFF)
    await hall.until(State.SERVING)
    assert (hall.server.home / "nats" / "address.json").exists()
    assert hall.problems.empty()


async def test_a_server_that_cannot_come_back_is_tried_again_and_then_told_with_the_reason(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def full() -> None:
        nonlocal tries
        tries += 1
        raise ServerError("there is no room")

    monkeypatch.setattr(hall.server, "restart", full)
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.01)
    os.kill(hall.server.pid, signal.SIGKILL)
    problem = await asyncio.wait_for(hall.problems.get(), 20)
    assert problem.startswith("The NATS server ends again and again (could not be started: there is no room); see ")
    assert tries == SupervisorSettings().max_restarts


async def test_whoever_watches_no_longer_leaves_the_server_as_it_is(hall: Hall) -> None:
    hall.running.cancel()
    await asyncio.gather(hall.running, return_exceptions=True)
    assert await hall.server.answers(5.0)
