"""What came and nobody has taken."""

import asyncio

import pytest

from bus import RpcError
from bus.mailbox import Bell, Mailbox
from bus.stream import MAX_MESSAGE, Pieces


def test_whole_messages_are_taken_in_order_and_acknowledge_what_they_were_made_of() -> None:
    mailbox = Mailbox()
    assert mailbox.put(Pieces([b"a", b"b"], 2)) == 0
    assert mailbox.put(Pieces([b"c"], 3, more=True)) == 0
    assert mailbox.take() == (b"a", 1)
    assert mailbox.take() == (b"b", 3)
    assert not mailbox


def test_pieces_of_a_message_that_is_not_whole_count_as_taken() -> None:
    mailbox = Mailbox()
    assert mailbox.put(Pieces([b"a"], 1, more=True)) == 1
    assert mailbox.put(Pieces([b"b"], 2)) == 0
    assert mailbox.take() == (b"ab", 2)


def test_a_message_that_is_too_large_is_refused() -> None:
    mailbox = Mailbox()
    mailbox.put(Pieces([b"x" * MAX_MESSAGE], 1, more=True))
    with pytest.raises(RpcError, match="over the limit"):
        mailbox.put(Pieces([b"x"], 2))


async def test_a_bell_wakes_all_who_wait_and_those_who_left_do_not_matter() -> None:
    bell = Bell()
    waiting = [asyncio.create_task(bell.rung()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    bell.ring()
    bell.ring()
    async with asyncio.timeout(5):
        await asyncio.wait(waiting)
    assert [task.cancelled() for task in waiting] == [True, False, False]
