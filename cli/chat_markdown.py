"""Markdown that is still being written: what of it will not change any more, and how the rest looks now."""

from functools import cache

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment

_HARMLESS = "\n\t"
_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in _HARMLESS}


def clean(text: str) -> str:
    """The text without control characters: a model must not steer the terminal."""
    return text.translate(_CONTROL)


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def finished_length(text: str) -> int:
    """How many leading characters are finished blocks: everything before the last block, which may still grow."""
    starts = [token.map[0] for token in _parser().parse(text) if token.level == 0 and token.map and token.nesting >= 0]
    if len(starts) < 2:
        return 0
    return sum(len(line) + 1 for line in text.split("\n")[: starts[-1]])


class Tail:
    """The last `rows` rows of some markdown, so that what is redrawn always fits on the screen."""

    def __init__(self, text: str, rows: int) -> None:
        self._text = text
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(Markdown(self._text), options, pad=False)
        for line in lines[-self._rows :]:
            yield from line
            yield Segment.line()
