"""A process that prints into its log."""

import os
import signal
import sys
from pathlib import Path

import pytest

from host import process
from host.logged_process import ending, start
from host.output import Output


@pytest.mark.parametrize(
    ("status", "line", "told"),
    [
        (0, "bye", "ended with status 0"),
        (3, "out of paint", "ended with status 3: out of paint"),
        (3, "", "ended with status 3"),
        (-signal.SIGKILL, "bye", "ended by SIGKILL"),
    ],
)
def test_an_end_is_told_with_the_last_line_where_it_was_a_failure(status: int, line: str, told: str) -> None:
    assert told in str(ending(status, line))


async def test_what_it_prints_lies_in_its_log_and_is_told_at_its_end(tmp_path: Path) -> None:
    output = Output(tmp_path / "painter.log")
    command = [
        sys.executable,
        "-c",
        "import os, sys; print(os.environ['PAINT']); sys.exit('out of ' + os.environ['PAINT'])",
    ]
    running = await start(command, output, {**os.environ, "PAINT": "ochre"})
    assert "ended with status 1: out of ochre" in str(await running.ended())
    assert (tmp_path / "painter.log").read_text().splitlines() == ["ochre", "out of ochre"]


async def test_a_program_that_is_not_there_leaves_no_log_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "dying_with_parent", lambda _: [])
    output = Output(tmp_path / "painter.log")
    with pytest.raises(OSError, match="/nonexistent"):
        await start(["/nonexistent/program"], output, {"PATH": ""})
    with pytest.raises((OSError, ValueError)):
        os.fstat(output.fileno())
