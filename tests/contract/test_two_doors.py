"""One call at two doors: opened at one gateway, lost there, and continued at another."""

import asyncio
from typing import Any

from google.protobuf.duration_pb2 import Duration

from actors.echo import EchoActor
from bus import RpcError
from bus.protocol import PROTOCOL_VERSION
from troupe.echo.v1 import EchoService, RepeatRequest, RepeatResponse
from troupe.rpc.v1 import Credit, Frame, Open, Resume
from troupe_client.patience import Deadline
from troupe_client.resume import Position

REPEAT = EchoService.INFO.methods["Repeat"]
COUNT = 400
KEY = b"0123456789abcdef"
WINDOW = 32


def opening(call_id: str) -> Frame:
    open_ = Open(
        protocol_version=PROTOCOL_VERSION, method=REPEAT.full_name, resume_key=KEY, initial_credit=WINDOW
    )  # fmt: skip
    payload = [RepeatRequest(count=COUNT).SerializeToString()]
    return Frame(call_id=call_id, open=open_, payload=payload, sequence=1, half_close=True)


def resuming(call_id: str, epoch: int, after: int) -> Frame:
    return Frame(
        call_id=call_id, epoch=epoch, sequence=1, resume=Resume(after=after, resume_key=KEY, granted=COUNT + 9)
    )


def indexes(payloads: Any) -> list[int]:
    return [RepeatResponse.FromString(payload).index for payload in payloads]


async def begun(socket: Any, call_id: str) -> tuple[int, list[int]]:
    """The epoch of a call that is opened, and what has come of it: all that the window lets through."""
    await socket.send(opening(call_id))
    epoch, received = 0, list[int]()
    while len(received) < WINDOW:
        frame = await socket.receive()
        received += indexes(frame.payload)
        epoch = frame.epoch
    return epoch, received


async def continued_over_grpc(channel: Any, call_id: str, epoch: int, after: int) -> list[int]:
    """The rest of a call, asked for at the gRPC door."""
    position = Position()
    position.key, position.call_id, position.epoch, position.after = KEY, call_id, str(epoch), after
    await channel.ready()
    call = channel.open_stream(REPEAT, b"", Deadline(None), None, position.resuming())
    return indexes([payload async for payload in call])


async def test_opened_over_the_websocket_and_lost_it_goes_on_at_another_gateway(town: Any) -> None:
    await town.serve(EchoActor(), EchoService.INFO)
    one, two = await town.gate(), await town.gate()
    async with one.socket() as socket:
        epoch, received = await begun(socket, "lost")
    async with two.socket() as socket:
        await socket.send(resuming("lost", epoch, received[-1] + 1))
        payloads, last = await socket.until_close("lost")
    assert received + indexes(payloads) == list(range(COUNT))
    assert last.epoch == epoch


async def test_opened_over_the_websocket_it_goes_on_over_grpc_though_the_first_gateway_has_ended(town: Any) -> None:
    await town.serve(EchoActor(), EchoService.INFO)
    one, two = await town.gate(), await town.gate()
    async with one.socket() as socket:
        epoch, received = await begun(socket, "across")
        await one.close()
    rest = await continued_over_grpc(await town.caller(two), "across", epoch, received[-1] + 1)
    assert received + rest == list(range(COUNT))


async def test_opened_over_grpc_it_goes_on_at_the_second_gateways_grpc_door(town: Any) -> None:
    await town.serve(EchoActor(), EchoService.INFO)
    one, two = await town.gate(), await town.gate()
    first, second = await town.caller(one), await town.caller(two)
    position = Position()
    position.key = KEY
    await first.ready()
    request = RepeatRequest(count=COUNT, interval=Duration(nanos=1_000_000)).SerializeToString()
    call = first.open_stream(REPEAT, request, Deadline(None), None, position.opening())
    position.begun(await call.initial_metadata())
    received = indexes([await call.read() for _ in range(50)])
    await one.close()
    rest = await continued_over_grpc(second, position.call_id, int(position.epoch), 50)
    assert received + rest == list(range(COUNT))


async def test_two_clients_of_one_call_are_one_too_many_and_the_later_one_has_it(town: Any) -> None:
    await town.serve(EchoActor(), EchoService.INFO)
    one, two = await town.gate(), await town.gate()
    async with one.socket() as first, two.socket() as second:
        epoch, received = await begun(first, "both")
        await second.send(resuming("both", epoch, received[-1] + 1))
        rest, _ = await second.until_close("both")
        assert received + indexes(rest) == list(range(COUNT))
        _, last = await first.until_close("both")
        assert RpcError.from_status(last.close.status).reason == "RESUMED_ELSEWHERE"


async def test_two_calls_of_two_clients_at_two_gateways_do_not_touch_each_other(town: Any) -> None:
    await town.serve(EchoActor(), EchoService.INFO)
    one, two = await town.gate(), await town.gate()
    async with one.socket() as first, two.socket() as second:
        (_, mine), (_, theirs) = await asyncio.gather(begun(first, "mine"), begun(second, "theirs"))
        assert mine == theirs == list(range(WINDOW))
        await one.close()
        await second.send(Frame(call_id="theirs", credit=Credit(granted=COUNT + 9, consumed=WINDOW)))
        rest, last = await second.until_close("theirs")
        assert theirs + indexes(rest) == list(range(COUNT))
        assert last.close.status.code == 0
