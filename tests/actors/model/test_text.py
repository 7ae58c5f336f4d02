"""Text in pieces: whole characters, and stops as a naive split finds them."""

from hypothesis import given
from hypothesis import strategies as st

from actors.model.text import StopFinder, TextStream, split_at

texts = st.text("abcAB ệ😀", max_size=40)
stops = st.lists(st.text("abcA", min_size=1, max_size=4), max_size=4)


def cut(text: str, lengths: list[int]) -> list[str]:
    """A text in pieces of these lengths."""
    pieces = []
    for length in lengths:
        pieces.append(text[:length])
        text = text[length:]
    return [*pieces, text]


def naive(text: str, stops: list[str]) -> tuple[str, str]:
    """The text before the stop string that is complete first, the longest of several."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            longest = max(complete, key=len)
            return text[: end - len(longest)], longest
    return text, ""


@given(texts, stops, st.lists(st.integers(0, 5), max_size=10))
def test_stops_are_found_as_by_a_naive_split_however_the_text_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    finder = StopFinder(stops)
    shown = "".join(finder.feed(piece) for piece in cut(text, cuts)) + finder.flush()
    assert (shown, finder.found) == naive(text, stops)


@given(texts, st.lists(st.integers(0, 3), max_size=30))
def test_deltas_are_whole_characters_however_the_bytes_are_cut(text: str, cuts: list[int]) -> None:
    data = text.encode()
    stream = TextStream()
    shown = []
    for length in cuts:
        shown.append(stream.feed(data[:length]))
        data = data[length:]
    shown += [stream.feed(data), stream.flush()]
    assert "".join(shown) == text
    assert not any("\ufffd" in piece for piece in shown)


def test_a_character_that_a_limit_cut_off_is_left_out() -> None:
    stream = TextStream()
    assert stream.feed(b"vi" + "ệ".encode()[:2]) == "vi"
    assert stream.flush() == ""


def test_bytes_that_are_no_character_are_replaced() -> None:
    assert TextStream().feed("ệ".encode()[:2] + b"t") == "\ufffdt"


def test_what_may_become_a_stop_is_held_back_and_given_at_the_end() -> None:
    stream = TextStream(["</answer>"])
    assert stream.feed(b"xin ch\xc3\xa0o </ans") == "xin chào "
    assert stream.flush() == "</ans"
    assert stream.stopped == ""


def test_nothing_is_shown_after_a_stop() -> None:
    stream = TextStream(["."])
    assert stream.feed(b"one. two") == "one"
    assert stream.feed(b" three") == ""
    assert stream.flush() == ""
    assert stream.stopped == "."


@given(texts, st.text("abA", min_size=1, max_size=3))
def test_a_marker_is_split_at_its_first_place_or_its_beginning_is_held(text: str, marker: str) -> None:
    before, found, rest = split_at(text, marker)
    assert before + (marker if found else "") + rest == text
    assert found == (marker in text)
    assert marker not in before
    assert found or marker.startswith(rest)
