"""A call on its way through a door, where the doors' own tests do not reach."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import grpc

from actors.echo import EchoActor
from bus import MethodInfo
from bus.channel import Channel
from bus.context import duration
from bus.protocol import PROTOCOL_VERSION, CallerProtocol
from bus.server import Server
from bus.testing.faults import HesitantTransport
from bus.transports import Message
from bus.transports.memory import MemoryBroker, MemoryTransport
from gateway.access import Principal
from gateway.relay import MAX_PENDING_BYTES, Opening, Relay
from troupe.chat.v1 import GenerateRequest
from troupe.echo.v1 import CollectRequest, CollectResponse, EchoService
from troupe.rpc.v1 import Frame, Open, Progress

PIECE = b"x" * 40_000
COLLECT = "/troupe.echo.v1.EchoService/Collect"
GENERATE = "troupe.chat.v1.ChatService/Generate"


async def test_a_client_that_claims_to_have_read_and_does_not_fills_no_memory() -> None:
    channel = Channel(MemoryTransport(MemoryBroker()))
    hub: Any = SimpleNamespace(channel=channel, locations=None)
    protocol = CallerProtocol("c", Open(initial_credit=1), 0.0)
    ready: list[Relay] = []
    relay = Relay(hub, protocol, EchoService.INFO.methods["Repeat"], Principal("local", None), ready.append)
    sequence = most = 0
    while not relay.closed and sequence < 2000:
        sequence += 1
        relay.grant(sequence + 1000, sequence)
        frame = Frame(call_id="c", epoch=1, sequence=sequence, payload=[PIECE])
        relay.deliver(Message("reply.p.c", frame.SerializeToString(), "control.q.c"), 0.0)
        most = max(most, relay.pending_bytes)
    assert relay.error is not None
    assert relay.error.reason == "CREDIT_EXCEEDED"
    assert most <= MAX_PENDING_BYTES + len(PIECE)
    assert relay.take()[-1].HasField("close")


async def test_what_a_draining_server_refuses_is_served_by_another_with_all_its_requests(
    gateway: Any, stage: Any
) -> None:
    leaving = HesitantTransport(MemoryTransport(stage.broker))
    server = Server(leaving)
    await server.add(EchoActor(), EchoService.INFO)
    draining = asyncio.create_task(server.drain(1.0))
    await leaving.leaving.wait()
    words = [str(number) for number in range(40)]

    def requests() -> Iterator[bytes]:
        for word in words:
            yield CollectRequest(text=word).SerializeToString()

    async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
        collect = channel.stream_unary(COLLECT, None, CollectResponse.FromString)
        while not leaving.caught.is_set():
            answer = await collect(requests())
            assert (answer.text, answer.count) == (" ".join(words), len(words))
    await draining


def _opening(seconds: float) -> Opening:
    asked = Open(protocol_version=PROTOCOL_VERSION, method=GENERATE, timeout=duration(seconds), resume_key=b"k" * 16)
    frame = Frame(call_id="c", open=asked)
    return Opening(frame, first=GenerateRequest(model="m").SerializeToString(), half_closed=True)


async def test_a_deadline_ends_a_call_whose_model_is_being_loaded(gateway: Any) -> None:
    async def resolve(method: MethodInfo, route: str) -> AsyncIterator[Progress]:
        yield Progress(state=Progress.STATE_LOADING)
        await asyncio.get_running_loop().create_future()

    gateway.channel.resolver = resolve
    relay = Relay.open(gateway.hub, _opening(0.2), Principal("local", None), lambda _: None)
    while not relay.closed:
        await relay.changed()
    assert relay.error is not None
    assert relay.error.reason == "DEADLINE_EXCEEDED"


async def test_a_client_that_leaves_before_its_call_has_begun_leaves_nothing_behind(gateway: Any) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def resolve(method: MethodInfo, route: str) -> AsyncIterator[Progress]:
        yield Progress(state=Progress.STATE_LOADING)
        asked.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    gateway.channel.resolver = resolve
    relay = Relay.open(gateway.hub, _opening(10.0), Principal("local", None), lambda _: None)
    await asked.wait()
    relay.leave()
    await ended.wait()
    assert relay.closed
    assert gateway.channel.open_calls == 0
