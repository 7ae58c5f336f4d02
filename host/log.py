"""Logs: one line of JSON per event, or coloured text for people, with the call and the process, without secrets.

`configure` is called once, by a process's main. Everything else takes `structlog.get_logger(__name__)` and logs a
dotted name and facts: `log.warning("model.unloaded", model=name)`. Libraries that use `logging` come out the same way.
"""

import enum
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog
from google.protobuf.message import Message
from structlog.typing import EventDict, Processor, WrappedLogger

from bus.behalf import REQUEST_ID
from bus.context import current_context
from host.settings import LogSettings

MAX_TEXT = 8 * 1024
"""Longer values are cut."""

MAX_QUOTE = 60
"""Longer quotes inside of a text, for example in an exception's message, may be somebody's words."""

MAX_DEPTH = 6

HIDDEN = "[secret]"

_SECRET_NAME = re.compile(
    r"(^|[-_.])(authorization|api[-_]?key|resume[-_]?key|private[-_]?key|key|token|password|passwd|secret|cookie|credentials?)$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(?P<prefix>\b(?:tr|sk|hf|troupe\.key\.tr)[-_])[A-Za-z0-9_-]{8,}"
    r"|(?P<login>//)[^/\s:@]*:[^/\s@]+@",
    re.IGNORECASE,
)
_WORDS_NAME = re.compile(
    r"^(prompts?|texts?|contents?|messages?|inputs?|outputs?|delta|arguments|answers?|questions?|query|requests?"
    r"|responses?|payloads?|system|transcript|documents?|completion)$",
    re.IGNORECASE,
)
_QUOTE = re.compile(
    # Not the names of files in tracebacks, and no apostrophes.
    rf"(?<!File )(?<!\w)(['\"])(?P<words>(?:(?!\1).){{{MAX_QUOTE + 1},}}?)\1(?!\w)",
    re.DOTALL,
)


class Output(Protocol):
    """Where lines go; a text file is one."""

    def write(self, text: str, /) -> object:
        """Write."""

    def flush(self) -> object:
        """Let others see it."""


def configure(settings: LogSettings, process: str = "", output: Output | None = None) -> None:
    """Set up logging for this process.

    process: named on each line. output: where lines go, standard error unless given.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _where(process),
        structlog.processors.format_exc_info,
        Redaction(words=settings.redact),
    ]
    renderer = _renderer(settings)
    target: Any = output or sys.stderr
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=target),
    )
    handler = logging.StreamHandler(target)
    finish: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=finish, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries are chatty below this; asked for, everything is shown.
    root.setLevel(level if level == logging.DEBUG else max(level, logging.WARNING))


def _where(process: str) -> Processor:
    """Adds the process, and the call that this task works for."""

    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if process:
            event.setdefault("process", process)
        context = current_context()
        if context is not None:
            event.setdefault("call_id", context.call_id)
            event.setdefault("method", context.method.full_name)
            _set(event, "principal", context.behalf.principal)
            _set(event, "credential_id", context.behalf.credential)
            _set(event, "request_id", context.metadata.get(REQUEST_ID, ""))
        return event

    return add


def _set(event: EventDict, name: str, value: str) -> None:
    if value:
        event.setdefault(name, value)


def _renderer(settings: LogSettings) -> Processor:
    if settings.format == "console":
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer(serializer=_json)


def _json(event: object, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


class _Kind(enum.Enum):
    """What a value's name says of it."""

    SECRET = 1
    WORDS = 2
    PLAIN = 3


@lru_cache(maxsize=1024)
def _kind_of(name: str) -> _Kind:
    if _SECRET_NAME.search(name):
        return _Kind.SECRET
    return _Kind.WORDS if _WORDS_NAME.match(name) else _Kind.PLAIN


class Redaction:
    """Takes secrets out of an event; with `words`, also prompts, answers and other people's words.

    Known by the value's name ("authorization", "prompt"), by its look (API keys, bearer tokens, logins in addresses),
    and by its length inside of quotes, which is how exceptions repeat what they were given.
    """

    def __init__(self, *, words: bool) -> None:
        self._words = words

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> MutableMapping[str, Any]:
        return {name: self._named(name, value, 0) for name, value in event.items()}

    def _named(self, name: str, value: Any, depth: int) -> Any:
        kind = _kind_of(name)
        if kind is _Kind.SECRET and value:
            return HIDDEN
        if self._words and kind is _Kind.WORDS and not isinstance(value, int | float | None):
            return _measured(value)
        return self._value(value, depth)

    def _value(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self._text(value)
        if depth >= MAX_DEPTH or isinstance(value, bytes | bytearray | memoryview | Message):
            return _measured(value)
        if isinstance(value, msgspec.Struct):
            value = msgspec.structs.asdict(value)
        if isinstance(value, Mapping):
            return {str(name): self._named(str(name), item, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(item, depth + 1) for item in value]
        return self._text(str(value) if isinstance(value, Path) else repr(value))

    def _text(self, text: str) -> str:
        if len(text) > MAX_TEXT:
            text = f"{text[: MAX_TEXT // 2]} … {text[-MAX_TEXT // 2 :]}"
        # The patterns are slow, and most values of a line are a word or a number.
        if not text.isalnum():  # what has the look of a secret has a space, a dash or slashes
            text = _SECRET_TEXT.sub(_without_secret, text)
        if self._words and len(text) > MAX_QUOTE and ("'" in text or '"' in text):
            text = _QUOTE.sub(_without_words, text)
        return text


def _without_secret(found: re.Match[str]) -> str:
    if found["login"]:
        return f"//{HIDDEN}@"
    return f"{found['scheme'] or found['prefix'] or ''}{HIDDEN}"


def _without_words(found: re.Match[str]) -> str:
    return f"{found[1]}[{len(found['words'])} characters]{found[1]}"


def _measured(value: Any) -> str:
    if isinstance(value, str):
        return f"[{len(value)} characters]"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, Message):
        return f"[{value.DESCRIPTOR.name}, {value.ByteSize()} bytes]"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return f"[{len(value)} entries]"
    return f"[{type(value).__name__}]"


class RotatingFile:
    """A log file of bounded size: when it is full it becomes `<name>.1`, replacing the one before.

    What cannot be written, because the disk is full or the file closed, is left out: a log disturbs nothing.
    """

    def __init__(self, path: Path, max_bytes: int = 8 * 1024 * 1024) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._max_bytes = max_bytes
        self._file = path.open("ab")
        self._file_size = self._file.tell()

    def write(self, text: str) -> int:
        """Append."""
        with suppress(OSError, ValueError):
            self._append(text.encode("utf-8", errors="replace"))
        return len(text)

    def _append(self, data: bytes) -> None:
        if self._file_size and self._file_size + len(data) > self._max_bytes:
            self._file.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = self._path.open("ab")
            self._file_size = 0
        self._file_size += self._file.write(data)

    def flush(self) -> None:
        """Let others see it."""
        with suppress(OSError, ValueError):
            self._file.flush()

    def close(self) -> None:
        """Write no more."""
        with suppress(OSError):
            self._file.close()
