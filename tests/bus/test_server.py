"""The serving side against whatever arrives."""

import asyncio
import gc
import random
import secrets
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import structlog
from google.protobuf.wrappers_pb2 import StringValue

from bus import Context, RpcError, subjects
from bus.server import Server
from bus.testing import Ear, Hall
from bus.testing.hall import COUNT, KEY, PROBE, SAY, SERVICE, WAIT, Probe, within
from bus.transports.memory import MemoryBroker, MemoryTransport
from troupe.rpc.v1 import Cancel, Credit, Frame, Open, Ping, Progress, Resume

FRAMES = 100_000


class OneBus:
    """Joins processes to one bus."""

    def __init__(self) -> None:
        self._broker = MemoryBroker()

    async def __call__(self) -> MemoryTransport:
        return MemoryTransport(self._broker)


def samples() -> list[bytes]:
    """Well-formed frames of every kind."""
    frames = [
        Frame(open=Open(protocol_version=1, method=SAY.full_name), payload=[b"\n\x01a"], sequence=1, half_close=True),
        Frame(
            open=Open(
                protocol_version=1, method=COUNT.full_name, resume_key=KEY, initial_credit=3, metadata={"a": "b"}
            ),
            payload=[b"\n\x03100"],
            sequence=1,
            half_close=True,
        ),
        Frame(sequence=2, payload=[b"\n\x01b"]),
        Frame(sequence=4, payload=[b"\n\x01b", b"x" * 50], more=True),
        Frame(credit=Credit(granted=40, consumed=3)),
        Frame(cancel=Cancel(reason="enough")),
        Frame(ping=Ping(nonce=9)),
        Frame(resume=Resume(after=1, resume_key=KEY, granted=50)),
        Frame(half_close=True, sequence=1),
    ]
    frames[0].open.timeout.FromNanoseconds(5 * 10**9)
    frames[1].open.grace.FromNanoseconds(10**8)
    detach = Frame()
    detach.detach.SetInParent()
    return [frame.SerializeToString() for frame in (*frames, detach)]


class Attacker:
    """Sends frames that are mutated, random, or well-formed in the wrong place."""

    def __init__(self, transport: MemoryTransport, server: Server, seed: int) -> None:
        self._transport = transport
        self._process = server.process
        self._epoch = 0
        self._luck = random.Random(seed)
        self._samples = samples()
        self._names = [f"c{number}" for number in range(40)]

    async def send(self) -> None:
        luck = self._luck
        name = luck.choice(self._names)
        payload = self._payload(name)
        target = subjects.call(SERVICE, luck.choice(["Say", "Count", "Talk", "Wait", "Nothing"]))
        if luck.random() < 0.6:
            target = subjects.control(self._process, name)
        self._transport.publish(target, payload, f"reply.attacker{luck.randrange(2)}.{name}")

    def _payload(self, name: str) -> bytes:
        luck = self._luck
        if luck.random() < 0.2:
            return luck.randbytes(luck.randrange(60))
        sample = Frame.FromString(luck.choice(self._samples))
        sample.call_id = name
        data = bytearray(sample.SerializeToString())
        if luck.random() < 0.7:
            for _ in range(luck.randint(1, 4)):
                data[luck.randrange(len(data))] = luck.randrange(256)
        if luck.random() < 0.1:
            del data[luck.randrange(len(data)) :]
        return bytes(data)


async def test_a_hundred_thousand_bad_frames_neither_crash_nor_leak() -> None:
    seed = int.from_bytes(secrets.token_bytes(4))
    print(f"seed {seed}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        async with asyncio.timeout(60):
            await _attack(seed)
    finally:
        structlog.reset_defaults()


async def _attack(seed: int) -> None:
    loop = asyncio.get_running_loop()
    failures: list[object] = []
    loop.set_exception_handler(lambda _loop, context: failures.append(context))
    async with Hall(OneBus()) as hall:
        server = await hall.serve(Probe(), max_calls=200)
        transport = await hall.transport()
        assert isinstance(transport, MemoryTransport)
        attacker = Attacker(transport, server, seed)
        for number in range(FRAMES):
            await attacker.send()
            if number % 20 == 0:
                await asyncio.sleep(0)
        for call_id in [f"c{number}" for number in range(40)]:
            for sender in range(2):
                frame = Frame(call_id=call_id, cancel=Cancel())
                transport.publish(
                    subjects.control(server.process, call_id),
                    frame.SerializeToString(),
                    f"reply.attacker{sender}.{call_id}",
                )
        await within(server.idle())
        assert (await within((await hall.channel()).unary(SAY, StringValue(value="still here")))).value == "still here"
    assert failures == []
    loop.set_exception_handler(None)


async def test_a_handler_that_ignores_its_cancellation_can_send_nothing_more() -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    class Stubborn(Probe):
        async def wait(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
            yield StringValue(value="waiting")
            with suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()
            try:
                await ctx.progress(Progress.STATE_RUNNING)
            except RpcError as error:
                outcome.set_result(error.reason)

    async with Hall(OneBus()) as hall:
        server = await hall.serve(Stubborn())
        call = await hall.open(await hall.channel(), WAIT, "")
        await within(anext(call))
        call.cancel()
        assert await within(outcome) == "CANCELLED"
        await within(server.idle())


async def test_trailers_that_cannot_be_sent_end_the_call_all_the_same() -> None:
    class Careless(Probe):
        async def say(self, request: StringValue, ctx: Context) -> StringValue:
            ctx.trailers["number"] = 3  # type: ignore[assignment]  # the mistake
            return request

    async with Hall(OneBus()) as hall:
        server = await hall.serve(Careless())
        channel = await hall.channel()
        with pytest.raises(RpcError) as caught:
            await within(channel.unary(SAY, StringValue(value="x")))
        assert caught.value.reason == "INTERNAL"
        assert server.active_calls == 0


async def test_the_same_open_twice_is_one_call() -> None:
    async with Hall(OneBus()) as hall:
        probe = Probe()
        server = await hall.serve(probe)
        transport = await hall.transport()
        ear = Ear()
        await transport.subscribe("reply.hand.*", ear)
        frame = Frame(call_id="c", open=Open(protocol_version=1, method=SAY.full_name), payload=[b""], sequence=1)
        for _ in range(2):
            transport.publish(subjects.call(SERVICE, "Say"), frame.SerializeToString(), "reply.hand.c")
        await ear.hears(1)
        await within(server.idle())
        transport.publish(subjects.call(SERVICE, "Say"), frame.SerializeToString(), "reply.hand.c")
        await transport.flush()
        assert probe.served == 1


async def test_a_displaced_consumer_is_told_when_it_asks_and_cannot_disturb() -> None:
    async with Hall(OneBus()) as hall:
        probe = Probe()
        await hall.serve(probe)
        first = await hall.open(await hall.channel(), WAIT, "")
        await within(anext(first))
        second = hall.resume(await hall.channel(), first, after=1)
        await within(second.answered())
        with pytest.raises(RpcError) as caught:
            await within(anext(first))
        assert caught.value.reason == "RESUMED_ELSEWHERE"
        transport = await hall.transport()
        ear = Ear()
        await transport.subscribe("reply.old.*", ear)
        control = first.peer
        for frame in (Frame(call_id="c", cancel=Cancel()), Frame(call_id="c", ping=Ping(nonce=1))):
            transport.publish(control, frame.SerializeToString(), "reply.old.c")
        answer = Frame.FromString((await ear.hears(1))[0].payload)
        assert RpcError.from_status(answer.close.status).reason == "RESUMED_ELSEWHERE"
        assert not probe.cancelled.is_set()


async def test_a_resume_that_reaches_too_far_does_not_take_the_call_away() -> None:
    async with Hall(OneBus()) as hall:
        await hall.serve(Probe())
        first = await hall.open(await hall.channel(), COUNT, "100", window=5)
        await within(anext(first))
        greedy = hall.resume(await hall.channel(), first, after=60)
        with pytest.raises(RpcError) as caught:
            await within(anext(greedy))
        assert caught.value.reason == "RESUME_OUT_OF_RANGE"
        assert len([payload async for payload in first]) == 99


async def test_a_call_of_unlimited_time_has_no_deadline_and_one_of_ages_a_bounded_one() -> None:
    async with Hall(OneBus()) as hall:
        probe = Probe()
        await hall.serve(probe)
        channel = await hall.channel()
        await within(channel.unary(SAY, StringValue()))
        await within(channel.unary(SAY, StringValue(), timeout=1e11))
        assert probe.contexts[0].time_remaining() is None
        assert 0 < (probe.contexts[1].time_remaining() or 0) < 4e7


async def test_a_server_says_what_it_serves() -> None:
    async with Hall(OneBus()) as hall:
        server = await hall.serve(Probe())
        assert server.services == [PROBE.name]
        assert server.active_calls == 0


async def test_a_forgotten_call_is_freed_without_waiting_for_the_garbage_collector() -> None:
    async with Hall(OneBus()) as hall:
        server = await hall.serve(Probe())
        channel = await hall.channel()
        gc.collect()
        gc.disable()
        try:
            assert [message async for message in await hall.open(channel, COUNT, "20")]
            while not server._kept or server.active_calls:
                await asyncio.sleep(0)
            forgotten = [weakref.ref(call) for call in server._kept.values()]
            for call in list(server._kept.values()):
                server._forget(call)
                del call
            while server.pump._line:
                await asyncio.sleep(0)
            assert [one() for one in forgotten] == [None] * len(forgotten)
        finally:
            gc.enable()
