import os
from pathlib import Path

from host.output import Output


def test_output_is_cut_when_it_is_too_long_and_writers_go_on(tmp_path: Path) -> None:
    with Output(tmp_path / "logs" / "echo.log", max_bytes=100) as output:
        os.write(output.fileno(), b"a" * 60 + b"\n")
        output.trim()
        assert output.path.stat().st_size == 61
        os.write(output.fileno(), b"b" * 60 + b"\n")
        output.trim()
        os.write(output.fileno(), b"last words\n{}\n")
        assert output.path.read_bytes() == b"last words\n{}\n"
        assert output.path.with_name("echo.log.1").stat().st_size == 100
        assert output.last_line() == "last words"


def test_a_disk_without_room_for_what_is_over_stops_nobody(tmp_path: Path) -> None:
    with Output(tmp_path / "echo.log", max_bytes=100) as output:
        output.path.with_name("echo.log.1").symlink_to("/dev/full")
        os.write(output.fileno(), b"a" * 200)
        output.trim()
        assert output.path.stat().st_size == 0


def test_the_last_line_is_of_this_run_only(tmp_path: Path) -> None:
    with Output(tmp_path / "echo.log") as before:
        os.write(before.fileno(), b"old words\n")
    with Output(tmp_path / "echo.log") as output:
        assert output.last_line() == ""
