"""`troupe logs`, as a program."""

import argparse
import asyncio
import sys
import time
from pathlib import Path

import pytest

from cli.logs import moment

from .conftest import PATIENCE_SECONDS, Run, environment
from .test_log_lines import event


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "echo.log").write_text("".join(event(n, f"e{n}") + "\n" for n in range(300)))
    (home / "logs" / "gateway.log").write_text(event(150.5, "call.refused", "warning", reference="815f6a7348cc") + "\n")
    return home


async def test_the_reference_of_an_error_is_found(troupe: Run, home: Path) -> None:
    ended = await troupe("logs", "815f6a7348cc")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.rstrip().endswith("gateway  WARNING call.refused  reference=815f6a7348cc")
    assert (await troupe("logs", "echo", "815f6a7348cc")).code == 1


async def test_the_last_lines_are_shown_unless_more_are_asked_for(troupe: Run, home: Path) -> None:
    assert len((await troupe("logs")).out.splitlines()) == 200
    assert len((await troupe("logs", "--since", "2026-01-01")).out.splitlines()) == 301
    assert [line.split()[3] for line in (await troupe("logs", "echo", "-n", "2")).out.splitlines()] == ["e298", "e299"]


async def test_lines_as_they_are_written_are_for_programs(troupe: Run, home: Path) -> None:
    assert (await troupe("logs", "gateway", "--json")).out == (home / "logs" / "gateway.log").read_text()


async def test_a_misspelt_log_is_told_with_the_nearest_one(troupe: Run, home: Path) -> None:
    ended = await troupe("logs", "gatway")
    assert (ended.code, "Did you mean the log gateway?" in ended.err) == (1, True)


async def test_a_home_without_logs_says_so(troupe: Run) -> None:
    ended = await troupe("logs")
    assert (ended.code, "There are no logs in" in ended.err) == (1, True)


async def test_what_is_written_from_now_on_is_followed(home: Path, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "logs", "-f", "-n", "1"),
        cwd=tmp_path, env=environment(home), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert b"e299" in await process.stdout.readline()
        with (home / "logs" / "gateway.log").open("a") as log:
            log.write(event(400, "later") + "\n")
        assert b"gateway  later" in await process.stdout.readline()
        process.terminate()
        await process.wait()


@pytest.mark.parametrize(("text", "ago"), [("90s", 90), ("10m", 600), ("10min", 600), ("1.5h", 5400), ("2d", 172800)])
def test_a_span_is_a_moment_before_now(text: str, ago: float) -> None:
    assert abs(time.time() - ago - moment(text)) < 5


@pytest.mark.parametrize("text", ["", "soon", "10 parsecs", "m", "1e999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        moment(text)
