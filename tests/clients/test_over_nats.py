"""The client before gateways that are on a real NATS server."""

import random
from contextlib import aclosing
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from troupe.echo.v1 import ConverseRequest, EchoRequest, RepeatRequest
from troupe_client import connect


async def test_all_of_it_works_over_nats(nats_hall: Any) -> None:
    async def lines() -> Any:
        for text in ("a", "ơ"):
            yield ConverseRequest(text=text)

    async with nats_hall.gateway() as rpc, connect(f"127.0.0.1:{rpc.port}") as hub:
        assert (await hub.echo.echo(EchoRequest(text="x" * 200_000))).text == "x" * 200_000
        assert [one.index async for one in hub.echo.repeat(RepeatRequest(count=2_000))] == list(range(2_000))
        assert [one.text async for one in hub.echo.converse(lines())] == ["a", "ơ"]
        async with aclosing(hub.ask("Hi?")) as pieces:
            assert await anext(pieces) == "Hel"
        await nats_hall.chat.cancelled.wait()


@pytest.mark.parametrize("seed", range(3))
async def test_cuts_and_a_change_of_gateway_lose_and_double_nothing(nats_hall: Any, make_wire: Any, seed: int) -> None:
    chance = random.Random(seed)
    cuts = set(chance.sample(range(300), 4))
    async with nats_hall.gateway() as first, nats_hall.gateway() as second:
        wire = await make_wire(first.port)
        async with connect(f"127.0.0.1:{wire.port}") as hub:
            received = []
            async for response in hub.echo.repeat(RepeatRequest(count=300, interval=Duration(nanos=500_000))):
                received.append(response.index)
                if response.index in cuts:
                    wire.lead_to(chance.choice([first, second]).port)
                    wire.cut()
    assert received == list(range(300))


async def test_an_answer_outlives_a_restart_of_nats(nats_hall: Any, nats_server: Any) -> None:
    async with nats_hall.gateway() as rpc, connect(f"127.0.0.1:{rpc.port}") as hub:
        received = []
        async for response in hub.echo.repeat(RepeatRequest(count=200, interval=Duration(nanos=2_000_000))):
            received.append(response.index)
            if response.index == 50:
                nats_server.kill()
                nats_server.start()
    assert received == list(range(200))
