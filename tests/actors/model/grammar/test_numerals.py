"""Numbers between bounds: the grammar lets through exactly those."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.model.grammar.numerals import integer_expression, number_expression


def as_regex(expression: str) -> re.Pattern[str]:
    """These expressions differ from regular ones by quotes and spaces only."""
    parts = re.split(r'"([^"]*)"', expression)
    return re.compile(
        "".join(re.escape(part) if place % 2 else part.replace(" ", "") for place, part in enumerate(parts))
    )


bounds = st.one_of(st.none(), st.integers(-1200, 1200))


@settings(deadline=None)
@given(bounds, bounds, st.lists(st.integers(-1300, 1300), max_size=50))
def test_whole_numbers_pass_if_and_only_if_they_lie_between_the_bounds(
    low: int | None, high: int | None, values: list[int]
) -> None:
    if low is not None and high is not None and low > high:
        with pytest.raises(ValueError, match="no whole number"):
            integer_expression(low, high)
        return
    pattern = as_regex(integer_expression(low, high))
    for value in {*values, *edges(low), *edges(high)}:
        inside = (low is None or value >= low) and (high is None or value <= high)
        assert bool(pattern.fullmatch(str(value))) == inside, value


def edges(bound: int | None) -> list[int]:
    return [] if bound is None else [bound - 1, bound, bound + 1]


@settings(deadline=None)
@given(bounds, bounds, st.booleans(), st.booleans(), st.lists(st.integers(-130000, 130000), max_size=50))
def test_decimals_pass_only_between_the_bounds_and_all_that_do_pass(
    low: int | None, high: int | None, open_low: bool, open_high: bool, hundredths: list[int]
) -> None:
    open_low, open_high = open_low and low is not None, open_high and high is not None
    if low is not None and high is not None and (low > high or (low == high and (open_low or open_high))):
        with pytest.raises(ValueError, match="no number"):
            number_expression(low, high, open_low=open_low, open_high=open_high)
        return
    pattern = as_regex(number_expression(low, high, open_low=open_low, open_high=open_high))
    for value in {*hundredths, *(edge * 100 + step for edge in (low, high) if edge is not None for step in (-1, 0, 1))}:
        above = low is None or value > low * 100 or (value == low * 100 and not open_low)
        below = high is None or value < high * 100 or (value == high * 100 and not open_high)
        sign, rest = ("-", -value) if value < 0 else ("", value)
        assert bool(pattern.fullmatch(f"{sign}{rest // 100}.{rest % 100:02d}")) == (above and below), value


@pytest.mark.parametrize("text", ["01", "+1", "1.", "--1", "", "1e3"])
def test_what_is_no_plain_number_does_not_pass(text: str) -> None:
    assert not as_regex(number_expression(-5, 5, open_low=False, open_high=False)).fullmatch(text)
