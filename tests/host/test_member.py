import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import StringValue

from actors.echo import EchoActor
from bus import RpcError, ServiceInfo, subjects
from bus.channel import Channel
from bus.testing.hall import LEND, PROBE, SAY, Probe
from bus.transports import Message
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.waiting import STRANGER_SECONDS
from host.embedded import connect
from host.liveness import LOST_SECONDS, Presence
from host.member import Member
from host.metrics import gather
from host.questions import respond
from host.settings import BusSettings, Settings, SupervisorSettings
from troupe.echo.v1 import EchoRequest, EchoService, EchoServiceClient, FailRequest, RepeatRequest

_ECHO = EchoService.INFO.methods["Echo"]
ROUTED = ServiceInfo(_ECHO.service, [replace(_ECHO, policy=replace(_ECHO.policy, route_by="text"))])
"""As if what is said back were what it is routed by."""


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
async def member(broker: MemoryBroker, tmp_path: Path) -> AsyncIterator[Member]:
    settings = Settings(home=tmp_path, supervisor=SupervisorSettings(drain_seconds=1))
    async with asyncio.timeout(10), Member(settings, "echo", transport=MemoryTransport(broker, "echo-1")) as member:
        await member.serve(EchoActor(), ROUTED, route="lối đi")
        yield member


async def asked(broker: MemoryBroker, subject: str) -> dict[str, Any] | None:
    """The answer to a plain question; None where nobody listens."""
    transport, answers = MemoryTransport(broker), asyncio.Queue[Message]()
    await transport.subscribe("inbox", answers.put_nowait)
    transport.publish(subject, b"", "inbox")
    answer = await answers.get()
    decoded: dict[str, Any] | None = None if answer.no_responders else json.loads(answer.payload)
    return decoded


async def test_a_member_is_heard_with_its_routes_once_it_is_ready(broker: MemoryBroker, member: Member) -> None:
    presence = Presence(MemoryTransport(broker))
    await presence.start()
    served, changed = EchoService.INFO.name, asyncio.Event()
    presence.subscribe(lambda _: changed.set())
    await member.ready()
    await changed.wait()
    assert presence.routes(served) == ["lối đi"]
    await presence.stop()


async def test_calls_to_a_member_are_measured(broker: MemoryBroker, member: Member) -> None:
    channel = Channel(MemoryTransport(broker))
    echo = ROUTED.methods["Echo"]
    call = await channel.open(echo, "lối đi")
    await call.send(EchoRequest(text="chào").SerializeToString())
    call.half_close()
    assert len([payload async for payload in call]) == 1
    page = await gather(MemoryTransport(broker), timeout=5, expected=1)
    assert (
        b'troupe_calls_total{actor="echo",code="OK",method="troupe.echo.v1.EchoService/Echo",process="echo-1"' in page
    )
    assert b"troupe_calls_open" in page
    await channel.close()


async def test_a_member_is_announced_while_it_is_ready_and_no_longer(broker: MemoryBroker, member: Member) -> None:
    assert await asked(broker, "$SRV.PING") is None
    await member.ready()
    for subject in ("$SRV.PING", "$SRV.PING.echo", "$SRV.PING.echo.echo-1"):
        answer = await asked(broker, subject)
        assert answer is not None
        assert (answer["name"], answer["id"]) == ("echo", "echo-1")
    info = await asked(broker, "$SRV.INFO.echo")
    assert info is not None
    assert subjects.call(EchoService.INFO.name, "Echo", "lối đi") in [entry["subject"] for entry in info["endpoints"]]
    await member.drain(0)
    assert await asked(broker, "$SRV.PING.echo") is None


async def test_statistics_count_calls_errors_and_time(broker: MemoryBroker, tmp_path: Path) -> None:
    async with asyncio.timeout(10):
        async with Member(Settings(home=tmp_path), "echo", transport=MemoryTransport(broker, "echo-1")) as member:
            await member.serve(EchoActor(), EchoService.INFO)
            await member.ready()
            channel = Channel(MemoryTransport(broker))
            with pytest.raises(RpcError):
                await EchoServiceClient(channel).fail(FailRequest(code=5, reason="LOST_IT"))
            answer = await asked(broker, "$SRV.STATS.echo")
            assert answer is not None
            (fail,) = [entry for entry in answer["endpoints"] if entry["subject"].endswith(".Fail")]
            assert (fail["num_requests"], fail["num_errors"], fail["last_error"]) == (1, 1, "LOST_IT")
            await channel.close()


async def test_a_member_waits_for_what_is_being_started_and_not_for_what_nobody_serves(
    broker: MemoryBroker, member: Member, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, supervisor=SupervisorSettings(drain_seconds=0))
    echo, heard = EchoServiceClient(member.channel), asyncio.Event()
    member.presence.subscribe(lambda change: heard.set() if change.seen.actor == "supervisor" else None)
    await member.ready()
    async with Member(settings, "supervisor", transport=MemoryTransport(broker, "supervisor-1")) as supervisor:
        awaited = ["late"]
        supervisor.heart.awaits = lambda: awaited
        await supervisor.ready()
        await heard.wait()
        waiting = asyncio.create_task(echo.echo(EchoRequest(text="chào")))
        await asyncio.wait([waiting], timeout=STRANGER_SECONDS * 1.5)
        assert not waiting.done()
        async with Member(settings, "late", transport=MemoryTransport(broker, "late-1")) as late:
            await late.serve(EchoActor(), EchoService.INFO)
            await late.ready()
            assert (await waiting).text == "chào"
            awaited.clear()
            heard.clear()
            supervisor.heart.tell()
            await heard.wait()
            with pytest.raises(RpcError, match="No actor of this hub serves ProbeService"):
                await member.channel.unary(SAY, StringValue())


async def test_a_call_that_ends_with_its_caller_ends_when_its_heartbeats_are_missed(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, supervisor=SupervisorSettings(drain_seconds=0))
    lender = Probe()
    async with asyncio.timeout(20), Member(settings, "gpu", transport=MemoryTransport(broker, "gpu-1")) as member:
        await member.serve(lender, PROBE)
        async with Member(settings, "llama", transport=MemoryTransport(broker, "llama-1")) as holder:
            call = await holder.channel.open(LEND)
            await call.send(StringValue().SerializeToString())
            await anext(call)
            assert lender.contexts[0].peer == "llama-1"
            assert not lender.cancelled.is_set()
            assert holder.heart._task is not None
            holder.heart._task.cancel()  # it hangs
            began = asyncio.get_running_loop().time()
            await lender.cancelled.wait()
            assert asyncio.get_running_loop().time() - began < 2 * LOST_SECONDS


async def test_leaving_ends_what_runs_within_its_time(broker: MemoryBroker, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, supervisor=SupervisorSettings(drain_seconds=0))
    async with asyncio.timeout(10):
        channel = Channel(MemoryTransport(broker))
        async with Member(settings, "echo", transport=MemoryTransport(broker, "echo-1")) as member:
            await member.serve(EchoActor(), EchoService.INFO)
            responses = aiter(EchoServiceClient(channel).repeat(RepeatRequest(count=9, interval=Duration(seconds=60))))
            await anext(responses)
        with pytest.raises(RpcError) as caught:
            await anext(responses)
        assert caught.value.reason in ("INTERRUPTED", "PEER_LOST")
        await channel.close()


async def test_what_is_withdrawn_is_neither_served_nor_told_of_any_more(broker: MemoryBroker, member: Member) -> None:
    presence, changed = Presence(MemoryTransport(broker)), asyncio.Event()
    presence.subscribe(lambda _: changed.set())
    await presence.start()
    await member.serve(EchoActor(), ROUTED, route="b")
    await member.ready()
    while presence.routes(EchoService.INFO.name) != ["b", "lối đi"]:
        changed.clear()
        await changed.wait()
    await member.withdraw(ROUTED, "lối đi")
    while presence.routes(EchoService.INFO.name) != ["b"]:
        changed.clear()
        await changed.wait()
    info = await asked(broker, "$SRV.INFO.echo")
    assert info is not None
    assert {entry["metadata"]["route"] for entry in info["endpoints"]} == {"b"}
    channel, echo = Channel(MemoryTransport(broker)), ROUTED.methods["Echo"]
    for route, reason in (("b", ""), ("lối đi", "NO_RESPONDERS")):
        call = await channel.open(echo, route)
        await call.send(EchoRequest(text="x").SerializeToString())
        call.half_close()
        try:
            assert [payload async for payload in call]
            found = ""
        except RpcError as error:
            found = error.reason
        assert found == reason
    await channel.close()
    await presence.stop()


async def test_without_a_bus_joining_says_so(tmp_path: Path) -> None:
    with pytest.raises(RpcError) as caught:
        async with Member(Settings(home=tmp_path), "echo"):
            pass
    assert caught.value.reason == "BUS_UNREACHABLE"


async def test_a_bus_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    bus = BusSettings(url="nats://troupe:sesame@127.0.0.1:1")
    with pytest.raises(RpcError, match=r"127\.0\.0\.1:1") as caught:
        await connect(Settings(home=tmp_path, bus=bus), "echo", timeout=0.3)
    assert "sesame" not in str(caught.value)


async def test_a_question_without_a_reply_subject_is_not_answered(broker: MemoryBroker) -> None:
    transport = MemoryTransport(broker)
    made: list[bytes] = []
    answered = asyncio.Event()

    def answer() -> bytes:
        made.append(b"")
        answered.set()
        return b"42"

    await respond(transport, "question", answer)
    transport.publish("question", b"")
    transport.publish("question", b"", "inbox")
    async with asyncio.timeout(5):
        await answered.wait()
    assert len(made) == 1
