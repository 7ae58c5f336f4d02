"""Who writes what, and when."""

import asyncio
from collections.abc import Iterator, Sequence

import structlog

from actors.echo import MAX_PIECE, EchoActor
from bus import Code, RpcError
from bus.channel import Channel
from bus.pump import Pump
from bus.server import Server
from bus.stream import MAX_FRAME, MAX_WINDOW
from bus.testing import Ear
from bus.transports import Letter
from bus.transports.memory import MemoryBroker, MemoryTransport
from troupe.echo.v1 import ConverseRequest, EchoService, RepeatRequest
from troupe.rpc.v1 import Frame


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


class Recorder(MemoryTransport):
    """Notes what leaves in each turn."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.turns: list[list[Letter]] = []

    def publish_all(self, letters: Sequence[Letter]) -> None:
        self.turns.append(list(letters))
        super().publish_all(letters)

    def with_payloads(self) -> list[list[tuple[str, int]]]:
        """Of each turn the frames that carry payloads: whose they are, and their sizes."""
        return [
            [(subject, len(data)) for subject, data, _ in turn if Frame.FromString(data).payload] for turn in self.turns
        ]


async def test_a_short_message_waits_for_one_frame_of_a_long_answer_and_not_for_all_of_it() -> None:
    broker = MemoryBroker()
    recorder = Recorder(broker)
    server, channel = Server(recorder), Channel(MemoryTransport(broker))
    await server.add(EchoActor(), EchoService.INFO)
    sound = await channel.open(EchoService.INFO.methods["Converse"])
    await sound.answered()
    recorder.turns.clear()
    document = await channel.open(EchoService.INFO.methods["Repeat"], window=MAX_WINDOW)
    await document.send(RepeatRequest(text="x" * MAX_PIECE, count=100).SerializeToString())
    await sound.send(ConverseRequest(text="x" * 640).SerializeToString())
    await anext(sound)
    turns = recorder.with_payloads()
    assert all(len({subject for subject, _ in turn}) == len(turn) for turn in turns)
    mine = f".{sound.call_id}"
    in_order = [letter for turn in turns for letter in turn]
    before = next(index for index, (subject, _) in enumerate(in_order) if subject.endswith(mine))
    assert sum(size for _, size in in_order[:before]) <= 2 * MAX_FRAME
    sound.cancel()
    assert sum([1 async for _ in document]) == 100
    await channel.close()
    await server.drain(0.1)


async def test_requests_of_one_call_take_turns_with_those_of_another() -> None:
    broker = MemoryBroker()
    recorder = Recorder(broker)
    server, channel = Server(MemoryTransport(broker)), Channel(recorder)
    await server.add(EchoActor(), EchoService.INFO)
    method = EchoService.INFO.methods["Converse"]
    upload, sound = await channel.open(method), await channel.open(method)
    await asyncio.gather(upload.answered(), sound.answered())
    recorder.turns.clear()
    for number in range(12):
        await upload.send(ConverseRequest(text=chr(97 + number) * MAX_PIECE).SerializeToString())
    await sound.send(ConverseRequest(text="x" * 640).SerializeToString())
    await anext(sound)
    control = [[Frame.FromString(data).call_id for _, data, _ in turn] for turn in recorder.turns]
    assert control[0] == [upload.call_id, sound.call_id]
    assert all(turn.count(upload.call_id) <= 1 for turn in control[:12])
    await channel.close()
    await server.drain(0.1)
