"""`troupe stage`: as text, as JSON, as a screen."""

import asyncio
import io
import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from cli.stage_text import bar, decision_line, lines
from cli.stage_view import screen, show
from troupe.gpu.v1 import Decision, Device, LeaseInfo, LeaseState, Share, WatchResponse, Wish
from troupe.rpc.v1 import Priority

from .conftest import Run, environment

GIB = 2**30
NOW = 1_800_000_000.0


def card(**values: object) -> Device:
    return Device(**{"name": "card", "total_bytes": 100, "cap_bytes": 80} | values)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("device", "drawn"),
    [
        (card(), "........|.."),
        (card(leased_bytes=30, others_bytes=20), "###oo...|.."),
        (card(leased_bytes=50, unverified_bytes=20, others_bytes=30), "#####??o|oo"),
        (card(leased_bytes=90, others_bytes=90), "########|#o"),
        (card(cap_bytes=100), "..........|"),
        (Device(name="empty"), "|.........."),
    ],
)
def test_a_bar_shows_whose_memory_it_is_and_where_the_cap_is(device: Device, drawn: str) -> None:
    assert bar(device, 10) == drawn


def picture() -> WatchResponse:
    device = card(total_bytes=16 * GIB, cap_bytes=12 * GIB, leased_bytes=4 * GIB, utilization=0.5, temperature=61)
    lease = LeaseInfo(name="a", holder="llama-a-1", state=LeaseState.LEASE_STATE_IDLE, pinned=True)
    lease.shares.append(Share(device="card", bytes=4 * GIB))
    lease.since.FromNanoseconds(int((NOW - 65) * 1e9))
    wish = Wish(name="b", priority=Priority.PRIORITY_VOICE, position=1, waiting=2, reason="Waits for a.")
    wish.since.FromNanoseconds(int((NOW - 3) * 1e9))
    wish.eta.FromNanoseconds(12_000_000_000)
    return WatchResponse(devices=[device], leases=[lease], wishes=[wish], decisions=[Decision(what="waits", name="b")])


def test_everything_has_its_line() -> None:
    said = lines(picture(), picture().decisions, NOW)
    assert said[0] == "card, 50% busy, 61 °C"
    assert said[1].endswith("] at most 12.0 GiB of 16.0 GiB")
    assert said[2] == "  4.0 GiB leased, nothing used by others"
    assert said[5].split() == ["a", "idle", "*", "1", "min", "5", "s", "4.0", "GiB", "of", "card", "llama-a-1"]
    assert said[8].split() == ["1", "b", "voice", "3", "s", "2", "12", "s"]
    assert said[9] == "    Waits for a."
    assert max(map(len, said)) <= 80
    assert "waits" in said[-1]


def test_an_empty_stage_and_a_lost_card_are_told() -> None:
    said = lines(WatchResponse(devices=[card(lost=True)]), [], NOW)
    assert said[0] == "card, does not answer"
    assert said[-1] == "Nothing is loaded."


def test_a_screen_is_never_higher_than_the_terminal_and_holds_the_newest_decisions() -> None:
    decisions = [Decision(what="granted", name=f"model-{number}") for number in range(100)]
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    console.print(screen(picture(), decisions, NOW, console.size))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert shown.count("\n") <= 24
    assert "model-99" in shown and "model-50" not in shown


def test_a_decision_is_read_whole_on_a_narrow_terminal() -> None:
    console = Console(file=io.StringIO(), width=40, height=30, color_system=None)
    reason = "llama/bea waits for its memory and has waited for as long as it has to"
    console.print(screen(picture(), [Decision(what="revoked", name="a", reason=reason)], NOW, console.size))
    shown = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]  # a StringIO
    assert "as long as it has to" in shown


def test_what_others_have_named_does_not_steer_the_terminal() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    evil = WatchResponse(leases=[LeaseInfo(name="\x1b]0;owned\x07", state=LeaseState.LEASE_STATE_IDLE)])
    console.print(screen(evil, [Decision(name="\x1b[2J")], NOW, console.size))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert "\x1b]0" not in shown and "\x1b[2J" not in shown


async def test_the_live_screen_follows_what_is_answered() -> None:
    async def answers() -> AsyncIterator[WatchResponse]:
        yield picture()
        yield WatchResponse(devices=[card(name="later")], decisions=[Decision(what="granted", name="c")])

    console = Console(file=io.StringIO(), width=100, height=30, force_terminal=True)
    await show(answers(), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert "card" in shown and "later" in shown
    assert shown.index("waits") < shown.rindex("waits"), "earlier decisions stay"


async def test_into_a_pipe_everything_is_written_once(troupe: Run, door: str) -> None:
    ended = await troupe("stage", "--target", door)
    assert (ended.code, ended.err) == (0, "")
    assert "4.0 GiB leased, 2.0 GiB used by others" in ended.out and "at most 12.0 GiB of 16.0 GiB" in ended.out
    assert "llama-tiny-1" in ended.out and "Waits for tiny." in ended.out and "There is room." in ended.out
    assert "It is its turn." not in ended.out


async def test_as_json_it_is_the_contracts_message(troupe: Run, door: str) -> None:
    [line] = (await troupe("stage", "--json", "--target", door)).out.splitlines()
    assert json.loads(line)["leases"][0]["name"] == "llama/tiny"


async def test_a_plan_says_what_runs_together_and_what_to_change(troupe: Run, door: str) -> None:
    ended = await troupe("stage", "plan", "a", "--target", door)
    assert (ended.code, ended.err, ended.out.splitlines()[-1]) == (0, "", "They run together.")
    ended = await troupe("stage", "plan", "a", "b", "c", "--json", "--target", door)
    told = json.loads(ended.out)
    assert (ended.code, told["fits"], [model["name"] for model in told["models"]]) == (1, False, ["a", "b", "c"])
    assert told["models"][2]["change"] == "with 1 slot"


async def test_another_machine_has_no_stage_here(troupe: Run, door: str) -> None:
    ended = await troupe("stage", "--machine", "other", "--target", door)
    assert ended.code == 1
    assert "Nobody keeps the memory of the machine 'other'" in ended.err


async def test_on_a_plain_terminal_decisions_follow_as_lines(tmp_path: Path, door: str) -> None:
    main, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "stage", "--target", door),
        cwd=tmp_path,
        env=environment(tmp_path) | {"TERM": "dumb"},
        stdout=terminal,
    )
    os.close(terminal)
    async with asyncio.timeout(60):
        assert await process.wait() == 0
    said = os.read(main, 65536).decode()
    os.close(main)
    assert said.index("There is room.") < said.index("It is its turn.")
    assert "\x1b" not in said


def test_a_decision_is_one_line() -> None:
    assert decision_line(Decision(what="revoked", name="a", reason="b waits.")).endswith("revoked     a: b waits.")
    line = decision_line(Decision(what="refused", name="a", reason="a needs much."))
    assert line.endswith("refused     a needs much.")
