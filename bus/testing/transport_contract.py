"""What every transport promises, as functions. Each takes `make`, which joins one more process to the same new bus."""
# ruff: noqa: D103  # the names are the sentences

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from bus.errors import RpcError
from bus.transports import MAX_PAYLOAD, Message, Transport

Make: TypeAlias = Callable[[], Awaitable[Transport]]
Clause: TypeAlias = Callable[[Make], Awaitable[None]]

PATIENCE_SECONDS = 10.0


class Ear:
    """Hears a subject, and can be waited for."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self._changed = asyncio.Event()

    def __call__(self, message: Message) -> None:
        self.heard.append(message)
        self._changed.set()

    async def hears(self, count: int) -> list[Message]:
        """The first `count` messages, once they have come."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.heard) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.heard[:count]


async def a_message_reaches_every_subscriber_of_its_subject(make: Make) -> None:
    one, two, other = await make(), await make(), await make()
    ears = Ear(), Ear(), Ear()
    await one.subscribe("a.b", ears[0])
    await two.subscribe("a.b", ears[1])
    await two.subscribe("a.c", ears[2])
    other.publish("a.b", b"hello", "answer.here")
    for ear in ears[:2]:
        message = (await ear.hears(1))[0]
        assert (message.subject, message.payload, message.reply) == ("a.b", b"hello", "answer.here")
        assert not message.no_responders
    other.publish("a.c", b"end")
    await ears[2].hears(1)
    assert [len(ear.heard) for ear in ears] == [1, 1, 1]


async def a_star_stands_for_one_token(make: Make) -> None:
    hearing, saying = await make(), await make()
    ear = Ear()
    await hearing.subscribe("a.*.c", ear)
    for subject in ("a.c", "a.b.b.c", "a.b", "a.b.d", "b.b.c", "a.b.c"):
        saying.publish(subject, subject.encode())
    assert (await ear.hears(1))[0].subject == "a.b.c"


async def messages_of_one_publisher_come_in_order(make: Make) -> None:
    hearing, saying = await make(), await make()
    ear = Ear()
    await hearing.subscribe("n.*", ear)
    for number in range(500):
        saying.publish(f"n.{number % 3}", b"%d" % number)
    assert [int(message.payload) for message in await ear.hears(500)] == list(range(500))


async def a_queue_group_shares_its_messages(make: Make) -> None:
    members, saying = [await make() for _ in range(3)], await make()
    ears = [Ear() for _ in members]
    done = Ear()
    for member, ear in zip(members, ears, strict=True):

        def hear(message: Message, ear: Ear = ear) -> None:
            ear(message)
            done(message)

        await member.subscribe("work.*", hear, "group")
    for number in range(90):
        saying.publish("work.x", b"%d" % number)
    await done.hears(90)
    assert sorted(int(message.payload) for message in done.heard) == list(range(90))
    assert all(ear.heard for ear in ears), "every member gets its share"


async def nobody_listening_is_told_to_the_reply_subject_at_once(make: Make) -> None:
    asking = await make()
    ear = Ear()
    await asking.subscribe("reply.*", ear)
    asking.publish("nobody.here", b"x", "reply.7")
    message = (await ear.hears(1))[0]
    assert message.no_responders
    assert message.subject == "reply.7"
    assert message.payload == b""


async def nothing_comes_after_unsubscribing(make: Make) -> None:
    hearing, saying = await make(), await make()
    ear, other = Ear(), Ear()
    subscription = await hearing.subscribe("a", ear)
    await hearing.subscribe("b", other)
    saying.publish("a", b"1")
    await ear.hears(1)
    await subscription.unsubscribe()
    await hearing.flush()
    saying.publish("a", b"2")
    saying.publish("b", b"3")
    await other.hears(1)
    assert len(ear.heard) == 1


async def a_subscription_that_is_drained_hears_what_is_on_its_way_and_nothing_else(make: Make) -> None:
    hearing, saying = await make(), await make()
    ear, other = Ear(), Ear()
    subscription = await hearing.subscribe("a", ear)
    await hearing.subscribe("b", other)
    for number in range(100):
        saying.publish("a", b"%d" % number)
    await saying.flush()
    await subscription.drain()
    assert len(ear.heard) == 100
    saying.publish("a", b"late")
    saying.publish("b", b"end")
    await other.hears(1)
    assert len(ear.heard) == 100


async def an_empty_message_and_any_bytes_arrive_as_they_are(make: Make) -> None:
    hearing, saying = await make(), await make()
    ear = Ear()
    await hearing.subscribe("a", ear)
    payloads = [b"", bytes(range(256)), "tiếng Việt".encode(), b"x" * MAX_PAYLOAD]
    for payload in payloads:
        saying.publish("a", payload)
    assert [message.payload for message in await ear.hears(4)] == payloads


async def an_oversized_message_is_refused_at_its_sender_and_harms_nothing(make: Make) -> None:
    saying, hearing = await make(), await make()
    ear = Ear()
    await hearing.subscribe("a", ear)
    reason = "taken"
    try:
        saying.publish("a", b"x" * (MAX_PAYLOAD + 1))
    except RpcError as error:
        reason = error.reason
    assert reason == "MESSAGE_TOO_LARGE"
    saying.publish("a", b"after")
    assert (await ear.hears(1))[0].payload == b"after"


async def several_at_once_come_in_order_with_their_reply_subjects(make: Make) -> None:
    hearing, saying = await make(), await make()
    ear = Ear()
    await hearing.subscribe("a.*", ear)
    saying.publish("a.0", b"0")
    saying.publish_all([(f"a.{number}", b"%d" % number, f"reply.{number}") for number in range(1, 300)])
    saying.publish("a.300", b"300")
    heard = await ear.hears(301)
    assert [message.payload for message in heard] == [b"%d" % number for number in range(301)]
    assert heard[299].subject == "a.299"
    assert heard[299].reply == "reply.299"
    saying.publish_all([])


async def processes_have_names_and_epochs_of_their_own(make: Make) -> None:
    one, two = await make(), await make()
    assert one.process != two.process
    for transport in (one, two):
        assert transport.epoch > 0
        assert "." not in transport.process


async def a_handler_that_raises_does_not_stop_the_others(make: Make) -> None:
    hearing, saying = await make(), await make()
    ear = Ear()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)

    def stumble(message: Message) -> None:
        ear(message)
        raise ValueError("the handler's own fault")

    await hearing.subscribe("a", stumble)
    saying.publish("a", b"1")
    saying.publish("a", b"2")
    await ear.hears(2)
    loop.set_exception_handler(None)


async def closing_twice_does_nothing(make: Make) -> None:
    transport = await make()
    await transport.close()
    await transport.close()


TRANSPORT_CONTRACT: list[Clause] = [
    a_message_reaches_every_subscriber_of_its_subject,
    a_star_stands_for_one_token,
    messages_of_one_publisher_come_in_order,
    several_at_once_come_in_order_with_their_reply_subjects,
    a_queue_group_shares_its_messages,
    nobody_listening_is_told_to_the_reply_subject_at_once,
    nothing_comes_after_unsubscribing,
    a_subscription_that_is_drained_hears_what_is_on_its_way_and_nothing_else,
    an_empty_message_and_any_bytes_arrive_as_they_are,
    an_oversized_message_is_refused_at_its_sender_and_harms_nothing,
    processes_have_names_and_epochs_of_their_own,
    a_handler_that_raises_does_not_stop_the_others,
    closing_twice_does_nothing,
]
