"""Amounts and times for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.plain_text import columns, size_text, span_text, time_text


@pytest.mark.parametrize(
    ("size", "text"), [(0, ""), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 1024**3, "5.0 GiB"), (1024**4, "1024.0 GiB")]
)
def test_sizes_are_told_in_the_unit_that_fits(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"), (0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (75, "1 min 15 s"), (7500, "2 h 5 min"),
        (7205, "2 h"), (90000, "1 d 1 h"), (864000, "10 d"),
    ],
)  # fmt: skip
def test_a_span_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


@given(st.integers(0, 4_000_000_000))
def test_a_time_is_told_to_the_second(seconds: int) -> None:
    assert len(time_text(seconds + 0.123456789)) == len("2026-11-28 19:16:50")


def test_columns_stand_below_each_other_and_lines_end_with_their_last_word() -> None:
    assert columns([("a", "bb", ""), ("ccc", "d", "")]) == ["a    bb", "ccc  d"]
