"""What waits for a client, and how it leaves."""

from hypothesis import given
from hypothesis import strategies as st

from bus.stream import MAX_FRAME, MAX_PIECE, Assembler, Pieces
from gateway.downlink import Downlink
from troupe.rpc.v1 import Frame

CALL, EPOCH = "call-0123456789abcdef", 7


def framed(pieces: Pieces) -> bytes:
    frame = Frame(call_id=CALL, epoch=EPOCH, sequence=pieces.last, payload=pieces.pieces, more=pieces.more)
    return frame.SerializeToString()


def taken(downlink: Downlink) -> list[Frame]:
    """Each frame as the client reads it."""
    frames = []
    while batch := downlink.take():
        wire = batch.wire or framed(Pieces(batch.pieces, batch.last, batch.more))
        assert len(wire) <= MAX_FRAME
        frames.append(Frame.FromString(wire))
    return frames


def test_frames_that_are_joined_byte_by_byte_are_one() -> None:
    downlink = Downlink()
    for number in range(1, 4):
        downlink.add_wire(framed(Pieces([b"%d" % number], number)), number, more=False)
    (frame,) = taken(downlink)
    assert frame == Frame(call_id=CALL, epoch=EPOCH, sequence=3, payload=[b"1", b"2", b"3"])
    assert (downlink.size, downlink.handed) == (0, 3)


def test_a_piece_that_is_continued_ends_its_frame() -> None:
    downlink = Downlink()
    downlink.add_wire(framed(Pieces([b"a"], 1, more=True)), 1, more=True)
    downlink.add_wire(framed(Pieces([b"b"], 2)), 2, more=False)
    assert [(frame.sequence, frame.more) for frame in taken(downlink)] == [(1, True), (2, False)]


def test_what_was_given_out_is_told_frame_by_frame() -> None:
    downlink = Downlink(handed=4)
    for number in (5, 6):
        downlink.add(Pieces([b"x" * MAX_PIECE], number))
    assert (downlink.handed, bool(downlink)) == (4, True)
    downlink.take()
    assert (downlink.handed, downlink.size) == (5, MAX_PIECE)


SIZES = st.lists(st.tuples(st.sampled_from([0, 1, 700, MAX_PIECE]), st.booleans(), st.booleans()), max_size=30)


@given(SIZES)
def test_whatever_waits_arrives_once_and_in_order(batches: list[tuple[int, bool, bool]]) -> None:
    downlink, messages = Downlink(), []
    for number, (size, more, as_bytes) in enumerate(batches, 1):
        pieces = Pieces([bytes([number]) * size], number, more and number < len(batches))
        messages.append(pieces)
        if as_bytes:
            downlink.add_wire(framed(pieces), pieces.last, pieces.more)
        else:
            downlink.add(pieces)
    sent, received, expected = taken(downlink), Assembler(), Assembler()
    got = [one for frame in sent for one in received.feed(Pieces(frame.payload, frame.sequence, frame.more))]
    assert got == [one for pieces in messages for one in expected.feed(pieces)]
    assert downlink.size == 0
