"""A call on its way through a door, where the doors' own tests do not reach."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from types import SimpleNamespace
from typing import Any

import grpc

from actors.echo import EchoActor
from bus import Metadata, MethodInfo
from bus.channel import Channel
from bus.context import duration
from bus.protocol import PROTOCOL_VERSION, CallerProtocol
from bus.server import Server
from bus.testing.faults import HesitantTransport
from bus.transports import Message
from bus.transports.memory import MemoryBroker, MemoryTransport
from gateway.access import LOCAL
from gateway.opening import Opening
from gateway.relay import MAX_PENDING_BYTES, Relay
from troupe.chat.v1 import GenerateRequest
from troupe.echo.v1 import CollectRequest, CollectResponse, EchoService
from troupe.rpc.v1 import Close, Credit, Frame, Open, Progress

PIECE = b"x" * 40_000
COLLECT = "/troupe.echo.v1.EchoService/Collect"
GENERATE = "troupe.chat.v1.ChatService/Generate"


async def test_a_client_that_claims_to_have_read_and_does_not_fills_no_memory() -> None:
    channel = Channel(MemoryTransport(MemoryBroker()))
    hub: Any = SimpleNamespace(channel=channel, locations=None)
    protocol = CallerProtocol("c", Open(initial_credit=1), 0.0)
    ready: list[Relay] = []
    relay = Relay(hub, protocol, EchoService.INFO.methods["Repeat"], LOCAL, ready.append)
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
    taken: list[Frame | bytes] = []
    while relay.has_more:
        taken += relay.take()
    last = taken[-1]
    assert isinstance(last, Frame)
    assert last.HasField("close")


async def test_what_a_draining_server_refuses_is_served_by_another_with_all_its_requests(
    gateway: Any, hall: Any
) -> None:
    leaving = HesitantTransport(MemoryTransport(hall.broker))
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
    async def resolve(method: MethodInfo, route: str, metadata: Metadata) -> AsyncGenerator[Progress, None]:
        yield Progress(state=Progress.STATE_LOADING)
        await asyncio.get_running_loop().create_future()

    gateway.channel.resolver = resolve
    relay = Relay.open(gateway.hub, _opening(0.2), LOCAL, lambda _: None)
    while not relay.closed:
        await relay.changed()
    assert relay.error is not None
    assert relay.error.reason == "DEADLINE_EXCEEDED"


async def test_a_client_that_leaves_before_its_call_has_begun_leaves_nothing_behind(gateway: Any) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def resolve(method: MethodInfo, route: str, metadata: Metadata) -> AsyncGenerator[Progress, None]:
        yield Progress(state=Progress.STATE_LOADING)
        asked.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    gateway.channel.resolver = resolve
    relay = Relay.open(gateway.hub, _opening(10.0), LOCAL, lambda _: None)
    await asked.wait()
    relay.leave()
    await ended.wait()
    assert relay.closed
    assert GENERATE not in [call.method.full_name for call in gateway.channel.calls]


def _accepted(gateway: Any, *, binary: bool) -> Relay:
    protocol = CallerProtocol("c", Open(initial_credit=100), 0.0)
    method = EchoService.INFO.methods["Repeat"]
    relay = Relay(gateway.hub, protocol, method, LOCAL, lambda _: None, binary=binary)
    relay.deliver(_answer(Frame(call_id="c", epoch=1, credit=Credit(granted=16))), 0.0)
    relay.take()
    return relay


def _answer(frame: Frame) -> Message:
    return Message("reply.p.c", frame.SerializeToString(), "control.q.c")


def _data(sequence: int, *payload: bytes, **fields: Any) -> Frame:
    return Frame(call_id="c", epoch=1, sequence=sequence, payload=payload, **fields)


async def test_a_frame_of_payloads_goes_on_as_it_came(gateway: Any) -> None:
    relay, frame = _accepted(gateway, binary=True), _data(2, b"a", b"b")
    relay.deliver(_answer(frame), 0.0)
    assert relay.take() == [frame.SerializeToString()]
    assert not relay.has_more


async def test_a_client_that_reads_text_gets_frames(gateway: Any) -> None:
    relay, frame = _accepted(gateway, binary=False), _data(2, b"a", b"b")
    relay.deliver(_answer(frame), 0.0)
    assert relay.take() == [frame]


async def test_what_comes_a_second_time_is_cut_out(gateway: Any) -> None:
    relay = _accepted(gateway, binary=True)
    relay.deliver(_answer(_data(2, b"a", b"b")), 0.0)
    relay.take()
    relay.deliver(_answer(_data(3, b"b", b"c")), 0.0)
    assert relay.take() == [_data(3, b"c")]


async def test_the_end_rides_on_the_last_frame_and_is_written_once(gateway: Any) -> None:
    for binary in (True, False):
        relay = _accepted(gateway, binary=binary)
        relay.deliver(_answer(_data(1, b"a")), 0.0)
        relay.deliver(_answer(_data(2, b"b", close=Close(trailers={"k": "v"}))), 0.0)
        frames = []
        while relay.has_more:
            assert not relay.delivered
            frames += [Frame.FromString(one) if isinstance(one, bytes) else one for one in relay.take()]
        assert relay.delivered
        assert [payload for frame in frames for payload in frame.payload] == [b"a", b"b"]
        assert [frame.HasField("close") for frame in frames][-1]
        assert frames[-1].close.trailers == {"k": "v"}
        assert (frames[-1].sequence, frames[-1].epoch) == (2, 1)


async def test_a_control_does_not_claim_what_still_waits(gateway: Any) -> None:
    relay = _accepted(gateway, binary=True)
    for number in range(1, 4):
        relay.deliver(_answer(_data(number, PIECE)), 0.0)
    relay.deliver(_answer(Frame(call_id="c", epoch=1, sequence=3, credit=Credit(granted=20))), 0.0)
    data, credit = relay.take()
    assert isinstance(data, bytes)
    assert isinstance(credit, Frame)
    assert (Frame.FromString(data).sequence, credit.sequence, credit.credit.granted) == (1, 1, 20)
