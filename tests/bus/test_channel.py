"""The calling side where the contract of a call does not reach."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from bus import BusyStream, Code, Context, RpcError, subjects
from bus.channel import MAX_LINGERING, Channel
from bus.stream import REQUEST_WINDOW
from bus.testing import Ear, Hall, run_at_once
from bus.testing.chain import progress_of
from bus.testing.hall import COUNT, GATHER, HOLD, SAY, SAY_AGAIN, SERVICE, TALK, WAIT, Probe, failure, within
from bus.transports import Handler
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.waiting import BLIND_SECONDS, RETURN_SECONDS
from troupe.rpc.v1 import Close, Frame, Progress


class OneBus:
    """Joins processes to one bus."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    async def __call__(self) -> MemoryTransport:
        return MemoryTransport(self.broker)


async def test_a_process_may_be_named_after_anything() -> None:
    bus = OneBus()
    async with Hall(bus) as hall:
        await hall.serve(Probe())
        transport = MemoryTransport(bus.broker, f"llama-{subjects.token('mô-hình 2.5')}-1")
        channel = Channel(transport)
        await channel.start()
        assert (await within(channel.unary(SAY, StringValue(value="x")))).value == "x"
        await channel.close()
        await transport.close()


async def test_ended_calls_are_forgotten_and_stopped_ones_remembered_within_a_bound() -> None:
    async with Hall(OneBus()) as hall:
        await hall.serve(Probe())
        channel = await hall.channel()
        for _ in range(50):
            await channel.unary(SAY, StringValue(value="x"))
        assert len(channel._calls) == 0
        for number in range(MAX_LINGERING + 50):
            call = await hall.open(channel, WAIT, "", call_id=f"c{number}")
            await call.answered()
            call.cancel()
        assert len(channel._calls) <= MAX_LINGERING


async def test_an_error_of_the_request_stream_is_the_callers_own() -> None:
    async def words() -> AsyncIterator[StringValue]:
        yield StringValue(value="a")
        raise LookupError("where the words come from")

    async with Hall(OneBus()) as hall:
        server = await hall.serve(Probe())
        channel = await hall.channel()
        with pytest.raises(LookupError):
            await within(channel.client_stream(GATHER, words()))
        with pytest.raises(LookupError):
            async for _ in channel.bidi_stream(TALK, words()):
                pass
        await within(server.idle())


async def test_a_caller_that_is_cancelled_cancels_its_call() -> None:
    async with Hall(OneBus()) as hall:
        probe = Probe()
        server = await hall.serve(probe)
        channel = await hall.channel()

        async def listen() -> None:
            async for _ in channel.server_stream(WAIT, StringValue()):
                pass

        task = asyncio.create_task(listen())
        await within(probe.started.wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await within(probe.cancelled.wait())
        await within(server.idle())


async def test_a_channel_that_could_not_listen_tries_again() -> None:
    class Unwilling(MemoryTransport):
        failures = 1

        async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> Any:
            if self.failures:
                self.failures -= 1
                raise RpcError(Code.UNAVAILABLE, "not now")
            return await super().subscribe(subject, handler, queue)

    channel = Channel(Unwilling(MemoryBroker()))
    with pytest.raises(RpcError):
        await channel.start()
    await channel.start()
    await channel.close()


async def test_a_closed_channel_has_cancelled_its_calls_and_hears_nothing() -> None:
    bus = OneBus()
    async with Hall(bus) as hall:
        probe = Probe()
        await hall.serve(probe)
        before = len(bus.broker._subscriptions)
        channel = await hall.channel()
        assert len(bus.broker._subscriptions) > before
        call = await hall.open(channel, WAIT, "")
        await within(anext(call))
        await channel.close()
        await within(probe.cancelled.wait())
        with pytest.raises(RpcError):
            await anext(call)
        assert len(bus.broker._subscriptions) == before


async def test_an_answer_that_cannot_be_read_ends_the_call() -> None:
    async with Hall(OneBus()) as hall:
        transport = await hall.transport()
        broken = Frame(call_id="c", epoch=1, close=Close())
        broken.close.status.code = 5
        broken.close.status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff")
        for answer in (b"\xff\xff", broken.SerializeToString()):
            ear = Ear()
            subscription = await transport.subscribe(subjects.call(SAY.service, SAY.name), ear)
            channel = await hall.channel()
            call = await hall.open(channel, SAY, "x")
            reply = (await ear.hears(1))[0].reply
            transport.publish(reply, answer)
            with pytest.raises(RpcError) as caught:
                await within(anext(call))
            assert caught.value.code is Code.INTERNAL
            await subscription.unsubscribe()


async def test_an_answer_of_another_type_is_an_error_of_the_contract() -> None:
    class Confused(Probe):
        async def say(self, request: StringValue, ctx: Context) -> BytesValue:  # type: ignore[override]  # the confusion
            return BytesValue(value=b"\xff")

    async with Hall(OneBus()) as hall:
        await hall.serve(Confused())
        with pytest.raises(RpcError) as caught:
            await within((await hall.channel()).unary(SAY, StringValue()))
        assert caught.value.code is Code.INTERNAL
        assert "StringValue" in caught.value.message


def test_a_responder_that_falls_silent_is_lost_and_one_that_works_for_long_is_not() -> None:
    async def main() -> str:
        async with Hall(OneBus()) as hall:
            probe = Probe()
            server = await hall.serve(probe)
            channel = await hall.channel()
            call = await hall.open(channel, WAIT, "")
            await anext(call)
            await asyncio.sleep(300)  # of the clock that `run_at_once` moves; no time passes
            assert not call.closed
            assert not probe.cancelled.is_set()
            await server.pump.close()
            with pytest.raises(RpcError) as caught:
                await anext(call)
            return caught.value.reason

    assert run_at_once(main()) == "PEER_LOST"


def test_a_consumer_that_pauses_for_minutes_gets_the_rest() -> None:
    async def main() -> list[str]:
        async with Hall(OneBus()) as hall:
            await hall.serve(Probe())
            call = await hall.open(await hall.channel(), COUNT, "200:" + "x" * 30_000, window=64)
            found = []
            async for payload in call:
                found.append(StringValue.FromString(payload).value.rstrip("x"))
                if len(found) in (1, 100, 150):
                    await asyncio.sleep(600)  # as above
            return found

    assert run_at_once(main()) == [str(number) for number in range(200)]


def test_a_large_answer_waits_for_its_consumer() -> None:
    async def main() -> int:
        async with Hall(OneBus()) as hall:
            server = await hall.serve(Probe())
            call = await hall.open(await hall.channel(), SAY, "x", window=1)
            await anext(call)
            second = await hall.open(await hall.channel(), COUNT, "2:" + "x" * 300_000, call_id="d", window=2)
            await asyncio.sleep(120)
            assert server.active_calls == 1
            return len([payload async for payload in second])

    assert run_at_once(main()) == 2


def test_large_messages_that_nobody_takes_do_not_pile_up_on_either_side() -> None:
    async def main() -> tuple[int, int]:
        async with Hall(OneBus()) as hall:
            probe = Probe()
            await hall.serve(probe)
            call = await hall.open(await hall.channel(), COUNT, "50:" + "x" * 100_000, window=8)
            talking = await (await hall.channel()).open(WAIT)
            sent = 0

            async def talk() -> None:
                nonlocal sent
                while True:
                    await talking.send(b"x" * 100_000)
                    sent += 1

            task = asyncio.create_task(talk())
            await asyncio.sleep(60)
            task.cancel()
            stalled = probe.sent
            assert len([payload async for payload in call]) == 50
            return stalled, sent

    answered, asked = run_at_once(main())
    assert answered <= 5
    assert asked <= 16


def test_a_call_that_was_resumed_after_a_long_grace_still_has_its_answer() -> None:
    async def main() -> int:
        async with Hall(OneBus()) as hall:
            await hall.serve(Probe())
            first = await hall.open(await hall.channel(), COUNT, "500", window=10, grace=600.0)
            await anext(first)
            first.protocol.detach()
            first.settle()
            await asyncio.sleep(550)
            again = hall.resume(await hall.channel(), first, after=1)
            return len([payload async for payload in again])

    assert run_at_once(main()) == 499


def test_a_peer_that_hangs_is_asked_once_or_twice_and_nobody_waits_for_it_five_seconds() -> None:
    async def main() -> tuple[list[str], int, float]:
        async with Hall(OneBus()) as hall:
            hangs, hung = Ear(), await hall.transport()
            await hung.subscribe(subjects.calls_of(SERVICE), hangs, subjects.ACTORS_QUEUE)
            channel = await hall.channel()
            loop = asyncio.get_running_loop()
            started = loop.time()
            once = await failure(channel.unary(HOLD, StringValue()))
            waited = loop.time() - started
            twice = await failure(channel.unary(SAY_AGAIN, StringValue()))
            return [once.reason, twice.reason], len(hangs.heard), waited

    reasons, asked, waited = run_at_once(main())
    assert reasons == ["PEER_LOST", "PEER_LOST"]
    assert asked == 3
    assert waited < 5.0


async def test_a_call_that_was_on_its_way_to_a_process_that_is_gone_does_not_wait_for_it() -> None:
    async with Hall(OneBus()) as hall:
        hung, opened = await hall.transport(), asyncio.Event()

        listening = await hung.subscribe(subjects.calls_of(SERVICE), lambda _: opened.set(), subjects.ACTORS_QUEUE)
        channel = await hall.channel()
        once = asyncio.create_task(failure(channel.unary(HOLD, StringValue())))
        await within(opened.wait())
        channel.lost("elsewhere", {"another.Service"})
        assert not once.done()
        opened.clear()
        repeated = asyncio.create_task(channel.unary(SAY_AGAIN, StringValue(value="x")))
        await within(opened.wait())
        await listening.unsubscribe()
        await hall.serve(Probe())
        channel.lost("gone", {SERVICE})
        assert (await within(once)).reason == "PEER_LOST"
        assert (await within(repeated)).value == "x"


def test_nobody_waits_five_seconds_without_a_word() -> None:
    async def main() -> tuple[RpcError, float, list[Progress | None], list[float]]:
        async with Hall(OneBus()) as hall:
            channel = await hall.channel()
            first = await hall.serve(Probe())
            await channel.unary(SAY, StringValue())
            await first.drain(0.0)
            loop = asyncio.get_running_loop()
            started = loop.time()
            error = await failure(channel.unary(SAY, StringValue()))
            blind = loop.time() - started
            told: list[Progress | None] = []
            heard = [loop.time()]
            stream = channel.server_stream(COUNT, StringValue(value="1"))

            with suppress(RpcError):
                async for response in stream:
                    told.append(progress_of(response))
                    heard.append(loop.time())
            return error, blind, told, [*heard, loop.time()]

    error, blind, told, heard = run_at_once(main())
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "NO_RESPONDERS")
    assert BLIND_SECONDS <= blind < 5.0
    assert RETURN_SECONDS <= heard[-1] - heard[0] < RETURN_SECONDS + 1.0
    assert {progress.note for progress in told if progress} == {"ProbeService is being started again."}
    assert max(later - earlier for earlier, later in pairwise(heard)) < 5.0


def test_a_process_that_stood_still_blames_nobody() -> None:
    async def main() -> str:
        async with Hall(OneBus()) as hall:
            probe = Probe("alive")
            await hall.serve(probe)
            channel = await hall.channel()
            call = asyncio.ensure_future(channel.unary(HOLD, StringValue()))
            await probe.started.wait()
            # As after SIGSTOP: the clock has gone on, and nothing was heard or said meanwhile.
            channel._tick(asyncio.get_running_loop().time())
            channel._tick(asyncio.get_running_loop().time() + 60.0)
            assert not call.done()
            probe.released.set()
            response: StringValue = await call
            return response.value

    assert run_at_once(main()) == "alive"


async def test_a_second_reader_or_sender_of_a_call_is_refused_at_once() -> None:
    async with Hall(OneBus()) as hall:
        probe = Probe()
        await hall.serve(probe)
        channel = await hall.channel()
        call = await channel.open(TALK)
        reader = asyncio.ensure_future(anext(call))
        await asyncio.sleep(0)
        with pytest.raises(BusyStream):
            await anext(call)
        held = await channel.open(HOLD)
        for _ in range(REQUEST_WINDOW):
            await held.send(b"")
        sender = asyncio.ensure_future(held.send(b""))
        await asyncio.sleep(0)
        with pytest.raises(BusyStream):
            await held.send(b"")
        await call.send(b"")
        assert await within(reader) == b""
        held.cancel()
        with pytest.raises(RpcError):
            await within(sender)
