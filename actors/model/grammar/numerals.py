"""Grammars of numbers between bounds, digit by digit."""

MOST_DIGITS = 16


def integer_expression(low: int | None, high: int | None) -> str:
    """Whole numbers from `low` to `high`, both included; None: no bound. Raises ValueError if there are none."""
    if low is not None and high is not None and low > high:
        raise ValueError(f"no whole number is at least {low} and at most {high}.")
    options = []
    if low is None or low < 0:
        least = 1 if high is None or high >= 0 else -high
        options.append(f'"-" {_naturals(least, None if low is None else -low)}')
    if high is None or high >= 0:
        options.append(_naturals(max(low or 0, 0), high))
    return f"({' | '.join(options)})"


def number_expression(low: int | None, high: int | None, *, open_low: bool, open_high: bool) -> str:
    """Decimal numbers between whole bounds, which are excluded where open. Raises ValueError if there are none."""
    if low is not None and high is not None and (low > high or (low == high and (open_low or open_high))):
        raise ValueError(f"no number lies between {low} and {high} as demanded.")
    options = []
    if low is None or low < 0:
        nearest, nearest_open = (0, True) if high is None or high >= 0 else (-high, open_high)
        options.append(f'"-" {_decimals(nearest, None if low is None else -low, nearest_open, open_low)}')
    if high is None or high > 0 or (high == 0 and not open_high):
        start, start_open = (0, False) if low is None or low < 0 else (low, open_low)
        options.append(_decimals(start, high, start_open, open_high))
    return f"({' | '.join(options)})"


def _decimals(low: int, high: int | None, open_low: bool, open_high: bool) -> str:
    """Decimals of at least 0 between bounds: whole parts with any fraction, and the bounds' own edges."""
    options = []
    first = low + 1 if open_low else low
    if high is None or first <= high - 1:
        options.append(f'{_naturals(first, None if high is None else high - 1)} ("." [0-9]{{1,{MOST_DIGITS}}})?')
    if open_low and (high is None or low < high):
        options.append(f'"{low}." "0"{{0,{MOST_DIGITS - 1}}} [1-9] [0-9]{{0,{MOST_DIGITS - 1}}}')
    if high is not None and not open_high and (high > low or not open_low):
        options.append(f'"{high}" ("." "0"{{1,{MOST_DIGITS}}})?')
    return f"({' | '.join(options)})"


def _naturals(low: int, high: int | None) -> str:
    """Numbers of at least 0, without leading zeros."""
    if high is not None:
        return f"({' | '.join(_same_length(*pair) for pair in _by_length(low, high))})"
    digits = len(str(low))
    if digits >= MOST_DIGITS:
        raise ValueError(f"bounds of more than {MOST_DIGITS - 1} digits cannot be held.")
    longer = f"[1-9] [0-9]{{{digits},{MOST_DIGITS - 1}}}"
    return f"({' | '.join([*(_same_length(*pair) for pair in _by_length(low, 10**digits - 1)), longer])})"


def _by_length(low: int, high: int) -> list[tuple[str, str]]:
    """The range cut where the number of digits changes."""
    found = []
    while low <= high:
        end = min(high, 10 ** len(str(low)) - 1)
        found.append((str(low), str(end)))
        low = end + 1
    return found


def _same_length(low: str, high: str) -> str:
    """Digit strings from `low` to `high`, of equal length."""
    if low == high:
        return f'"{low}"'
    if set(low) == {"0"} and set(high) == {"9"}:
        return f"[0-9]{{{len(low)}}}"
    if len(low) == 1:
        return f"[{low}-{high}]"
    if low[0] == high[0]:
        return f'"{low[0]}" {_group(_same_length(low[1:], high[1:]))}'
    return " | ".join(_branches(low, high))


def _branches(low: str, high: str) -> list[str]:
    """By first digit: the lowest and the highest with what they leave open, those between with any digits."""
    rest = len(low) - 1
    first, last = int(low[0]), int(high[0])
    found = []
    if low[1:] != "0" * rest:
        found.append(f'"{first}" {_group(_same_length(low[1:], "9" * rest))}')
        first += 1
    tail = []
    if high[1:] != "9" * rest:
        tail.append(f'"{last}" {_group(_same_length("0" * rest, high[1:]))}')
        last -= 1
    if first <= last:
        found.append(f"[{first}-{last}] [0-9]{{{rest}}}")
    return found + tail


def _group(expression: str) -> str:
    return f"({expression})"
