"""What the doors tell of themselves, while somebody is there and afterwards."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import grpc
import websockets

from bus.testing.hall import until
from gateway.access import LOCAL, Pass
from gateway.codec import BinaryForm
from gateway.door_call import DoorCall
from gateway.gauges import Doors
from gateway.opening import Opening
from gateway.websocket import Connection
from host.metrics import Metrics
from troupe.echo.v1 import RepeatRequest, RepeatResponse
from troupe.rpc.v1 import Frame

REPEAT = "/troupe.echo.v1.EchoService/Repeat"


class Client:
    def __init__(self, waiting_bytes: int) -> None:
        self.waiting_bytes = waiting_bytes


def samples(metrics: Metrics) -> set[str]:
    return {line for line in metrics.text().decode().splitlines() if line.startswith("troupe_")}


def test_a_scrape_counts_what_is_open_and_what_waits() -> None:
    metrics, doors = Metrics("gateway-1", "gateway"), Doors()
    doors.tell(metrics)
    slow, quick = Client(70), Client(0)
    names = 'actor="gateway",process="gateway-1"'
    with doors.websocket.holding(slow), doors.websocket.holding(quick), doors.http.holding(quick):
        told = samples(metrics)
    for sample in (
        f"troupe_websocket_connections{{{names}}} 2.0",
        f"troupe_grpc_calls{{{names}}} 0.0",
        f"troupe_http_streams{{{names}}} 1.0",
        'troupe_waiting_bytes{actor="gateway",door="websocket",process="gateway-1"} 70.0',
        'troupe_waiting_bytes{actor="gateway",door="http",process="gateway-1"} 0.0',
    ):
        assert sample in told
    assert 'troupe_waiting_bytes{actor="gateway",door="websocket",process="gateway-1"} 0.0' in samples(metrics)


async def test_connections_and_calls_are_counted_for_as_long_as_they_last(gateway: Any) -> None:
    doors = gateway.hub.doors
    async with asyncio.timeout(10):
        async with websockets.connect(gateway.websocket_url, proxy=None):
            await until(lambda: doors.websocket.count() == 1)
        await until(lambda: doors.websocket.count() == 0)
        async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
            repeat = channel.unary_stream(REPEAT, None, RepeatResponse.FromString)
            call = repeat(RepeatRequest(count=1_000_000, text="a").SerializeToString())
            await call.read()
            assert doors.grpc.count() == 1
            assert doors.grpc.waiting_bytes() >= 0
            call.cancel()
            await until(lambda: doors.grpc.count() == 0)


def test_what_waits_on_a_connection_is_what_its_calls_have_for_the_client(gateway: Any) -> None:
    socket: Any = None
    connection = Connection(socket, gateway.hub, Pass(LOCAL, "", time.time), BinaryForm())
    for number, relay in enumerate((SimpleNamespace(pending_bytes=5), SimpleNamespace(pending_bytes=9), None)):
        call = DoorCall(f"c{number}", BinaryForm(), Opening(Frame()), gateway.hub.limits.call_rate())
        call.relay = relay  # type: ignore[assignment]  # as much of one as is asked for
        connection._calls[call.call_id] = call
    assert connection.waiting_bytes == 14
