"""An answer in the terminal: finished blocks stay, the last one is redrawn, a status line tells of waiting."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from cli.chat_markdown import Block, blocks_of, finished_length
from cli.chat_words import Words
from cli.plain_text import clean
from troupe.chat.v1 import GenerateResponse
from troupe.rpc.v1 import Progress

FRAME_SECONDS = 1 / 15
"""Time between two drawings at least."""

THOUGHT_COLUMNS = 60


def status_text(progress: Progress, words: Words, model: str) -> str:
    """What a call is waiting for, in the person's language; in the hub's words where its state says nothing."""
    names = {
        Progress.STATE_QUEUED: words.queued,
        Progress.STATE_LOADING: words.loading.format(model=model),
        Progress.STATE_RUNNING: words.running,
    }
    parts = [names.get(progress.state, "") or progress.note or words.waiting]
    if progress.position:
        parts.append(words.place.format(position=progress.position))
    if progress.HasField("fraction"):
        parts.append(f"{progress.fraction:.0%}")
    if progress.HasField("eta"):
        parts.append(words.about.format(seconds=max(1, round(progress.eta.ToNanoseconds() / 1e9))))
    return clean(" · ".join(parts)).replace("\n", " ")


class AnswerView:
    """Shows one answer. Use it with `async with`; leaving it prints what is still unfinished for good.

    connected: whether there is a connection to the hub now.
    """

    def __init__(self, console: Console, words: Words, model: str, connected: Callable[[], bool]) -> None:
        self._console = console
        self._words = words
        self._model = model
        self._connected = connected
        self._tail = ""
        self._status = words.waiting
        self._thought = ""
        self._printed = False
        self._dirty = True
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._drawing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._live.start()
        self._drawing = asyncio.create_task(self._draw())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawing is not None:
            self._drawing.cancel()
            await asyncio.gather(self._drawing, return_exceptions=True)
        self._live.update(Text(""))
        if self._tail.strip():
            self._console.print(self._final(self._tail))
        self._live.stop()

    def take(self, event: GenerateResponse) -> None:
        """Something of the answer came."""
        if event.HasField("progress"):
            self._status = status_text(event.progress, self._words, self._model)
        if event.delta.reasoning:
            self._thought = (self._thought + clean(event.delta.reasoning).replace("\n", " "))[-THOUGHT_COLUMNS:]
            self._status = f"{self._words.thinking}: {self._thought}"
        if event.delta.text:
            self._status = ""
            self._tail += clean(event.delta.text)
        self._dirty = True

    async def _draw(self) -> None:
        while True:
            began = time.monotonic()
            if self._dirty or self._shown_status():
                self._dirty = False
                finished = self._settle()
                self._live.update(self._picture(), refresh=not finished)
                if finished:  # printing draws the picture below it in the same breath
                    self._console.print(finished)
            # Drawing takes at most half of the time, however slow the terminal is.
            await asyncio.sleep(max(FRAME_SECONDS, time.monotonic() - began))

    def _settle(self) -> RenderableType | None:
        """What has become final since the last drawing."""
        length = finished_length(self._tail)
        finished, self._tail = self._tail[:length], self._tail[length:]
        return self._final(finished) if finished.strip() else None

    def _final(self, text: str) -> RenderableType:
        blocks = [Block(block) for block in blocks_of(text)]
        spaced = [part for block in blocks for part in (Text(""), block)]
        first, self._printed = not self._printed, True
        return Group(*(spaced[1:] if first else spaced))

    def _shown_status(self) -> str:
        return self._status if self._connected() else self._words.reconnecting

    def _picture(self) -> RenderableType:
        rows = max(1, self._console.height - 3)
        parts: list[RenderableType] = []
        if self._printed and self._tail.strip():
            parts.append(Text(""))
        if self._tail.strip():
            parts.append(Block(self._tail, rows))
        if status := self._shown_status():
            self._spinner.update(text=Text(status, style="dim", no_wrap=True, overflow="ellipsis"))
            parts.append(self._spinner)
        return Group(*parts)
