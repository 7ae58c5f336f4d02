"""How the actors of a hub are, as lines that appear when something changes."""

import asyncio
import json
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

LOOK_EVERY_SECONDS = 1.0

LOOK_SECONDS = 10.0
MAX_BODY = 1024 * 1024


async def follow(
    http: str,
    tell: Callable[[str], None],
    *,
    known: Mapping[str, str] | None = None,
    look: Callable[[str], Any] | None = None,
) -> None:
    """Tell every change of an actor's state until cancelled.

    known: the states that were told already. look: another way to ask than GET /readyz.
    """
    known = dict(known or {})
    while True:
        now = states(await asyncio.to_thread(look or readyz, http))
        for line in changes(known, now):
            tell(line)
        known |= now
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def readyz(http: str) -> Any:
    """What GET /readyz says, also while something is missing; None where nobody answers sensibly."""
    try:
        _, body = get(http, "/readyz", LOOK_SECONDS)
        return json.loads(body)
    except (OSError, ValueError, HTTPException):
        return None


def get(http: str, path: str, timeout: float) -> tuple[int, bytes]:
    """Status and body, at most MAX_BODY of it, past any proxy. Raises OSError, HTTPException."""
    connection = HTTPConnection(urlsplit(http).netloc, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(MAX_BODY)
    finally:
        connection.close()


def states(readiness: Any) -> dict[str, str]:
    """Each actor's state; empty where nothing is known."""
    actors = readiness.get("actors") if isinstance(readiness, dict) else None
    return {name: actor["state"] for name, actor in actors.items()} if isinstance(actors, dict) else {}


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """A line for each actor whose state is another than before."""
    return [f"  {name}: {state.replace('_', ' ')}" for name, state in now.items() if before.get(name) != state]
