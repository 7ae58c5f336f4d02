"""From token bytes to text: whole characters only, and an end before the first stop string."""

import codecs
from collections.abc import Sequence


class StopFinder:
    """Lets text through up to the first stop string, and holds back what may become one.

    The stop string that is complete first counts; of several that end together, the longest. How the text is cut into
    pieces changes nothing.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = ""
        """The stop string that came."""

    def feed(self, text: str) -> str:
        """The text that may be shown now. Nothing comes after a stop string was found."""
        if not self._stops or self.found:
            return "" if self.found else text
        text = self._held + text
        _, start, stop = min((_first(text, stop) for stop in self._stops), default=(0, 0, ""))
        if stop and start >= 0:
            self.found, self._held = stop, ""
            return text[:start]
        keep = len(text) - max(_overlap(text, stop) for stop in self._stops)
        self._held = text[keep:]
        return text[:keep]

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held


def _first(text: str, stop: str) -> tuple[float, int, str]:
    start = text.find(stop)
    return (start + len(stop), start, stop) if start >= 0 else (float("inf"), -1, stop)


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop` begins, `stop` itself excepted."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0


def split_at(text: str, marker: str) -> tuple[str, bool, str]:
    """Text before a marker, whether it came, and the rest: what follows it, or what may become it and is held back."""
    before, found, rest = text.partition(marker)
    if found:
        return before, True, rest
    keep = len(text) - _overlap(text, marker)
    return text[:keep], False, text[keep:]


class TextStream:
    """Turns the bytes of tokens into text for people: UTF-8 by whole characters, ended by stop strings."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._finder = StopFinder(stops)

    @property
    def stopped(self) -> str:
        """The stop string that came; empty: none yet."""
        return self._finder.found

    def feed(self, piece: bytes) -> str:
        """Text that is certain after these bytes."""
        return self._finder.feed(self._decoder.decode(piece))

    def flush(self) -> str:
        """The rest: what was held back. A character of which only the first bytes came is left out."""
        return self._finder.flush()
