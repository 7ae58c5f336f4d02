"""One question and its answer as plain text: for pipes and scripts."""

import sys
from contextlib import aclosing
from typing import TextIO

from cli.chat_view import status_text
from cli.chat_words import Words
from cli.plain_text import clean
from troupe.chat.v1 import FinishReason
from troupe_client import Conversation

MAX_INPUT_BYTES = 1024 * 1024

_ERASE_LINE = "\r\x1b[K"


class InputTooLong(Exception):
    """More was piped in than one question may have."""


def read_input() -> str:
    """What is piped in. Raises InputTooLong."""
    data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise InputTooLong
    return data.decode("utf-8", "replace").strip()


def readable(text: str) -> str:
    """The text with what was no UTF-8 replaced: terminals and command lines let such bytes through as surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _Notes:
    """Tells on the error stream what is being waited for, if a person reads it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = False

    def show(self, text: str) -> None:
        if self._stream.isatty():
            self._stream.write(f"{_ERASE_LINE}{text}")
            self._stream.flush()
            self._shown = True

    def clear(self) -> None:
        if self._shown:
            self._stream.write(_ERASE_LINE)
            self._stream.flush()
            self._shown = False


async def answer_plainly(conversation: Conversation, question: str, words: Words) -> None:
    """Write the answer to standard output as it comes. Raises RpcError, and BrokenPipeError when nobody reads on."""
    notes = _Notes(sys.stderr)
    ends_line = True
    try:
        async with aclosing(conversation.events(question)) as events:
            async for event in events:
                if event.HasField("progress"):
                    notes.show(status_text(event.progress, words, conversation.model))
                if text := clean(event.delta.text):
                    notes.clear()
                    sys.stdout.write(text)
                    sys.stdout.flush()
                    ends_line = text.endswith("\n")
    finally:
        notes.clear()
        if not ends_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
    if conversation.finish_reason == FinishReason.FINISH_REASON_LENGTH:
        print(words.cut_at_limit, file=sys.stderr)
