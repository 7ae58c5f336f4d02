"""Markdown that is still being written: what of it will not change any more, and how the rest looks now."""

from functools import cache

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def blocks_of(text: str) -> list[str]:
    """The text cut before each of its top-level blocks."""
    tokens = _parser().parse(text)
    starts = [token.map[0] for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
    lines = text.split("\n")
    ends = [*starts[1:], len(lines)]
    return (
        ["\n".join(lines[start:end]) for start, end in zip([0, *starts[1:]], ends, strict=True)] if starts else [text]
    )


def finished_length(text: str) -> int:
    """How many leading characters are finished blocks: everything before the last block, which may still grow."""
    return len(text) - len(blocks_of(text)[-1])


class Block:
    """Some markdown without blank rows around it.

    rows: show only the last ones, so that what is redrawn always fits on the screen; None: all.
    """

    def __init__(self, text: str, rows: int | None = None) -> None:
        self._text = text
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = _without_blank_edges(console.render_lines(Markdown(self._text), options, pad=False))
        for line in lines[-self._rows :] if self._rows else lines:
            yield from line
            yield Segment.line()


def _without_blank_edges(lines: list[list[Segment]]) -> list[list[Segment]]:
    written = [number for number, line in enumerate(lines) if any(segment.text.strip() for segment in line)]
    return lines[written[0] : written[-1] + 1] if written else []
