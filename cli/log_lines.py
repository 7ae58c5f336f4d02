"""The lines of a hub's logs: read from their files in order of time, chosen, and written for people."""

import heapq
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.plain_text import clean, time_text

MAX_LINE = 64 * 1024
"""Bytes of a line that are looked at."""

LEVELS = ("debug", "info", "warning", "error", "critical")

NATS = "nats"
"""How the NATS server's own log is called."""

_SHOWN_APART = frozenset({"timestamp", "level", "event", "process", "exception"})
_NATS_LINE = re.compile(r"\[\d+\] (?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+) \[(?P<level>\w+)\] (?P<event>.*)")
_NATS_LEVELS = {"INF": "info", "DBG": "debug", "TRC": "debug", "WRN": "warning", "ERR": "error", "FTL": "critical"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line. source: the log it is from; at: seconds since 1970; text: as it is written there.

    facts: what the event tells beside its name; of a line that is no event, nothing.
    """

    source: str
    at: float
    text: str
    level: str = ""
    event: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    process: str = ""
    exception: str = ""


def parsed(source: str, text: str, before: float) -> Line:
    """A line of a log. before: the time of the one before it, which is that of a line that tells none."""
    if text.startswith("{"):
        return _event(source, text, before)
    found = _NATS_LINE.fullmatch(text) if source == NATS else None
    if found is None:
        return Line(source, before, text)
    at = datetime.strptime(found["time"], "%Y/%m/%d %H:%M:%S.%f").astimezone().timestamp()
    return Line(source, at, text, _NATS_LEVELS.get(found["level"], "info"), found["event"])


def _event(source: str, text: str, before: float) -> Line:
    try:
        told = json.loads(text)
        at = datetime.fromisoformat(told["timestamp"]).timestamp()
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return Line(source, before, text)
    facts = {name: value for name, value in told.items() if name not in _SHOWN_APART}
    words = {name: str(told.get(name, "")) for name in ("level", "event", "process", "exception")}
    return Line(source, at, text, facts=facts, **words)


# ---- files


def sources(home: Path) -> dict[str, list[Path]]:
    """The files of each log, by its name, the older one first."""
    found = {file.stem: _with_older(file) for file in sorted((home / "logs").glob("*.log"))}
    server = home / "nats" / "server.log"
    return {**found, NATS: [server]} if server.is_file() else found


def _with_older(file: Path) -> list[Path]:
    older = file.with_name(f"{file.name}.1")
    return [older, file] if older.is_file() else [file]


def read(files: Mapping[str, Sequence[Path]], tails: Iterable["Tail"] = ()) -> Iterator[Line]:
    """Every line of these logs in order of time, up to where the tails begin. Raises OSError."""
    ends = {tail.file: tail.offset for tail in tails}
    return heapq.merge(*(_lines(source, each, ends) for source, each in files.items()), key=lambda line: line.at)


def _lines(source: str, files: Iterable[Path], ends: Mapping[Path, int]) -> Iterator[Line]:
    at = 0.0
    for file in files:
        end = ends.get(file, sys.maxsize)
        with file.open("rb") as opened:
            while opened.tell() < end and (raw := opened.readline(MAX_LINE)):
                line = parsed(source, decoded(raw), at)
                at = line.at
                yield line


def decoded(raw: bytes) -> str:
    """A line's text without its end."""
    return raw.decode("utf-8", errors="replace").rstrip("\r\n")


class Tail:
    """What is written to one log from now on. offset: bytes of it that were there before. Raises OSError."""

    def __init__(self, source: str, file: Path) -> None:
        self.file = file
        self.offset = file.stat().st_size
        self._source = source
        self._rest = b""
        self._at = datetime.now(UTC).timestamp()

    def grown(self) -> list[Line]:
        """The whole lines that came since this was last asked. A file that was cut is read from its start."""
        try:
            with self.file.open("rb") as opened:
                size = opened.seek(0, 2)
                if size < self.offset:
                    self.offset, self._rest = 0, b""
                opened.seek(self.offset)
                data = opened.read(size - self.offset)
        except OSError:
            return []
        self.offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-MAX_LINE:]
        return [self._parsed(raw) for raw in whole]

    def _parsed(self, raw: bytes) -> Line:
        line = parsed(self._source, decoded(raw[:MAX_LINE]), self._at)
        self._at = line.at
        return line


# ---- choosing


@dataclass(frozen=True, slots=True)
class Choice:
    """Which lines are wanted. words: each must stand in the line; since: seconds since 1970; level: at least this."""

    words: Sequence[str] = ()
    since: float = 0.0
    level: str = "debug"

    def __contains__(self, line: Line) -> bool:
        return line.at >= self.since and self._serious(line) and all(word in line.text for word in self.words)

    def _serious(self, line: Line) -> bool:
        """A line that is no event belongs to no level: it is shown where all are."""
        wanted = LEVELS.index(self.level)
        return LEVELS.index(line.level) >= wanted if line.level in LEVELS else wanted <= LEVELS.index("info")


# ---- for people

_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


def written(line: Line, *, width: int, colours: bool) -> str:
    """A line for people. width: of the column with the processes' names."""
    dim, plain = (_DIM, _PLAIN) if colours else ("", "")
    loud = _COLOURS.get(line.level, "") if colours else ""
    head = f"{dim}{time_text(line.at) if line.at else '':19}{plain}  {line.source:<{width}}"
    if not line.event:
        return f"{head}  {clean(line.text)}"
    level = f"{line.level.upper()} " if line.level not in ("info", "debug") else ""
    facts = " ".join(f"{name}={_value(value)}" for name, value in line.facts.items())
    below = "".join(f"\n    {clean(each)}" for each in line.exception.splitlines())
    return (
        f"{head}  {loud}{level}{clean(line.event)}{plain if loud else ''}  {dim}{clean(facts)}{plain}".rstrip() + below
    )


def _value(value: Any) -> str:
    if isinstance(value, str) and value and not re.search(r"[\s\"=]", value):
        return value
    return json.dumps(value, ensure_ascii=False)
