"""What nobody of the hub serves is told at once, what is started again is waited for: through a real door."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus import Code, RpcError
from bus.transports.memory import MemoryTransport
from bus.waiting import STRANGER_SECONDS
from host import outlook
from host.liveness import Heart
from troupe.health.v1 import CheckRequest, HealthServiceClient
from troupe.rpc.v1 import Absence
from troupe_client import GrpcChannel


@pytest.fixture
async def supervisor(hall: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Heart]:
    """The heart of a supervisor on the gateway's bus; whoever beats is heard at once."""
    monkeypatch.setattr(outlook, "LISTEN_SECONDS", 0.0)
    transport = MemoryTransport(hall.broker, "supervisor")
    heart = Heart(transport, "supervisor")
    heart.state = "serving"
    yield heart
    await heart.stop()
    await transport.close()


async def refusal(channel: GrpcChannel) -> tuple[RpcError, float]:
    """What a call to a service ends with that nobody serves here, and after how long."""
    began = time.monotonic()
    with pytest.raises(RpcError) as caught:
        await HealthServiceClient(channel).check(CheckRequest())
    return caught.value, time.monotonic() - began


async def test_what_no_actor_of_the_hub_serves_is_refused_at_once(gateway: Any, supervisor: Heart) -> None:
    supervisor.start()
    await asyncio.sleep(0)
    channel = GrpcChannel(gateway.grpc_target)
    error, seconds = await refusal(channel)
    assert error.reason == "NO_RESPONDERS"
    assert error.message.startswith("No actor of this hub serves HealthService.")
    assert seconds < STRANGER_SECONDS
    await channel.close()


async def test_while_an_actor_is_started_again_whatever_is_asked_for_may_come(gateway: Any, supervisor: Heart) -> None:
    supervisor.awaits = lambda: ["somebody"]
    supervisor.start()
    await asyncio.sleep(0)
    channel = GrpcChannel(gateway.grpc_target)
    asked = asyncio.create_task(refusal(channel))
    done, _ = await asyncio.wait([asked], timeout=STRANGER_SECONDS + 0.3)
    assert not done
    supervisor.awaits = tuple
    supervisor.tell()
    error, _ = await asked
    assert error.message.startswith("No actor of this hub serves HealthService.")
    await channel.close()


async def test_what_stands_on_a_part_that_is_not_installed_is_refused_with_the_command(
    gateway: Any, supervisor: Heart
) -> None:
    supervisor.absent = lambda: [Absence(actor="doctor", part="health", services=["troupe.health.v1.HealthService"])]
    supervisor.start()
    await asyncio.sleep(0)
    channel = GrpcChannel(gateway.grpc_target)
    error, seconds = await refusal(channel)
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "PART_NOT_INSTALLED")
    assert "`troupe add health`" in error.message
    assert seconds < STRANGER_SECONDS
    await channel.close()
