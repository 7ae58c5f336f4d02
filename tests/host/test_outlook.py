"""Who may come, by heartbeats alone; the clock is the test's."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bus import MethodInfo, subjects
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.liveness import Presence
from host.outlook import LISTEN_SECONDS, REMEMBER_SECONDS, START_SECONDS, Expectation
from troupe.echo.v1 import EchoRequest, EchoService
from troupe.rpc.v1 import Absence, Heartbeat

ECHO = EchoService.INFO.methods["Echo"]
OTHER = MethodInfo("Say", "say", "a.v1.OtherService", EchoRequest, EchoRequest, False, False)


class Hub:
    """Processes that are heard by one gateway."""

    def __init__(self) -> None:
        broker = MemoryBroker()
        self.now = 100.0
        self.presence = Presence(MemoryTransport(broker))
        self.expectation = Expectation(self.presence, lambda: self.now)
        self._changed = asyncio.Event()
        self.presence.subscribe(lambda _: self._changed.set())
        self._transport = MemoryTransport(broker)

    async def hear(self, actor: str, *services: str, state: str = "serving", awaits: tuple[str, ...] = ()) -> None:
        """A beat that changes something."""
        name = f"{actor}-1"
        beat = Heartbeat(process=name, epoch=1, actor=actor, state=state, services=services, awaits=awaits)
        await self.tell(subjects.heartbeat(name), beat.SerializeToString())

    async def lose(self, actor: str) -> None:
        """Its process has ended."""
        await self.tell(subjects.gone(f"{actor}-1"), b"")

    async def tell(self, subject: str, payload: bytes) -> None:
        self._changed.clear()
        self._transport.publish(subject, payload)
        async with asyncio.timeout(5):
            await self._changed.wait()


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """A hub with a supervisor and an echo actor, all of whom have been heard."""
    hub = Hub()
    await hub.presence.start()
    await hub.hear("supervisor")
    await hub.hear("echo", ECHO.service)
    hub.now += LISTEN_SECONDS
    yield hub
    await hub.presence.stop()


async def test_what_is_served_is_expected_and_what_is_not_is_known_to_be_absent(hub: Hub) -> None:
    assert hub.expectation(ECHO, "") is True
    assert hub.expectation(OTHER, "") is False


async def test_routes_are_services_of_their_own(hub: Hub) -> None:
    await hub.hear("voice", "a.v1.OtherService[one]")
    assert hub.expectation(OTHER, "one") is True
    assert hub.expectation(OTHER, "two") is False


async def test_who_was_lost_is_expected_back_for_a_while(hub: Hub) -> None:
    await hub.lose("echo")
    hub.now += REMEMBER_SECONDS - 1
    assert hub.expectation(ECHO, "") is True
    hub.now += 2
    assert hub.expectation(ECHO, "") is False


async def test_while_the_supervisor_starts_somebody_it_may_be_the_one(hub: Hub) -> None:
    await hub.hear("supervisor", awaits=("other",))
    assert hub.expectation(OTHER, "") is True
    await hub.hear("supervisor")
    assert hub.expectation(OTHER, "") is False


async def test_of_a_process_that_has_just_started_nobody_knows_what_it_will_serve(hub: Hub) -> None:
    await hub.hear("other", state="starting")
    assert hub.expectation(OTHER, "") is None
    await hub.hear("other", "a.v1.OtherService")
    assert hub.expectation(OTHER, "") is True


async def test_before_everyone_was_heard_nothing_is_known() -> None:
    hub = Hub()
    await hub.presence.start()
    assert hub.expectation(OTHER, "") is None
    hub.now += START_SECONDS - 1
    assert hub.expectation(OTHER, "") is None, "no supervisor is heard: the rest may still be starting"
    hub.now += 2
    assert hub.expectation(OTHER, "") is False
    await hub.presence.stop()


async def test_the_part_of_what_is_not_installed_is_known_by_service_and_route(hub: Hub) -> None:
    absent = [
        Absence(actor="voice", part="sound", services=["a.v1.OtherService"]),
        Absence(actor="choir", part="song", services=["a.v1.ChoirService[bass]"]),
    ]
    beat = Heartbeat(process="supervisor-1", epoch=1, actor="supervisor", state="serving", absent=absent)
    await hub.tell(subjects.heartbeat("supervisor-1"), beat.SerializeToString())
    assert [hub.expectation.lacks(OTHER, route) for route in ("", "one")] == ["sound", "sound"]
    choir = MethodInfo("Sing", "sing", "a.v1.ChoirService", EchoRequest, EchoRequest, False, False)
    assert [hub.expectation.lacks(choir, route) for route in ("bass", "alto", "")] == ["song", "", ""]
    assert hub.expectation.lacks(ECHO, "") == ""
    await hub.hear("supervisor")
    assert hub.expectation.lacks(OTHER, "") == ""
