"""The stage as a screen that lives."""

import time
from collections import deque
from collections.abc import AsyncIterator, Iterable

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli.plain_text import clean
from cli.stage_text import SIGNS, decision_lines, device_lines, lease_lines, wish_lines
from troupe.gpu.v1 import Decision, WatchResponse

KEPT = 100
"""Decisions that are kept for the screen."""

LEAST = 3
"""Of them, those that are shown however small the screen is."""

COLOURS = {
    SIGNS["leased"]: "green",
    SIGNS["unverified"]: "yellow",
    SIGNS["others"]: "blue",
    SIGNS["free"]: "dim",
    SIGNS["cap"]: "bold red",
}


async def show(answers: AsyncIterator[WatchResponse], console: Console | None = None) -> None:
    """Show the newest of what is answered until there is no more. Cancelled, the terminal is as it was before."""
    decisions: deque[Decision] = deque(maxlen=KEPT)
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        async for picture in answers:
            decisions.extend(picture.decisions)
            live.update(screen(picture, decisions, time.time(), live.console.size), refresh=True)


def screen(
    picture: WatchResponse, decisions: Iterable[Decision], now: float, size: ConsoleDimensions
) -> RenderableType:
    """One picture: what there is above, the last decisions below, whole and as many as there is room for."""
    parts = [_bars(line) for device in picture.devices for line in device_lines(device)]
    leases = lease_lines(picture.leases, now) or ["Nothing is loaded."]
    for section in (leases, wish_lines(picture.wishes, now)):
        if section:
            parts += [Text(), Text(clean(section[0]), "bold"), *(_line(line) for line in section[1:])]
    room = size.height - len(parts) - 2
    newest: list[Text] = []
    for line in reversed(decision_lines(decisions)):
        room -= -(-len(line) // size.width)
        if room < 0 and len(newest) >= LEAST:
            break
        newest.insert(0, Text(clean(line), "dim"))
    return Group(*parts, *([Text(), *newest] if newest else []))


def _line(text: str, style: str = "") -> Text:
    return Text(clean(text), style, no_wrap=True, overflow="ellipsis")


def _bars(text: str) -> Text:
    """A device's line, whose bar has colours."""
    line = _line(text)
    if text.startswith("  ["):
        for place in range(3, text.index("]")):
            line.stylize(COLOURS.get(text[place], ""), place, place + 1)
    else:
        line.stylize("bold")
    return line
