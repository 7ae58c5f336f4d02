"""Two thousand numbered messages through each fault: they come whole, once and in order, or fail with a code."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from bus import Code, RpcError
from bus.testing import (
    CuttingTransport,
    DelayingTransport,
    DuplicatingTransport,
    FaultyTransport,
    Hall,
    LosingTransport,
    ReorderingTransport,
    run_at_once,
)
from bus.testing.hall import COUNT, GATHER, TALK, Probe, within
from bus.transports import Transport
from bus.transports.memory import MemoryBroker, MemoryTransport

MESSAGES = 2000

Fault = Callable[[Transport, int], FaultyTransport]

FAULTS: dict[str, Fault] = {
    "losing": lambda inner, seed: LosingTransport(inner, seed=seed),
    "delaying": lambda inner, seed: DelayingTransport(inner, seed=seed),
    "reordering": lambda inner, seed: ReorderingTransport(inner, seed=seed, rate=0.2),
    "duplicating": lambda inner, seed: DuplicatingTransport(inner, seed=seed, rate=0.2),
    "cutting": lambda inner, seed: CuttingTransport(inner, seed=seed),
    "all at once": lambda inner, seed: LosingTransport(
        DuplicatingTransport(ReorderingTransport(CuttingTransport(inner, seed=seed), seed=seed), seed=seed), seed=seed
    ),
}

CODES = {Code.UNAVAILABLE, Code.CANCELLED}


class Faulty:
    """Joins processes to one bus, each through a fault of its own; calm while `rate` of all is 0."""

    def __init__(self, fault: Fault, seed: int) -> None:
        self._broker = MemoryBroker()
        self._fault = fault
        self._seed = seed
        self.made: list[FaultyTransport] = []

    async def __call__(self) -> Transport:
        transport = self._fault(MemoryTransport(self._broker), self._seed * 100 + len(self.made))
        self.made.append(transport)
        return transport

    @property
    def suffered(self) -> int:
        found = 0
        for transport in self.made:
            layer: object = transport
            while isinstance(layer, FaultyTransport):
                found += layer.suffered
                layer = layer.inner
        return found


async def count(make: Faulty) -> tuple[list[str], RpcError | None]:
    """A server stream to its end."""
    found: list[str] = []
    async with Hall(make) as hall:
        server = await hall.serve(Probe())
        channel = await hall.channel()
        error = None
        try:
            async for response in channel.server_stream(COUNT, StringValue(value=f"{MESSAGES}:{'x' * 200}")):
                found.append(response.value.rstrip("x"))  # noqa: PERF401  # what came before an error counts
        except RpcError as caught:
            error = caught
        await asyncio.wait_for(server.idle(), 200.0)
    return found, error


async def converse(make: Faulty) -> tuple[list[str], RpcError | None]:
    """Both directions to their end."""
    found: list[str] = []

    async def words() -> AsyncIterator[StringValue]:
        for number in range(MESSAGES):
            yield StringValue(value=str(number))

    async with Hall(make) as hall:
        server = await hall.serve(Probe())
        channel = await hall.channel()
        error = None
        try:
            async for response in channel.bidi_stream(TALK, words()):
                found.append(response.value)  # noqa: PERF401  # what came before an error counts
        except RpcError as caught:
            error = caught
        await asyncio.wait_for(server.idle(), 200.0)
    return found, error


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_is_whole_or_fails_with_a_code(fault: str, seed: int) -> None:
    make = Faulty(FAULTS[fault], seed)
    found, error = run_at_once(count(make))
    assert make.suffered > 0
    assert found == [str(number) for number in range(len(found))]
    if error is None:
        assert len(found) == MESSAGES
    else:
        assert error.code in CODES
        assert fault in ("losing", "cutting", "all at once"), error


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_conversation_is_whole_or_fails_with_a_code(fault: str, seed: int) -> None:
    make = Faulty(FAULTS[fault], seed)
    found, error = run_at_once(converse(make))
    assert found == [str(number) for number in range(len(found))]
    if error is None:
        assert len(found) == MESSAGES
    else:
        assert error.code in CODES
        assert fault in ("losing", "cutting", "all at once"), error


def test_most_streams_survive_losses() -> None:
    survived = sum(run_at_once(count(Faulty(FAULTS["losing"], seed)))[1] is None for seed in range(20, 30))
    assert survived >= 9


async def gather(make: Faulty) -> str:
    async def words() -> AsyncIterator[StringValue]:
        for number in range(300):
            yield StringValue(value=str(number))

    async with Hall(make) as hall:
        await hall.serve(Probe())
        channel = await hall.channel()
        answer: StringValue = await within(channel.client_stream(GATHER, words()))
        return answer.value


@pytest.mark.parametrize("fault", ["delaying", "reordering", "duplicating"])
def test_requests_come_whole_where_nothing_is_lost(fault: str) -> None:
    make = Faulty(FAULTS[fault], 1)
    assert run_at_once(gather(make)) == " ".join(map(str, range(300)))


def test_the_same_seed_does_the_same() -> None:
    def suffering(seed: int) -> list[bool]:
        transport = LosingTransport(MemoryTransport(MemoryBroker()), seed=seed)
        return [transport.strikes() for _ in range(200)]

    assert suffering(3) == suffering(3)
    assert suffering(3) != suffering(4)


def test_where_nothing_can_happen_any_more_time_does_not_pass_for_ever() -> None:
    async def wait_for_nothing() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="wait for ever"):
        run_at_once(wait_for_nothing())
