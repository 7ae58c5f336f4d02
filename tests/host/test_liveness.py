import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import RpcError, subjects
from bus.transports import Message
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport
from host import liveness
from host.embedded import EmbeddedServer, connect
from host.liveness import (
    LOST_SECONDS,
    Appeared,
    Change,
    Changed,
    DisconnectRelay,
    Heart,
    Lost,
    Presence,
    Roll,
    Seen,
    ends_with,
    within,
)
from host.settings import INSTANCE, Settings
from host.watchdog import Pulse
from troupe.rpc.v1 import Heartbeat


def beat(process: str = "echo-1", state: str = "serving", *services: str) -> Heartbeat:
    return Heartbeat(process=process, epoch=7, beat=1, actor=process.partition("-")[0], services=services, state=state)


# ---- the roll


def test_the_first_heartbeat_is_an_appearance_and_the_same_again_nothing() -> None:
    roll = Roll()
    assert roll.heard(beat(), 0) == Appeared(Seen("echo-1", "echo", "serving", (), 7))
    assert roll.heard(beat(), 1) is None


def test_another_state_is_a_change() -> None:
    roll = Roll()
    roll.heard(beat(state="starting"), 0)
    assert roll.heard(beat(state="serving"), 1) == Changed(Seen("echo-1", "echo", "serving", (), 7))


def test_silence_loses_a_process_after_its_time_and_not_before() -> None:
    roll = Roll()
    roll.heard(beat("echo-1"), 0)
    roll.heard(beat("echo-2"), 1)
    assert roll.tick(LOST_SECONDS) == []
    assert [lost.seen.process for lost in roll.tick(LOST_SECONDS + 0.5)] == ["echo-1"]
    assert list(roll.processes) == ["echo-2"]


def test_word_of_an_end_loses_a_process_once() -> None:
    roll = Roll()
    roll.heard(beat(), 0)
    assert isinstance(roll.gone("echo-1"), Lost)
    assert roll.gone("echo-1") is None


def test_whoever_stood_still_itself_loses_nobody() -> None:
    roll = Roll()
    roll.heard(beat(), 0)
    roll.tick(0.5)
    assert roll.tick(60) == []
    assert [roll.tick(60 + number / 2) for number in range(1, 6)] == [[]] * 5
    assert len(roll.tick(63)) == 1


def test_after_an_interruption_of_the_own_connection_silence_counts_anew() -> None:
    roll = Roll()
    roll.heard(beat(), 0)
    roll.pause(LOST_SECONDS)
    assert roll.tick(LOST_SECONDS * 2) == []
    assert len(roll.tick(LOST_SECONDS * 2 + 0.1)) == 1


@given(
    st.lists(st.tuples(st.sampled_from("hgt"), st.sampled_from(["a-1", "b-2", "c-3"]), st.floats(0, 4)), max_size=60)
)
def test_whoever_is_lost_was_there_and_appears_before_it_is_lost_again(steps: list[tuple[str, str, float]]) -> None:
    roll, now, alive = Roll(), 0.0, set[str]()
    for kind, process, passed in steps:
        now += passed
        changes: list[Change | None] = list(roll.tick(now)) if kind == "t" else []
        changes += [roll.heard(beat(process), now)] if kind == "h" else []
        changes += [roll.gone(process)] if kind == "g" else []
        for change in changes:
            if isinstance(change, Appeared):
                assert change.seen.process not in alive
                alive.add(change.seen.process)
            elif isinstance(change, Lost):
                alive.remove(change.seen.process)
        assert set(roll.processes) == alive


# ---- heart and presence


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


async def test_presence_knows_actors_services_and_routes(broker: MemoryBroker) -> None:
    transport = MemoryTransport(broker, "llama-1")
    heart = Heart(
        transport, "llama", lambda: ["troupe.model.v1.ModelService", "troupe.chat.v1.ChatService[troupe-tiny]"]
    )
    presence = Presence(MemoryTransport(broker))
    changes: asyncio.Queue[Change] = asyncio.Queue()
    presence.subscribe(changes.put_nowait)
    async with asyncio.timeout(5):
        await presence.start()
        heart.start()
        assert isinstance(await changes.get(), Appeared)
        assert presence.serving("troupe.model.v1.ModelService") == []
        heart.state = "serving"
        assert isinstance(await changes.get(), Changed)
        assert [seen.process for seen in presence.actors()["llama"]] == ["llama-1"]
        assert presence.routes("troupe.chat.v1.ChatService") == ["troupe-tiny"]
        assert presence.serving("troupe.chat.v1.ChatService", "troupe-tiny")
        assert not presence.serving("troupe.chat.v1.ChatService", "another")
        await heart.stop()
        lost = await changes.get()
        assert isinstance(lost, Lost)
        assert presence.processes == {}
        await presence.stop()


async def test_a_process_that_falls_silent_is_lost(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.01)
    looks = itertools.count(1000)
    presence = Presence(MemoryTransport(broker), clock=lambda: next(looks) / 10)
    changes: asyncio.Queue[Change] = asyncio.Queue()
    presence.subscribe(changes.put_nowait)
    async with asyncio.timeout(5):
        await presence.start()
        MemoryTransport(broker).publish(subjects.heartbeat("echo-1"), beat().SerializeToString())
        assert isinstance(await changes.get(), Appeared)
        assert isinstance(await changes.get(), Lost)
        assert next(looks) > 1000 + LOST_SECONDS * 10
        await presence.stop()


async def test_every_beat_is_heard_with_its_engine_until_one_listens_no_longer(broker: MemoryBroker) -> None:
    transport = MemoryTransport(broker, "llama-1")
    heart = Heart(transport, "llama", calls=lambda: 3)
    heart.pulse = lambda: Pulse(steps=7, working=True, patience=1.5)
    presence, beats = Presence(MemoryTransport(broker)), asyncio.Queue[Heartbeat]()
    leave = presence.listen(beats.put_nowait)
    async with asyncio.timeout(5):
        await presence.start()
        heart.start()
        first, second = await beats.get(), await beats.get()
        assert (first.beat, second.beat) == (1, 2)
        assert (first.steps, first.working, first.patience_ms, first.calls) == (7, True, 1500, 3)
        leave()
        heart.state = "serving"
        await transport.flush()
        assert beats.empty()
        await heart.stop()
        await presence.stop()


async def test_heartbeats_that_cannot_be_read_or_speak_for_others_are_ignored(broker: MemoryBroker) -> None:
    presence, other = Presence(MemoryTransport(broker)), MemoryTransport(broker)
    changes: asyncio.Queue[Change] = asyncio.Queue()
    presence.subscribe(changes.put_nowait)
    async with asyncio.timeout(5):
        await presence.start()
        other.publish(subjects.heartbeat("echo-1"), b"\xff\xff")
        other.publish(subjects.heartbeat("echo-1"), beat("gateway-1").SerializeToString())
        other.publish(subjects.heartbeat("echo-2"), beat("echo-2").SerializeToString())
        assert (await changes.get()) == Appeared(Seen("echo-2", "echo", "serving", (), 7))
        assert list(presence.processes) == ["echo-2"]
        await presence.stop()


# ---- the relay


class Hub:
    """A server, a relay on it, and what it reports."""

    def __init__(self, server: EmbeddedServer, transport: NatsTransport) -> None:
        self.server = server
        self.transport = transport
        self.relay = DisconnectRelay(transport)
        self.gone: asyncio.Queue[str] = asyncio.Queue()

    async def process(self, name: str) -> NatsTransport:
        return await connect(Settings(home=self.server.home), name)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with asyncio.timeout(30), EmbeddedServer(tmp_path) as server:
        hub = Hub(server, await connect(Settings(home=tmp_path), "supervisor"))

        def heard(message: Message) -> None:
            hub.gone.put_nowait(message.subject.removeprefix("gone."))

        await hub.transport.subscribe(subjects.GONE, heard)
        await hub.relay.start()
        yield hub
        await hub.relay.stop()
        await hub.transport.close()


async def test_a_process_whose_connection_closes_is_reported(hub: Hub) -> None:
    process = await hub.process("echo")
    await process.close()
    assert await hub.gone.get() == process.process


async def test_what_is_known_for_certain_is_reported_at_once_and_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "RETURN_SECONDS", 0.1)
    certain, other = await hub.process("echo"), await hub.process("llama")
    await certain.close()
    await hub.relay.report(certain.process)
    assert await hub.gone.get() == certain.process
    await other.close()
    assert await hub.gone.get() == other.process


async def test_a_process_that_comes_back_by_itself_is_not_reported(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "RETURN_SECONDS", 1.5)
    steady, other = await hub.process("steady"), await hub.process("other")
    back = asyncio.Event()
    steady.on_reconnect(back.set)
    await steady.client.force_reconnect()
    await back.wait()
    await steady.flush()
    await other.close()
    assert await hub.gone.get() == other.process


async def steady(process: NatsTransport) -> None:
    """Return when the process has reached the server and got its answer."""
    while True:
        try:
            await process.flush()
        except RpcError:
            await asyncio.sleep(0)
        else:
            return


async def test_a_restart_of_the_server_reports_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "INTERRUPTED_SECONDS", 0.4)
    async with asyncio.timeout(30):
        processes = [await hub.process(f"steady{number}") for number in range(5)]
        interrupted = [asyncio.Event() for _ in [*processes, hub.transport]]
        for process, event in zip([*processes, hub.transport], interrupted, strict=True):
            process.on_reconnect(event.set)
        await hub.server.restart()
        for process, event in zip([*processes, hub.transport], interrupted, strict=True):
            await event.wait()
            await steady(process)
        monkeypatch.setattr(liveness, "RETURN_SECONDS", 0.6)
        await processes[0].close()
        assert await hub.gone.get() == processes[0].process
        assert hub.gone.empty()
        for process in processes:
            await process.close()


def test_a_name_tells_with_whom_a_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INSTANCE, "aaa111")
    model, other = f"llama-tiny-{within('bbb222')}-0f0f0f0f", "llama-tiny-ccc333-in_ddd444-0f0f0f0f"
    assert subjects.token(model) == model
    assert ends_with("llama-aaa111-12345678", [model, other, "llama-aaa111-12345678"]) == [model]
    assert ends_with("llama", [model]) == []
    monkeypatch.delenv(INSTANCE)
    assert within("bbb222") == "bbb222"


async def test_an_actor_that_cannot_tell_how_it_is_is_heard_all_the_same() -> None:
    broker = MemoryBroker()
    heard: asyncio.Queue[Heartbeat] = asyncio.Queue()
    transport = MemoryTransport(broker, "echo-1")
    await MemoryTransport(broker).subscribe(
        subjects.heartbeat("echo-1"), lambda message: heard.put_nowait(Heartbeat.FromString(message.payload))
    )

    def trouble() -> str:
        raise LookupError("where it is written")

    heart = Heart(transport, "echo", list, int)
    heart.trouble = trouble
    heart.start()
    async with asyncio.timeout(10):
        first, second = await heard.get(), await heard.get()
    assert first.trouble == second.trouble == "It cannot tell how it is (LookupError); the log of echo has why."
    await heart.stop()
