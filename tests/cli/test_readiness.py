"""How states of actors become lines."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cli import readiness
from cli.readiness import changes, follow, readyz, states


def told(**actors: str) -> dict[str, Any]:
    return {"actors": {name: {"state": state} for name, state in actors.items()}}


def test_only_what_changed_is_told() -> None:
    assert changes({"echo": "serving", "llama": "serving"}, {"echo": "serving", "llama": "backing_off"}) == [
        "  llama: backing off"
    ]


@pytest.mark.parametrize("answer", [None, "text", {}, {"actors": None}])
def test_an_answer_without_actors_tells_nothing(answer: Any) -> None:
    assert states(answer) == {}


def test_nobody_there_is_no_error() -> None:
    assert readyz("http://127.0.0.1:1") is None


async def test_a_change_is_told_once_and_what_was_known_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "LOOK_EVERY_SECONDS", 0.0)
    looks: Iterator[Any] = iter(
        [told(echo="serving"), None, told(echo="failed"), told(echo="failed"), told(echo="serving")]
    )
    lines: list[str] = []
    recovered = asyncio.Event()

    def tell(line: str) -> None:
        lines.append(line)
        if line.endswith("serving"):
            recovered.set()

    following = asyncio.create_task(
        follow("http://hub", tell, known={"echo": "serving"}, look=lambda _: next(looks, None))
    )
    async with asyncio.timeout(20):
        await recovered.wait()
    following.cancel()
    assert lines == ["  echo: failed", "  echo: serving"]
