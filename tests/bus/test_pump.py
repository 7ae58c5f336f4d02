"""Who writes what, and when."""

import asyncio
from collections.abc import Iterator

import structlog

from bus import Code, RpcError
from bus.pump import Pump
from bus.testing import Ear
from bus.transports import Letter
from bus.transports.memory import MemoryBroker, MemoryTransport


class Speaker:
    """Says what has piled up as one frame."""

    def __init__(self, subject: str = "said", *, error: Exception | None = None) -> None:
        self.marked = False
        self.words: list[bytes] = []
        self.error = error
        self._subject = subject

    def outgoing(self) -> Iterator[Letter]:
        words, self.words = self.words, []
        if self.error is not None:
            raise self.error
        yield self._subject, b" ".join(words), ""


class FailingTransport(MemoryTransport):
    """Refuses what is published while `fails` is set."""

    fails: RpcError | None = None

    def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        if self.fails is not None:
            raise self.fails
        super().publish(subject, payload, reply)


async def test_what_piles_up_leaves_as_one_frame() -> None:
    transport = MemoryTransport(MemoryBroker())
    ear = Ear()
    await transport.subscribe("said", ear)
    pump, speaker = Pump(transport, lambda now: None), Speaker()
    pump.start()
    for word in (b"a", b"b", b"c"):
        speaker.words.append(word)
        pump.mark(speaker)
    assert (await ear.hears(1))[0].payload == b"a b c"
    speaker.words.append(b"d")
    pump.mark(speaker)
    assert (await ear.hears(2))[1].payload == b"d"
    await pump.close()


async def test_closing_writes_what_is_in_line_and_nothing_later() -> None:
    transport = MemoryTransport(MemoryBroker())
    ear = Ear()
    await transport.subscribe("said", ear)
    pump = Pump(transport, lambda now: None)
    pump.start()
    late = Speaker()
    for word in (b"a", b"b"):
        speaker = Speaker()
        speaker.words.append(word)
        pump.mark(speaker)
    await pump.close()
    pump.mark(late)
    assert [message.payload for message in await ear.hears(2)] == [b"a", b"b"]


async def test_what_was_marked_before_the_start_is_written_by_it() -> None:
    transport = MemoryTransport(MemoryBroker())
    ear = Ear()
    await transport.subscribe("said", ear)
    pump, speaker = Pump(transport, lambda now: None), Speaker()
    speaker.words.append(b"a")
    pump.mark(speaker)
    pump.start()
    assert (await ear.hears(1))[0].payload == b"a"
    await pump.close()


async def test_a_speaker_that_fails_and_a_bus_that_is_away_stop_nobody() -> None:
    transport = FailingTransport(MemoryBroker())
    ear = Ear()
    await transport.subscribe("said", ear)
    pump = Pump(transport, lambda now: None)
    pump.start()
    with structlog.testing.capture_logs() as logs:
        for speaker in (Speaker(error=ValueError("its own fault")), Speaker()):
            speaker.words.append(b"x")
            pump.mark(speaker)
        await ear.hears(1)
        transport.fails = RpcError(Code.UNAVAILABLE, "away")
        pump.mark(speaker)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        transport.fails = None
        speaker.words.append(b"y")
        pump.mark(speaker)
        await ear.hears(2)
    assert [entry["event"] for entry in logs] == ["frames.failed", "frames.dropped"]
    await pump.close()


async def test_time_goes_on_after_a_tick_that_failed() -> None:
    ticks: list[float] = []
    twice = asyncio.Event()

    def tick(now: float) -> None:
        ticks.append(now)
        if len(ticks) == 2:
            twice.set()
        raise ValueError("its own fault")

    pump = Pump(MemoryTransport(MemoryBroker()), tick)
    pump.start()
    with structlog.testing.capture_logs():
        async with asyncio.timeout(5):
            await twice.wait()
    await pump.close()


async def test_a_pump_that_never_started_closes() -> None:
    await Pump(MemoryTransport(MemoryBroker()), lambda now: None).close()
