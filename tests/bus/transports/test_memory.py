"""The memory transport where the contract of a transport does not reach."""

import asyncio

from bus.testing import Ear
from bus.transports.memory import MemoryBroker, MemoryTransport


async def test_members_of_a_queue_group_take_turns() -> None:
    broker = MemoryBroker()
    ears = [Ear() for _ in range(3)]
    for ear in ears:
        await MemoryTransport(broker).subscribe("work", ear, "group")
    for _ in range(9):
        MemoryTransport(broker).publish("work", b"")
    await ears[2].hears(3)
    assert [len(ear.heard) for ear in ears] == [3, 3, 3]


async def test_a_process_that_left_hears_nothing_and_is_missed() -> None:
    broker = MemoryBroker()
    leaving, asking = MemoryTransport(broker), MemoryTransport(broker)
    ear, answers = Ear(), Ear()
    await leaving.subscribe("a", ear)
    await asking.subscribe("reply", answers)
    await leaving.close()
    asking.publish("a", b"x", "reply")
    assert (await answers.hears(1))[0].no_responders
    assert ear.heard == []


async def test_an_interruption_is_told_to_whoever_asked() -> None:
    transport = MemoryTransport(MemoryBroker())
    told: list[int] = []
    transport.on_reconnect(lambda: told.append(1))
    transport.on_reconnect(lambda: told.append(2))
    transport.interrupted()
    assert told == [1, 2]


async def test_a_message_is_delivered_in_a_later_turn_of_the_loop() -> None:
    transport = MemoryTransport(MemoryBroker())
    ear = Ear()
    await transport.subscribe("a", ear)
    transport.publish("a", b"x")
    assert ear.heard == []
    await asyncio.sleep(0)
    assert len(ear.heard) == 1
