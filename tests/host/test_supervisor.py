import asyncio
import errno
import os
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import psutil
import pytest
from google.protobuf.duration_pb2 import Duration

from actors.registry import ACTORS
from bus import RpcError, subjects
from bus.channel import Channel
from bus.transports import Message
from bus.transports.nats import NatsTransport
from host import process, supervision, supervisor
from host.embedded import EmbeddedServer, connect
from host.parts import Library, Part, Parts
from host.registry import UnknownActor
from host.settings import Settings, SupervisorSettings
from host.supervisor import Addresses, AlreadyRunning, Door, HubFailed, Supervisor
from store import store_of
from troupe.echo.v1 import EchoRequest, EchoServiceClient, RepeatRequest
from troupe.health.v1 import (
    Actor,
    ActorState,
    CheckRequest,
    HealthServiceClient,
    StartActorRequest,
    StartActorResponse,
    WatchRequest,
)
from troupe.rpc.v1 import Heartbeat

ECHO = [sys.executable, "-m", "actors", "echo"]

SERVING = ActorState.ACTOR_STATE_SERVING


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def settings_of(home: Path, max_restarts: int = 5, drain_seconds: float = 5) -> Settings:
    own = SupervisorSettings(actors=["echo"], max_restarts=max_restarts, drain_seconds=drain_seconds)
    return Settings(home=home, supervisor=own)


DOORS = [Door("http", "127.0.0.1", 0), Door("grpc", "127.0.0.1", 0)]


class Hub:
    """A supervised hub in this process, and a caller on its bus."""

    def __init__(self, server: EmbeddedServer, transport: NatsTransport, stop: asyncio.Event) -> None:
        self.server = server
        self.transport = transport
        self.stop = stop
        self.channel = Channel(transport)
        self.echo = EchoServiceClient(self.channel)
        self.health = HealthServiceClient(self.channel)
        self.addresses: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
        self.supervisor: Supervisor
        self.running: asyncio.Task[int]

    async def actor(self, name: str, fits: Callable[[Actor], bool]) -> Actor:
        """The actor as soon as it fits."""
        async for response in self.health.watch(WatchRequest()):
            for actor in response.actors:
                if actor.name == name and fits(actor):
                    return actor
        raise AssertionError

    async def serving(self, name: str = "echo", restarts: int = 0) -> Actor:
        return await self.actor(name, lambda actor: actor.state == SERVING and actor.restarts >= restarts)

    async def start(self, name: str) -> StartActorResponse:
        return await self.health.start_actor(StartActorRequest(name=name))

    async def heard(self, subject: str) -> "asyncio.Queue[Message]":
        messages: asyncio.Queue[Message] = asyncio.Queue()
        await self.transport.subscribe(subject, messages.put_nowait)
        return messages

    async def recorded(self) -> str:
        """The kind of the first event in the hub's log."""
        events = await store_of(self.transport).events({"actor.failed": Actor})
        async with aclosing(events.subscribe("test")) as deliveries:
            async for delivery in deliveries:
                await delivery.ack()
                return delivery.event.kind
        raise AssertionError


@asynccontextmanager
async def hub(settings: Settings, parts: Parts | None = None, **commands: Sequence[str]) -> AsyncIterator[Hub]:
    async with asyncio.timeout(40), EmbeddedServer(settings.home) as server:
        own = Hub(server, await connect(settings, "caller"), asyncio.Event())
        ready = own.addresses.set_result
        own.supervisor = Supervisor(settings, commands, parts=parts or {}, server=server, ready=ready)
        own.running = asyncio.create_task(own.supervisor.run(own.stop))
        yield own
        own.stop.set()
        await own.channel.close()
        await asyncio.wait({own.running})
        await own.transport.close()
        if not own.running.exception():
            assert own.running.result() == 0


async def test_a_killed_actor_is_told_of_at_once_and_comes_back(tmp_path: Path) -> None:
    async with hub(settings_of(tmp_path), echo=ECHO) as own:
        before = await own.serving()
        gone = await own.heard(subjects.GONE)
        responses = aiter(own.echo.repeat(RepeatRequest(count=1000, interval=Duration(nanos=10_000_000))))
        await anext(responses)
        os.kill(before.pid, signal.SIGKILL)
        with pytest.raises(RpcError) as caught:
            async for _ in responses:
                pass
        assert caught.value.reason == "PEER_LOST"
        assert (await gone.get()).subject == subjects.gone(before.process)
        after = await own.serving(restarts=1)
        assert after.pid != before.pid
        assert after.process != before.process
        assert after.last_exit == "ended by SIGKILL"
        assert (await own.echo.echo(EchoRequest(text="chào lại"))).text == "chào lại"


async def test_an_actor_that_cannot_live_fails_with_an_event_and_harms_no_other(tmp_path: Path) -> None:
    broken = script("import sys; print('warming up'); sys.exit('out of paint')")
    async with hub(settings_of(tmp_path, max_restarts=2), echo=ECHO, painter=broken) as own:
        events = await own.heard(subjects.event("*.*"))
        failed = await own.actor("painter", lambda actor: actor.state == ActorState.ACTOR_STATE_FAILED)
        assert failed.restarts == 2
        assert failed.last_exit == "ended with status 1: out of paint"
        event = await events.get()
        assert event.subject == "event.actor.failed"
        assert Actor.FromString(event.payload).name == "painter"
        assert await own.recorded() == "actor.failed"
        assert (await own.serving()).restarts == 0
        assert (await own.addresses).states == {"echo": "serving", "painter": "failed"}
        assert "warming up" in (tmp_path / "logs" / "painter.log").read_text()


async def test_what_has_failed_is_started_again_on_sigusr1(tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    waiting = (
        f"import os, sys; os.path.exists({str(mended)!r}) or sys.exit('still broken'); os.execv(sys.executable, {ECHO})"
    )
    async with hub(settings_of(tmp_path, max_restarts=0), echo=script(waiting)) as own:
        await own.actor("echo", lambda actor: actor.state == ActorState.ACTOR_STATE_FAILED)
        mended.touch()
        os.kill(os.getpid(), signal.SIGUSR1)
        await own.serving()


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with hub(settings_of(tmp_path, max_restarts=0), echo=["/nonexistent/program"]) as own:
        failed = await own.actor("echo", lambda actor: actor.state == ActorState.ACTOR_STATE_FAILED)
        assert "/nonexistent/program" in failed.last_exit


async def test_a_stop_lets_running_streams_end(tmp_path: Path) -> None:
    async with hub(settings_of(tmp_path), echo=ECHO) as own:
        await own.serving()
        responses = aiter(own.echo.repeat(RepeatRequest(count=40, interval=Duration(nanos=10_000_000))))
        assert (await anext(responses)).index == 0
        own.stop.set()
        assert [response.index async for response in responses] == list(range(1, 40))
        assert await own.running == 0


class Shelf:
    """A place for a library that the part "sound" of the test's own needs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        monkeypatch.syspath_prepend(str(folder))
        library = Library("troupe-sound", "troupe_sound", 1)
        self.parts = {"sound": Part("sounds", (library,), {"echo": ("troupe.echo.v1.EchoService",)})}

    def install(self) -> None:
        (self._folder / "troupe_sound.py").touch()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    (tmp_path / "site").mkdir()
    return Shelf(tmp_path / "site", monkeypatch)


async def test_an_actor_whose_part_is_missing_is_not_started_until_it_is_there(tmp_path: Path, shelf: Shelf) -> None:
    async with hub(settings_of(tmp_path), shelf.parts, echo=ECHO, other=ECHO) as own:
        addresses = await own.addresses
        assert addresses.states == {"echo": "not_installed", "other": "serving"}
        assert addresses.lacking == {"echo": "sound"}
        absent = await own.actor("echo", lambda actor: actor.state == ActorState.ACTOR_STATE_NOT_INSTALLED)
        assert (absent.part, absent.pid, absent.restarts) == ("sound", 0, 0)
        with pytest.raises(RpcError) as caught:
            await own.start("echo")
        assert (caught.value.reason, "`troupe add sound`" in caught.value.message) == ("PART_NOT_INSTALLED", True)
        shelf.install()
        assert (await own.start("echo")).actor.state == ActorState.ACTOR_STATE_STARTING
        assert (await own.serving()).part == ""
        assert (await own.start("echo")).actor.state == SERVING


async def test_a_part_that_was_installed_by_hand_is_found_on_sigusr1(tmp_path: Path, shelf: Shelf) -> None:
    async with hub(settings_of(tmp_path), shelf.parts, echo=ECHO) as own:
        await own.addresses
        shelf.install()
        os.kill(os.getpid(), signal.SIGUSR1)
        await own.serving()


async def test_the_supervisors_heartbeat_tells_what_is_not_served_for_want_of_a_part(
    tmp_path: Path, shelf: Shelf
) -> None:
    async with hub(settings_of(tmp_path), shelf.parts, echo=ECHO) as own:
        beats = await own.heard(subjects.HEARTBEATS)
        while not (beat := Heartbeat.FromString((await beats.get()).payload)).absent:
            pass
        [absence] = beat.absent
        assert (absence.actor, absence.part, list(absence.services)) == (
            "echo",
            "sound",
            ["troupe.echo.v1.EchoService"],
        )


async def test_an_actor_that_the_hub_does_not_run_cannot_be_started(tmp_path: Path) -> None:
    async with hub(settings_of(tmp_path), echo=ECHO) as own:
        await own.serving()
        with pytest.raises(RpcError) as caught:
            await own.start("ehco")
        assert (caught.value.reason, "Did you mean echo?" in caught.value.message) == ("ACTOR_NOT_FOUND", True)


async def test_what_has_failed_is_started_again_by_its_name(tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    waiting = f"import os, sys; os.path.exists({str(mended)!r}) or sys.exit(1); os.execv(sys.executable, {ECHO})"
    async with hub(settings_of(tmp_path, max_restarts=0), echo=script(waiting)) as own:
        await own.actor("echo", lambda actor: actor.state == ActorState.ACTOR_STATE_FAILED)
        mended.touch()
        await own.start("echo")
        await own.serving()


STUBBORN = script(
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


async def deaf(own: Hub, home: Path) -> int:
    """The number of the stubborn process, once it ignores what it is told."""
    pid = (await own.actor("stubborn", lambda actor: actor.pid > 0)).pid
    while "ready" not in (home / "logs" / "stubborn.log").read_text():
        await own.health.check(CheckRequest())
    return pid


async def test_a_process_that_ignores_the_stop_is_killed_when_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "KILL_SECONDS", 0.1)
    async with hub(settings_of(tmp_path, drain_seconds=0.1), stubborn=STUBBORN) as own:
        pid = await deaf(own, tmp_path)
        own.stop.set()
        assert await own.running == 0
        assert not psutil.pid_exists(pid)


async def test_a_second_stop_waits_for_nobody(tmp_path: Path) -> None:
    async with hub(settings_of(tmp_path, drain_seconds=1000), stubborn=STUBBORN) as own:
        pid = await deaf(own, tmp_path)
        own.stop.set()
        await own.actor("stubborn", lambda actor: actor.state == ActorState.ACTOR_STATE_DRAINING)
        own.supervisor.stop_now()
        assert await own.running == 0
        assert not psutil.pid_exists(pid)


async def test_a_process_that_hangs_is_killed_and_started_again_and_its_loss_is_told(tmp_path: Path) -> None:
    async with hub(settings_of(tmp_path), echo=ECHO) as own:
        before = await own.serving()
        gone = await own.heard(subjects.GONE)
        os.kill(before.pid, signal.SIGSTOP)
        assert (await gone.get()).subject == subjects.gone(before.process)
        after = await own.serving(restarts=1)
        assert after.last_exit.startswith("killed: it was stopped and told nothing for 1.")
        assert not psutil.pid_exists(before.pid)


async def test_a_process_that_was_stopped_for_a_moment_is_left_alone(tmp_path: Path) -> None:
    async with hub(settings_of(tmp_path), echo=ECHO) as own:
        before = await own.serving()
        beats = await own.heard(subjects.heartbeat(before.process))
        os.kill(before.pid, signal.SIGSTOP)
        looked = own.supervisor.supervision.children["echo"].watchdog
        assert looked is not None
        while not looked.wants_look(time.monotonic()):
            await own.health.check(CheckRequest())
        os.kill(before.pid, signal.SIGCONT)
        for _ in range(4):
            await beats.get()
        after = await own.serving()
        assert (after.pid, after.restarts) == (before.pid, 0)


LOOPING = script(
    "import asyncio, sys\n"
    "from host.member import Member\n"
    "from host.settings import load\n"
    "async def main():\n"
    "    async with Member(load(), 'looping') as member:\n"
    "        await member.ready()\n"
    "        await member.transport.flush()\n"
    "        while True: pass\n"
    "asyncio.run(main())\n"
)

STUCK = script(
    "import asyncio\n"
    "from host.member import Member\n"
    "from host.settings import load\n"
    "from host.watchdog import Pulse\n"
    "async def main():\n"
    "    async with Member(load(), 'stuck') as member:\n"
    "        member.heart.pulse = lambda: Pulse(steps=5, working=True)\n"
    "        await member.ready()\n"
    "        await asyncio.Event().wait()\n"
    "asyncio.run(main())\n"
)


async def test_a_process_whose_loop_never_returns_is_replaced(tmp_path: Path) -> None:
    async with hub(settings_of(tmp_path), looping=LOOPING) as own:
        after = await own.actor("looping", lambda actor: actor.restarts == 1)
        assert after.last_exit.startswith("killed: it told nothing for ")


async def test_a_process_that_beats_and_whose_engine_stands_still_is_replaced(tmp_path: Path) -> None:
    async with hub(settings_of(tmp_path), stuck=STUCK) as own:
        after = await own.actor("stuck", lambda actor: actor.restarts == 1)
        assert after.last_exit.startswith("killed: its engine has work and has not moved for 3.")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
async def test_the_bus_is_brought_back_and_no_actor_has_to_start_again(tmp_path: Path, number: signal.Signals) -> None:
    async with hub(settings_of(tmp_path), echo=ECHO) as own:
        before, pid = await own.serving(), own.server.pid
        back = asyncio.Event()
        own.transport.on_reconnect(back.set)
        os.kill(pid, number)
        await back.wait()
        assert own.server.pid not in (0, pid)
        while True:
            try:
                assert (await own.echo.echo(EchoRequest(text="trở lại"), timeout=1)).text == "trở lại"
                break
            except RpcError as error:
                assert error.reason in ("NO_RESPONDERS", "DEADLINE_EXCEEDED"), error
        after = await own.serving()
        assert (after.pid, after.process) == (before.pid, before.process)


async def test_a_bus_that_cannot_come_back_ends_the_hub_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: EmbeddedServer) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "server.conf")

    monkeypatch.setattr(EmbeddedServer, "restart", full)
    async with hub(settings_of(tmp_path), echo=ECHO) as own:
        await own.serving()
        os.kill(own.server.pid, signal.SIGKILL)
        with pytest.raises(HubFailed, match=r"ends again and again .could not be started: .*No space left"):
            await own.running


async def test_a_supervisor_that_fails_ends_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hub(settings_of(tmp_path), echo=ECHO) as own:
        await own.serving()
        monkeypatch.setattr(own.supervisor.supervision, "tick", None)
        with pytest.raises(HubFailed, match=r"The supervisor failed \(TypeError.*supervisor\.log"):
            await own.running


async def test_a_gateway_that_cannot_live_ends_the_hub_with_its_last_words(tmp_path: Path) -> None:
    dead = script("import sys; sys.exit('no such door')")
    async with hub(settings_of(tmp_path, max_restarts=0), gateway=dead, echo=ECHO) as own:
        with pytest.raises(HubFailed, match="no such door"):
            await own.running


# ---- a whole hub


async def test_a_hub_is_ready_when_gateway_and_actors_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = asyncio.Event()
    monkeypatch.setattr(process, "stop_requested", lambda **_: stop)
    monkeypatch.setattr(supervisor, "configure", lambda *_: None)
    ready: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(40):
        running = asyncio.create_task(
            supervisor.run(settings_of(tmp_path), ACTORS, doors=DOORS, ready=ready.set_result)
        )
        running.add_done_callback(lambda task: ready.cancel())
        addresses = await ready
        assert addresses.states == {"gateway": "serving", "echo": "serving"}
        assert (
            await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://{addresses.doors['http']}/healthz").status)
            == 200
        )
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
            await supervisor.run(settings_of(tmp_path), ACTORS, doors=DOORS, ready=lambda _: None)
        stop.set()
        assert await running == 0


async def test_a_port_that_is_taken_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "configure", lambda *_: None)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(HubFailed, match=f"127.0.0.1:{port}.*TROUPE_HTTP_PORT"):
        await supervisor.run(
            Settings(home=tmp_path), ACTORS, doors=[Door("http", "127.0.0.1", port)], ready=lambda _: None
        )
    server.close()
    await server.wait_closed()


async def test_an_unknown_actor_is_named_before_anything_starts(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, supervisor=SupervisorSettings(actors=["ehco"]))
    with pytest.raises(UnknownActor, match="Did you mean echo"):
        await supervisor.run(settings, ACTORS, doors=DOORS, ready=lambda _: None)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children with their parent on Linux")
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
async def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path, stopped: bool) -> None:
    text = (
        "import asyncio, pathlib, sys\n"
        "from host.supervisor import Supervisor\n"
        "from host.embedded import EmbeddedServer\n"
        "from host.settings import Settings\n"
        "async def main():\n"
        "    settings = Settings(home=pathlib.Path(sys.argv[1]))\n"
        "    async with EmbeddedServer(settings.home) as server:\n"
        "        commands = {'echo': [sys.executable, '-m', 'actors', 'echo']}\n"
        "        ready = lambda addresses: print('up', file=sys.stderr, flush=True)\n"
        "        await Supervisor(settings, commands, server=server, ready=ready).run(asyncio.Event())\n"
        "asyncio.run(main())\n"
    )
    async with asyncio.timeout(30):
        hub = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", text, str(tmp_path)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert hub.stderr is not None
        assert await hub.stderr.readline() == b"up\n"
        children = psutil.Process(hub.pid).children(recursive=True)
        assert len(children) == 2
        for child in children if stopped else ():
            child.suspend()
        hub.send_signal(signal.SIGKILL)
        await hub.communicate()
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, 10)
        assert alive == []
