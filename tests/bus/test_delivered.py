"""What was delivered becomes a field of the request."""

import pytest
from google.protobuf.struct_pb2 import ListValue, Value
from hypothesis import given
from hypothesis import strategies as st

from bus import RpcError
from bus.delivered import PACK_AFTER, TOO_LARGE, Delivered, answers
from bus.fields import progress_message
from bus.stream import MAX_MESSAGE, MAX_PIECE, Outgoing, Pieces

FIELD = ListValue.DESCRIPTOR.fields_by_name["values"].number
TOLD = progress_message(b"")


def asked(word: str = "asked") -> bytes:
    return ListValue(values=[Value(string_value=word)]).SerializeToString()


def said(*words: str) -> list[bytes]:
    return [Value(string_value=word).SerializeToString() for word in words]


def read(request: bytes) -> list[str]:
    return [value.string_value for value in ListValue.FromString(request).values]


@given(st.lists(st.lists(st.one_of(st.none(), st.text(max_size=300)), min_size=1, max_size=5), max_size=20))
def test_all_that_came_is_appended_in_order_and_no_progress(frames: list[list[str | None]]) -> None:
    delivered, last = Delivered(FIELD), 0
    for words in frames:
        last += len(words)
        delivered.take(Pieces([TOLD if word is None else said(word)[0] for word in words], last))
    wanted = [word for words in frames for word in words if word is not None]
    assert read(delivered.appended_to(asked())) == ["asked", *wanted]
    assert read(delivered.appended_to(asked("once more"))) == ["once more", *wanted]


def test_an_answer_that_grows_after_it_was_appended_is_appended_whole() -> None:
    delivered = Delivered(FIELD)
    for number in range(3 * PACK_AFTER):
        delivered.take(Pieces(said(str(number)), number + 1))
        if number % 100 == 0:
            assert len(read(delivered.appended_to(asked()))) == number + 2
    assert read(delivered.appended_to(asked()))[1:] == [str(number) for number in range(3 * PACK_AFTER)]


def test_a_message_in_pieces_is_appended_once_it_is_whole_and_stands_in_the_way_before() -> None:
    large = "x" * (3 * MAX_PIECE)
    outgoing, delivered = Outgoing(64), Delivered(FIELD)
    outgoing.push(said(large)[0])
    outgoing.push(said("after")[0])
    while (pieces := outgoing.take()) is not None:
        delivered.take(pieces)
        assert bool(delivered.obstacle) == pieces.more
        if pieces.more:
            with pytest.raises(RpcError, match="within a message") as refusal:
                delivered.appended_to(asked())
            assert refusal.value.reason == "CONTINUATION_UNSUPPORTED"
    assert read(delivered.appended_to(asked())) == ["asked", large, "after"]


def test_more_than_a_message_may_hold_is_let_go_of_and_told() -> None:
    delivered, last = Delivered(FIELD), 0
    while last * MAX_PIECE <= MAX_MESSAGE:
        assert not delivered.obstacle
        last += 1
        delivered.take(Pieces([b"x" * MAX_PIECE], last))
    assert delivered.obstacle == TOO_LARGE
    with pytest.raises(RpcError, match="4,194,304 bytes together"):
        delivered.appended_to(asked())


def test_request_and_answer_count_together() -> None:
    delivered = Delivered(FIELD)
    delivered.take(Pieces(said("x" * 1000), 1))
    with pytest.raises(RpcError, match="bytes together"):
        delivered.appended_to(b"x" * (MAX_MESSAGE - 1000))


@given(st.lists(st.one_of(st.none(), st.text(max_size=50)), max_size=30), st.integers(0, 31), st.booleans())
def test_who_comes_back_has_no_more_than_it_says(words: list[str | None], after: int, pack: bool) -> None:
    delivered = Delivered(FIELD)
    for last, word in enumerate(words, 1):
        delivered.take(Pieces([TOLD if word is None else said(word)[0]], last))
        if pack:
            delivered.appended_to(b"")
    left = [word for word in words[:after] if word is not None]
    assert delivered.cut(after) == bool(left)
    assert read(delivered.appended_to(asked()))[1:] == left
    delivered.take(Pieces(said("again"), after + 1))
    assert read(delivered.appended_to(asked()))[1:] == [*left, "again"]


def test_who_comes_back_within_a_message_cannot_go_on() -> None:
    for after in range(8):
        delivered, outgoing = Delivered(FIELD), Outgoing(64)
        outgoing.push(said("first")[0])
        outgoing.push(said("x" * (3 * MAX_PIECE))[0])  # four pieces
        outgoing.push(said("y" * (2 * MAX_PIECE))[0])  # three, of which the last is missing
        while (pieces := outgoing.take()) is not None and pieces.last < 8:
            delivered.take(pieces)
        delivered.cut(after)
        assert bool(delivered.obstacle) == (after in (2, 3, 4, 6, 7))


def test_progress_is_no_answer() -> None:
    assert not answers(Pieces([TOLD, TOLD], 2))
    assert answers(Pieces([TOLD, *said("a")], 2))
    assert answers(Pieces([b""], 1))
