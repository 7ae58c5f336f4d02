"""The NATS server is killed and started again while streams run over it; servers and responders hang."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from bus import RpcError
from bus.testing import Hall, NatsServer
from bus.testing.chain import Chain, method
from bus.testing.hall import COUNT, PROBE, SAY, TALK, WAIT, Probe, drained, text, within
from bus.transports import Transport
from bus.transports.nats import NatsTransport

STREAMS = 10
MESSAGES = 600


class Paced(Probe):
    """Counts slowly enough for a server to end and start in between, and tells how far it is."""

    def __init__(self) -> None:
        super().__init__()
        self.milestones = [asyncio.Event(), asyncio.Event()]

    async def count(self, request: StringValue, ctx: object) -> AsyncIterator[StringValue]:
        for index in range(int(request.value)):
            yield StringValue(value=str(index))
            if index == MESSAGES // 4:
                self.milestones[0].set()
            elif index == MESSAGES // 2:
                self.milestones[1].set()
            await asyncio.sleep(0.002)


def process_on(server: NatsServer) -> "asyncio.Future[Transport]":
    return asyncio.ensure_future(NatsTransport.connect(server.url, "process"))


async def restarted(server: NatsServer) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


async def test_every_stream_survives_two_kills_of_the_server_whole(nats_server: NatsServer) -> None:
    async with Hall(lambda: process_on(nats_server)) as hall:
        probe = Paced()
        await hall.serve(probe)
        channels = [await hall.channel() for _ in range(2)]

        async def stream(number: int) -> list[str]:
            channel = channels[number % 2]
            return [response.value async for response in channel.server_stream(COUNT, StringValue(value=str(MESSAGES)))]

        streams = [asyncio.create_task(stream(number)) for number in range(STREAMS)]
        for milestone in probe.milestones:
            await within(milestone.wait())
            await restarted(nats_server)
        async with asyncio.timeout(30):
            for found in await asyncio.gather(*streams):
                assert found == [str(number) for number in range(MESSAGES)]


async def test_a_stream_through_three_actors_survives_two_kills_of_the_server_whole(nats_server: NatsServer) -> None:
    async with Hall(lambda: process_on(nats_server)) as hall:
        chain = Chain(hall)
        chain.last = probe = Paced()
        channel = await chain.start()
        call = channel.server_stream(method("Count"), StringValue(value=str(MESSAGES)))
        stream = asyncio.create_task(drained(call))
        for milestone in probe.milestones:
            await within(milestone.wait())
            await restarted(nats_server)
        async with asyncio.timeout(30):
            assert await stream == [str(number) for number in range(MESSAGES)]


async def test_a_conversation_survives_a_kill_of_the_server(nats_server: NatsServer) -> None:
    async with Hall(lambda: process_on(nats_server)) as hall:
        await hall.serve(Probe())
        channel = await hall.channel()
        killed = asyncio.Event()

        async def words() -> AsyncIterator[StringValue]:
            for number in range(200):
                if number == 100:
                    await restarted(nats_server)
                    killed.set()
                yield StringValue(value=str(number))

        async with asyncio.timeout(30):
            found = [response.value async for response in channel.bidi_stream(TALK, words())]
        assert killed.is_set()
        assert found == [str(number) for number in range(200)]


async def test_a_quiet_call_survives_and_new_calls_are_served_after_the_restart(nats_server: NatsServer) -> None:
    async with Hall(lambda: process_on(nats_server)) as hall:
        probe = Probe()
        await hall.serve(probe)
        channel = await hall.channel()
        call = await hall.open(channel, WAIT, "")
        assert text(await within(anext(call))) == "waiting"
        await restarted(nats_server)

        async def served() -> bool:
            try:
                await channel.unary(SAY, StringValue(value="x"), timeout=2.0)
            except RpcError:
                return False
            return True

        async with asyncio.timeout(20):
            while not await served():
                pass
        assert not call.closed
        assert not probe.cancelled.is_set()
        call.cancel()
        await within(probe.cancelled.wait())


async def test_a_server_that_stays_away_ends_the_calls_with_unavailable(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.protocol.PING_SECONDS", 1.0)
    async with Hall(lambda: process_on(nats_server)) as hall:
        await hall.serve(Probe(), PROBE)
        channel = await hall.channel()
        call = await hall.open(channel, WAIT, "")
        await within(anext(call))
        await asyncio.to_thread(nats_server.kill)
        async with asyncio.timeout(20):
            with pytest.raises(RpcError) as caught:
                await anext(call)
        assert caught.value.reason == "PEER_LOST"
        await asyncio.to_thread(nats_server.start)


async def test_streams_wait_for_a_server_that_hangs_for_a_while(nats_server: NatsServer) -> None:
    async with Hall(lambda: process_on(nats_server)) as hall:
        probe = Paced()
        await hall.serve(probe)
        channel = await hall.channel()

        async def stream() -> list[str]:
            request = StringValue(value=str(MESSAGES))
            return [response.value async for response in channel.server_stream(COUNT, request)]

        task = asyncio.create_task(stream())
        await within(probe.milestones[0].wait())
        nats_server.pause()
        await asyncio.wait([task], timeout=0.5)
        nats_server.go_on()
        async with asyncio.timeout(20):
            assert await task == [str(number) for number in range(MESSAGES)]


RESPONDER = """
import asyncio, sys
from bus.transports.nats import NatsTransport
from bus.server import Server
from bus.testing.hall import PROBE, Probe

async def main():
    server = Server(await NatsTransport.connect(sys.argv[1], "hung"))
    await server.add(Probe(), PROBE)
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


async def test_a_responder_that_hangs_is_lost_and_one_that_is_killed_is_lost(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.protocol.PING_SECONDS", 0.5)
    monkeypatch.setattr("bus.protocol.MISSING_SECONDS", 0.5)
    async with Hall(lambda: process_on(nats_server)) as hall:
        channel = await hall.channel()
        for how in (signal.SIGSTOP, signal.SIGKILL):
            responder = await asyncio.create_subprocess_exec(
                sys.executable, "-c", RESPONDER, nats_server.url, stdout=asyncio.subprocess.PIPE
            )
            assert responder.stdout is not None
            try:
                async with asyncio.timeout(30):
                    assert await responder.stdout.readline() == b"ready\n"
                    call = await hall.open(channel, WAIT, "", call_id=f"signal-{how}")
                    await anext(call)
                    responder.send_signal(how)
                    with pytest.raises(RpcError) as caught:
                        await anext(call)
                assert caught.value.reason == "PEER_LOST"
            finally:
                with suppress(ProcessLookupError):
                    responder.kill()
                await responder.wait()
