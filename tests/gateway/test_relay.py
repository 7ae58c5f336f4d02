"""A call on its way through a door, where the doors' own tests do not reach."""

from types import SimpleNamespace
from typing import Any

from bus import Channel, MemoryBroker, MemoryTransport, Message
from bus.protocol import CallerProtocol
from gateway.access import Principal
from gateway.relay import MAX_PENDING_BYTES, Relay
from troupe.echo.v1 import EchoService
from troupe.rpc.v1 import Frame, Open

PIECE = b"x" * 40_000


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
