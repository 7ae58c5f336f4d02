"""What the lines of a log are read as, chosen by, and written like."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.log_lines import Choice, Line, Tail, parsed, read, sources, written

AT = datetime(2026, 11, 28, 18, 0, 0, tzinfo=UTC).timestamp()


def event(second: float, name: str, level: str = "info", **facts: Any) -> str:
    stamp = datetime.fromtimestamp(AT + second, UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({**facts, "event": name, "level": level, "timestamp": stamp, "process": "echo"})


def test_an_event_is_read_with_its_time_and_facts() -> None:
    line = parsed("echo", event(1.5, "call.ended", call_id="abc"), 0)
    assert (line.at, line.level, line.event, line.facts) == (AT + 1.5, "info", "call.ended", {"call_id": "abc"})


def test_what_is_no_event_has_the_time_of_the_line_before() -> None:
    for text in ("warming up", "{broken", '{"event": "x"}', '{"timestamp": 5}', "[" * 9000):
        assert parsed("echo", text, AT) == Line("echo", AT, text)


def test_the_nats_servers_own_lines_are_understood() -> None:
    line = parsed("nats", "[7] 2026/11/28 18:00:00.250000 [WRN] Slow consumer", 0)
    assert (line.level, line.event) == ("warning", "Slow consumer")
    assert line.at == datetime(2026, 11, 28, 18, 0, 0, 250000).astimezone().timestamp()


@given(st.text(), st.sampled_from(["echo", "nats"]))
def test_any_text_is_some_line_and_can_be_written(text: str, source: str) -> None:
    shown = written(parsed(source, text, AT), width=8, colours=False)
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in shown)


def test_logs_are_told_in_order_of_time_with_the_older_file_first(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "echo.log.1").write_text(event(0, "a") + "\n")
    (logs / "echo.log").write_text(event(3, "d") + "\nplain\n")
    (logs / "llama.log").write_text(event(1, "b") + "\n" + event(2, "c") + "\n")
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "server.log").write_text("")
    assert list(sources(tmp_path)) == ["echo", "llama", "nats"]
    assert [line.event or line.text for line in read(sources(tmp_path))] == ["a", "b", "c", "d", "plain"]


def test_a_line_without_end_is_told_in_pieces_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "echo.log").write_bytes(b"x" * 200_000)
    assert [len(line.text) for line in read(sources(tmp_path))] == [65536, 65536, 65536, 3392]


def test_what_comes_after_the_reading_is_followed_and_nothing_is_told_twice(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    file = tmp_path / "logs" / "echo.log"
    file.write_text(event(0, "before") + "\n")
    tail = Tail("echo", file)
    with file.open("a") as log:
        log.write(event(1, "during") + "\n" + event(2, "half")[:20])
        log.flush()
        assert [line.event for line in read(sources(tmp_path), [tail])] == ["before"]
        assert [line.event for line in tail.grown()] == ["during"]
        log.write(event(2, "half")[20:] + "\n")
    assert [line.event for line in tail.grown()] == ["half"]
    assert tail.grown() == []


def test_a_log_that_was_cut_is_followed_from_its_start(tmp_path: Path) -> None:
    file = tmp_path / "echo.log"
    file.write_text(event(0, "before") + "\n" + event(0, "before") + "\n")
    tail = Tail("echo", file)
    file.write_text(event(1, "after") + "\n")
    assert [line.event for line in tail.grown()] == ["after"]
    file.unlink()
    assert tail.grown() == []


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (Choice(), ["a", "b", "", "c"]),
        (Choice(["815f6a7348cc"]), ["b"]),
        (Choice(["815f6a7348cc", "anna"]), []),
        (Choice(since=AT + 2), ["", "c"]),
        (Choice(level="warning"), ["b", "c"]),
        (Choice(level="error"), ["c"]),
    ],
)
def test_lines_are_chosen_by_words_time_and_level(choice: Choice, wanted: list[str]) -> None:
    lines = [
        parsed("echo", event(0, "a"), 0),
        parsed("echo", event(1, "b", "warning", reference="815f6a7348cc"), 0),
        parsed("echo", "plain", AT + 2),
        parsed("echo", event(3, "c", "error"), 0),
    ]
    assert [line.event for line in lines if line in choice] == wanted


def test_a_line_for_people_has_its_facts_and_its_traceback_below() -> None:
    text = event(0, "call.failed", "error", reason="INTERNAL", note="two words", exception="Traceback\nBoom\x1b[2J")
    first, *below = written(parsed("echo", text, 0), width=10, colours=False).splitlines()
    assert first.endswith('  echo        ERROR call.failed  reason=INTERNAL note="two words"')
    assert below == ["    Traceback", "    Boom[2J"]
    assert "\x1b[31mERROR call.failed\x1b[0m" in written(parsed("echo", text, 0), width=10, colours=True)
