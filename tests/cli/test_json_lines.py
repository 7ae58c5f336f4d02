"""Lines of stdin, as they come."""

import asyncio
import io
import os
import sys

import pytest

from cli import json_lines
from cli.failure import CommandError
from cli.json_lines import from_stdin


async def test_lines_come_with_their_numbers_and_empty_ones_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("{}\n\n  \n[]"))
    assert [found async for found in from_stdin()] == [(1, "{}\n"), (4, "[]")]


async def test_a_line_beyond_all_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MAX_LINE", 10)
    monkeypatch.setattr(sys, "stdin", io.StringIO("{}\n" + "x" * 11))
    lines = from_stdin()
    assert await anext(lines) == (1, "{}\n")
    with pytest.raises(CommandError, match="Line 2 of stdin is longer than 10 characters"):
        await anext(lines)


async def test_what_is_no_text_is_told_and_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), "utf-8"))
    async with asyncio.timeout(20):
        with pytest.raises(CommandError, match="cannot be read: 'utf-8' codec"):
            await anext(from_stdin())


async def test_a_line_is_there_before_the_next_one_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "w") as writer:
        monkeypatch.setattr(sys, "stdin", stdin)
        lines = from_stdin()
        for text in ("first\n", "second\n"):
            writer.write(text)
            writer.flush()
            async with asyncio.timeout(20):
                assert (await anext(lines))[1] == text
        writer.close()
        async with asyncio.timeout(20):
            assert [found async for found in lines] == []
