"""One direction of a call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import Code, RpcError
from bus.stream import (
    MAX_FRAME,
    MAX_MESSAGE,
    MAX_PIECE,
    RING_BYTES,
    RING_PIECES,
    Assembler,
    Incoming,
    Outgoing,
    Pieces,
    split,
)
from troupe.rpc.v1 import Frame

SIZES = st.lists(st.sampled_from([0, 1, 100, 5000, MAX_PIECE - 1, MAX_PIECE, MAX_PIECE + 1, 150_000]), max_size=12)


def taken(outgoing: Outgoing) -> list[Pieces]:
    """What may be sent now, frame by frame."""
    return list(iter(outgoing.take, None))


def through(outgoing: Outgoing, assembler: Assembler) -> list[bytes]:
    """The messages that arrive of what may be sent now."""
    messages = []
    for batch in taken(outgoing):
        assert Frame(payload=batch.pieces, sequence=batch.last, more=batch.more).ByteSize() <= MAX_FRAME
        messages += [message for message, _ in assembler.feed(batch)]
    return messages


@given(SIZES)
def test_messages_of_any_size_arrive_as_they_were(sizes: list[int]) -> None:
    outgoing, assembler = Outgoing(1000), Assembler()
    sent = [bytes([number]) * size for number, size in enumerate(sizes)]
    for message in sent:
        outgoing.push(message)
    assert through(outgoing, assembler) == sent
    assert outgoing.idle


@given(SIZES, st.integers(0, 20))
def test_what_is_sent_again_arrives_again(sizes: list[int], after: int) -> None:
    outgoing = Outgoing(1000)
    for number, size in enumerate(sizes):
        outgoing.push(bytes([number]) * size)
    first = [piece for batch in taken(outgoing) for piece in batch.pieces]
    after = min(after, len(first))
    outgoing.rewind(after)
    assert [piece for batch in taken(outgoing) for piece in batch.pieces] == first[after:]


def test_pieces_of_a_message_stay_within_the_limit() -> None:
    assert split(b"") == [b""]
    assert [len(piece) for piece in split(b"x" * (2 * MAX_PIECE + 1))] == [MAX_PIECE, MAX_PIECE, 1]
    with pytest.raises(RpcError) as caught:
        split(b"x" * (MAX_MESSAGE + 1))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


def test_nothing_is_sent_without_credit() -> None:
    outgoing = Outgoing(2)
    for number in range(2):
        assert outgoing.ready
        outgoing.push(b"%d" % number)
    assert not outgoing.ready
    assert [batch.pieces for batch in taken(outgoing)] == [[b"0", b"1"]]
    outgoing.credit(3, 1)
    outgoing.push(b"2")
    assert [batch.last for batch in taken(outgoing)] == [3]
    outgoing.credit(1, 0)
    assert outgoing.granted == 3


def test_a_frame_is_taken_at_a_time() -> None:
    outgoing = Outgoing(1000)
    outgoing.push(b"x" * 200_000)
    outgoing.push(b"y")
    outgoing.push(b"z")
    last = []
    while outgoing.sendable:
        batch = outgoing.take()
        assert batch is not None
        last.append(batch.last)
    assert last == [1, 2, 3, 4, 7]


def test_a_sender_stalls_when_its_consumer_takes_nothing_credit_or_not() -> None:
    outgoing = Outgoing(10**9)
    pushed = 0
    while outgoing.ready:
        outgoing.push(b"x" * MAX_PIECE)
        pushed += 1
    assert pushed * MAX_PIECE <= RING_BYTES + MAX_PIECE
    taken(outgoing)
    outgoing.credit(10**9, pushed // 2)
    assert outgoing.ready


def test_what_the_consumer_has_taken_leaves_the_ring_beyond_its_bounds() -> None:
    outgoing = Outgoing(10**9)
    for number in range(3 * RING_PIECES):
        outgoing.push(b"x")
        taken(outgoing)
        outgoing.credit(0, number)
    assert outgoing.held_bytes <= RING_BYTES
    with pytest.raises(RpcError) as caught:
        outgoing.rewind(1)
    assert (caught.value.code, caught.value.reason) == (Code.OUT_OF_RANGE, "RESUME_OUT_OF_RANGE")
    outgoing.rewind(3 * RING_PIECES - 10)
    assert sum(len(batch.pieces) for batch in taken(outgoing)) == 10


def test_a_detached_sender_goes_on_into_the_ring_and_then_stalls() -> None:
    outgoing = Outgoing(1)
    outgoing.detached = True
    pushed = 0
    while outgoing.ready:
        outgoing.push(b"x")
        pushed += 1
    assert pushed == RING_PIECES
    assert outgoing.take() is None


def test_a_claim_to_have_more_than_was_sent_is_refused() -> None:
    outgoing = Outgoing(1)
    outgoing.push(b"a")
    with pytest.raises(RpcError):
        outgoing.rewind(1)
    outgoing.credit(5, 99)
    assert outgoing.consumed == 0


def test_abandoning_keeps_what_was_sent_also_while_it_is_sent_again() -> None:
    outgoing = Outgoing(2)
    for size in (1, 1, 150_000):
        outgoing.push(b"x" * size)
    taken(outgoing)
    outgoing.rewind(0)
    outgoing.abandon()
    assert outgoing.last == 2
    assert sum(len(batch.pieces) for batch in taken(outgoing)) == 2


def test_numbers_go_on_where_someone_else_has_begun() -> None:
    outgoing = Outgoing(4, preceding=3)
    outgoing.push(b"x")
    assert [batch.last for batch in taken(outgoing)] == [4]


def test_pieces_are_taken_once_and_in_order() -> None:
    incoming = Incoming(10)
    assert incoming.accept([b"1", b"2"], 2, False) == Pieces([b"1", b"2"], 2)
    assert incoming.accept([b"1", b"2"], 2, False) is None
    assert incoming.accept([b"4"], 4, False) is None
    assert incoming.misses(4)
    assert incoming.accept([b"2", b"3", b"4"], 4, True) == Pieces([b"3", b"4"], 4, more=True)
    assert not incoming.misses(4)


def test_more_than_was_granted_is_refused() -> None:
    incoming = Incoming(2)
    with pytest.raises(RpcError) as caught:
        incoming.accept([b"1", b"2", b"3"], 3, False)
    assert caught.value.reason == "CREDIT_EXCEEDED"
    assert incoming.grant(3)
    assert not incoming.grant(2)
    assert incoming.accept([b"1", b"2", b"3"], 3, False) is not None


def test_a_message_that_never_ends_is_cut_off() -> None:
    assembler = Assembler()
    with pytest.raises(RpcError) as caught:
        for number in range(1, 200):
            assembler.feed(Pieces([b"x" * MAX_PIECE], number, more=True))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"
