import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import StringValue

from actors.echo import EchoActor
from bus import RpcError, ServiceInfo, subjects
from bus.channel import Channel
from bus.testing.call_contract.serving import MIXED_HOLD, MIXED_SAY, MIXED_SERVICE
from bus.transports import Message, Transport
from bus.transports.memory import MemoryBroker, MemoryTransport
from host import registry, runner
from host.blobs import Blobs
from host.embedded import EmbeddedServer, connect
from host.jobs import Jobs
from host.liveness import Appeared, Change, Changed, Lost, Presence
from host.member import Member
from host.runner import UnfitActor
from host.settings import Settings, SettingsError, SupervisorSettings, hand_down
from store import Events, Queues, Store, Tables
from troupe.echo.v1 import EchoRequest, EchoServiceClient, FailRequest, RepeatRequest, RepeatResponse
from troupe.embedding.v1 import EmbeddingService, EmbeddingServiceClient, EmbedRequest, EmbedResponse
from troupe.health.v1 import CheckRequest, CheckResponse, HealthService


class PickySettings(msgspec.Struct, frozen=True):
    greeting: str = "chào"


class PickyActor(EchoActor):
    """Asks for everything there is, and notes its life."""

    made: ClassVar[list["PickyActor"]] = []

    def __init__(
        self,
        settings: PickySettings,
        hub_settings: Settings,
        channel: Channel,
        transport: Transport,
        home: Path,
        member: Member,
        store: Store,
        events: Events,
        table: Tables,
        queue: Queues,
        blobs: Blobs,
        jobs: Jobs,
        presence: Presence,
        spare: int = 7,
    ) -> None:
        self.got = (settings, hub_settings, channel, transport, home, member, spare)
        self.presence = presence
        self.lasting = (store, events, table, queue, blobs, jobs)
        self.life: list[str] = []
        self.made.append(self)

    async def start(self) -> None:
        self.life.append("started")

    async def stop(self) -> None:
        self.life.append("stopped")


class ContextActor(EchoActor):
    entered = asyncio.Event()
    left = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.entered.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left.set()


class TwoServices(EchoActor, HealthService):
    async def check(self, request: CheckRequest, ctx: Any) -> CheckResponse:
        return CheckResponse()


class Nothing:
    """Serves nothing."""


class Greedy(EchoActor):
    def __init__(self, moon: object) -> None:
        self.moon = moon


class Bare(EchoActor):
    def __init__(self, settings: Any) -> None:
        self.settings = settings


class Endless(EchoActor):
    """Has calls that last until it is told to leave."""

    def __init__(self) -> None:
        self._left = asyncio.Event()

    def leave(self) -> None:
        self._left.set()

    async def repeat(self, request: RepeatRequest, ctx: Any) -> AsyncIterator[RepeatResponse]:
        yield RepeatResponse(index=0)
        await self._left.wait()


class Unrouted(EchoActor, EmbeddingService):
    """Serves a routed service and does not say where."""


class Routed(Unrouted):
    def routes(self, service: ServiceInfo) -> list[str]:
        assert service is EmbeddingService.INFO
        return ["small", "large"]

    async def embed(self, request: EmbedRequest, ctx: Any) -> AsyncIterator[EmbedResponse]:
        yield EmbedResponse(tokens=len(request.model))


class MixedService:
    INFO: ClassVar[ServiceInfo] = MIXED_SERVICE


class Mixed(EchoActor, MixedService):
    def routes(self, service: ServiceInfo) -> list[str]:
        return ["small"]

    async def say(self, request: StringValue, ctx: Any) -> StringValue:
        return StringValue(value=f"routed {request.value}")

    async def hold(self, request: StringValue, ctx: Any) -> StringValue:
        return StringValue(value=f"not routed {request.value}")


HERE = {
    kind.__name__.lower(): kind
    for kind in (PickyActor, ContextActor, TwoServices, Nothing, Greedy, Bare, Endless, Unrouted, Routed, Mixed)
}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes of this file in place of the registry's: a test file has no import name of its own."""
    monkeypatch.setattr(registry, "find", lambda name, actors: HERE.get(name, EchoActor))


class Run:
    """An actor that runs in this process on the memory transport."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.broker = MemoryBroker()
        self.stop = asyncio.Event()
        self.presence = Presence(MemoryTransport(self.broker))
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.channel = Channel(MemoryTransport(self.broker, "caller-1"))
        self._run = runner.run(
            name, settings, self.stop, actors={}, transport=MemoryTransport(self.broker, f"{name}-1")
        )

    async def __aenter__(self) -> Self:
        self.presence.subscribe(self.changes.put_nowait)
        await self.presence.start()
        self.task = asyncio.create_task(self._run)
        while not self.presence.serving("troupe.echo.v1.EchoService"):
            change = asyncio.create_task(self.changes.get())
            await asyncio.wait({change, self.task}, return_when=asyncio.FIRST_COMPLETED)
            if self.task.done():
                change.cancel()
                await self.task
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await self.task
        await self.channel.close()
        await self.presence.stop()


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Settings]:
    async with asyncio.timeout(30):
        yield Settings(home=tmp_path, supervisor=SupervisorSettings(drain_seconds=5))


async def test_an_actor_serves_the_services_it_inherits(settings: Settings) -> None:
    async with Run(settings, "twoservices") as run:
        assert (await EchoServiceClient(run.channel).echo(EchoRequest(text="chào"))).text == "chào"
        assert run.presence.serving("troupe.health.v1.HealthService")


async def test_an_actor_gets_what_its_constructor_asks_for_by_name(settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, actors={"pickyactor": {"greeting": "xin chào"}})
    async with Run(settings, "pickyactor"):
        actor = PickyActor.made[-1]
        own, hub, channel, transport, home, member, spare = actor.got
        assert own == PickySettings("xin chào")
        assert (hub, home, spare) == (settings, settings.home, 7)
        assert (channel, transport, actor.presence) == (member.channel, member.transport, member.presence)
        store = member.store
        assert actor.lasting == (store, store.events, store.table, store.queue, member.blobs, member.jobs)
        assert actor.life == ["started"]
    assert actor.life == ["started", "stopped"]


async def test_an_actor_that_is_an_async_context_is_entered_and_left(settings: Settings) -> None:
    async with Run(settings, "contextactor"):
        assert ContextActor.entered.is_set()
        assert not ContextActor.left.is_set()
    assert ContextActor.left.is_set()


async def test_an_actor_serves_a_routed_service_under_the_routes_it_says(settings: Settings) -> None:
    async with Run(settings, "routed") as run:
        client = EmbeddingServiceClient(run.channel)
        for route in ("small", "large"):
            answers = [answer async for answer in client.embed(EmbedRequest(model=route))]
            assert [answer.tokens for answer in answers] == [5]
        assert run.presence.routes(EmbeddingService.INFO.name) == ["large", "small"]
        assert (await EchoServiceClient(run.channel).echo(EchoRequest(text="x"))).text == "x"


async def test_an_actor_serves_what_is_routed_under_its_routes_and_the_rest_for_all(settings: Settings) -> None:
    async with Run(settings, "mixed") as run:
        small = StringValue(value="small")
        assert (await run.channel.unary(MIXED_SAY, small)).value == "routed small"
        assert (await run.channel.unary(MIXED_HOLD, small)).value == "not routed small"
        with pytest.raises(RpcError, match="NO_RESPONDERS"):
            await run.channel.unary(MIXED_SAY, StringValue(value="large"))


async def test_presence_sees_it_start_serve_drain_and_leave(settings: Settings) -> None:
    run = Run(settings, "echo")
    states = []
    run.presence.subscribe(lambda change: states.append((type(change), change.seen.state)))
    async with run:
        pass
    assert states[0] in [(Appeared, "starting"), (Appeared, "serving")]
    assert (Changed, "draining") in states
    assert states[-1][0] is Lost


async def test_running_calls_may_end_and_new_ones_are_refused_while_it_drains(settings: Settings) -> None:
    async with Run(settings, "echo") as run:
        client = EchoServiceClient(run.channel)
        responses = aiter(client.repeat(RepeatRequest(count=30, interval=Duration(nanos=10_000_000))))
        assert (await anext(responses)).index == 0
        run.stop.set()
        while not any(seen.state == "draining" for seen in run.presence.processes.values()):
            await run.changes.get()
        with pytest.raises(RpcError) as caught:
            await client.fail(FailRequest(code=5))
        assert caught.value.reason in ("NO_RESPONDERS", "SHUTTING_DOWN")
        assert [response.index async for response in responses] == list(range(1, 30))


async def test_an_actor_is_told_to_leave_before_its_endless_calls_are_waited_for(settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, supervisor=SupervisorSettings(drain_seconds=1000))
    async with Run(settings, "endless") as run:
        responses = aiter(EchoServiceClient(run.channel).repeat(RepeatRequest(count=1)))
        await anext(responses)
        run.stop.set()
        assert [response async for response in responses] == []


async def test_a_call_that_outlasts_the_drain_ends_as_interrupted(settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, supervisor=SupervisorSettings(drain_seconds=0.05))
    async with Run(settings, "echo") as run:
        responses = aiter(EchoServiceClient(run.channel).repeat(RepeatRequest(count=10, interval=Duration(seconds=50))))
        await anext(responses)
        run.stop.set()
        with pytest.raises(RpcError) as caught:
            await anext(responses)
        assert caught.value.reason == "INTERRUPTED"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "serves nothing"),
        ("greedy", "'moon'"),
        ("bare", "msgspec.Struct"),
        ("unrouted", r"routed by the field 'model': .*def routes"),
    ],
)
async def test_a_class_that_is_no_actor_is_told_why(settings: Settings, name: str, message: str) -> None:
    with pytest.raises(UnfitActor, match=message):
        await runner.run(name, settings, asyncio.Event(), actors={}, transport=MemoryTransport(MemoryBroker()))


async def test_a_wrong_key_in_its_section_is_named(settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, actors={"pickyactor": {"greting": "x"}})
    with pytest.raises(SettingsError, match="Did you mean greeting"):
        await runner.run("pickyactor", settings, asyncio.Event(), actors={}, transport=MemoryTransport(MemoryBroker()))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"pickyacter": {"greeting": "x"}}, "Did you mean pickyactor"),
        ({"pickyactor": {"greting": "x"}}, "Did you mean greeting"),
        ({"pickyactor": {"greeting": ["x"]}}, "greeting: .* is not allowed"),
        ({"twoservices": {"greeting": "x"}}, "has no settings"),
    ],
)
def test_a_wrong_section_is_told_of_before_its_actor_runs(section: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        runner.check_settings(Settings(actors=section), dict.fromkeys(HERE, ""))


def test_a_right_section_is_let_pass() -> None:
    settings = Settings(actors={"pickyactor": {"greeting": "x"}, "twoservices": {}})
    runner.check_settings(settings, dict.fromkeys(HERE, ""))


# ---- as a process on a real server


class Process:
    """`python -m actors echo` on the server of a home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def __aenter__(self) -> Self:
        self.server = await EmbeddedServer(self.settings.home).__aenter__()
        self.transport = await connect(self.settings, "caller")
        self.presence = Presence(self.transport)
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.presence.subscribe(self.changes.put_nowait)
        await self.presence.start()
        self.channel = Channel(self.transport)
        self.client = EchoServiceClient(self.channel)
        environment = {**os.environ, **hand_down(self.settings, self.settings.home / "settings.json")}
        self.child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "actors", "echo", env=environment, stderr=asyncio.subprocess.PIPE
        )
        while not self.presence.serving("troupe.echo.v1.EchoService"):
            await self.changes.get()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.child.returncode is None:
            self.child.kill()
        await self.child.communicate()
        await self.channel.close()
        await self.presence.stop()
        await self.transport.close()
        await self.server.stop()

    async def asked(self, subject: str) -> dict[str, Any]:
        """The first answer to a plain question on the bus."""
        answers: asyncio.Queue[Message] = asyncio.Queue()
        inbox = subjects.reply(self.transport.process, "question")
        subscription = await self.transport.subscribe(inbox, answers.put_nowait)
        self.transport.publish(subject, b"", inbox)
        answer = await answers.get()
        await subscription.unsubscribe()
        decoded: dict[str, Any] = json.loads(answer.payload)
        return decoded


async def test_sigterm_lets_a_running_stream_end_before_the_process_does(settings: Settings) -> None:
    async with Process(settings) as process:
        request = RepeatRequest(count=40, interval=Duration(nanos=10_000_000))
        responses = aiter(process.client.repeat(request))
        assert (await anext(responses)).index == 0
        process.child.send_signal(signal.SIGTERM)
        assert [response.index async for response in responses] == list(range(1, 40))
        assert await process.child.wait() == 0


async def test_natss_own_tools_see_the_process(settings: Settings) -> None:
    async with Process(settings) as process:
        await process.client.echo(EchoRequest(text="chào"))
        (name,) = [seen.process for seen in process.presence.actors()["echo"]]
        ping = await process.asked("$SRV.PING")
        assert (ping["name"], ping["id"], ping["type"]) == ("echo", name, "io.nats.micro.v1.ping_response")
        info = await process.asked("$SRV.INFO.echo")
        assert {"name", "subject", "queue_group", "metadata"} <= info["endpoints"][0].keys()
        assert "rpc.troupe.echo.v1.EchoService.Echo" in [endpoint["subject"] for endpoint in info["endpoints"]]
        statistics = await process.asked(f"$SRV.STATS.echo.{name}")
        (echo,) = [entry for entry in statistics["endpoints"] if entry["subject"].endswith(".Echo")]
        assert (echo["num_requests"], echo["num_errors"]) == (1, 0)
        assert echo["average_processing_time"] > 0


async def test_a_name_nobody_has_ends_with_the_nearest_one() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "actors", "ehco", stderr=asyncio.subprocess.PIPE)
    _, errors = await child.communicate()
    assert child.returncode == 1
    assert b"Did you mean echo" in errors
    assert b"Traceback" not in errors


async def test_without_a_bus_the_process_ends_with_one_sentence(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "actors", "echo"),
        env={**os.environ, "TROUPE_HOME": str(tmp_path), "NATS_URL": ""},
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await child.communicate()
    assert child.returncode == 1
    assert b"troupe up" in errors
    assert b"Traceback" not in errors
