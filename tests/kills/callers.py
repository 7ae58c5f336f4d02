"""Callers that never rest, at several doors, and what they see: how long they wait for a sign, and what is wrong."""

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from bus import RpcError
from troupe.chat.v1 import CompleteRequest
from troupe.echo.v1 import EchoRequest, RepeatRequest
from troupe_client import Hub, connect

CHAIN_COUNT = 40
STREAM_COUNT = 150
STREAM_INTERVAL_MS = 20
TINY_TOKENS = 24
REST_SECONDS = 0.05
"""After an error, so that a hub that is away is not asked a thousand times a second."""


@dataclass
class Witness:
    """What all callers have seen.

    silences: by caller, the longest times without a sign of life, in seconds, with what it waited for. ended: by caller
    and outcome ("complete", or an error's reason). wrong: sentences about what must not be.
    """

    silences: dict[str, float] = field(default_factory=dict)
    longest: list[tuple[float, str, str]] = field(default_factory=list)
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)

    def waited(self, caller: str, seconds: float, what: str) -> None:
        """A caller was without a sign for so long."""
        self.silences[caller] = max(self.silences.get(caller, 0.0), seconds)
        if seconds > 3.0:
            self.longest.append((seconds, caller, what))


class Signs:
    """One call's signs of life: answers, progress, errors, the end."""

    def __init__(self, witness: Witness, caller: str) -> None:
        self._witness = witness
        self._caller = caller
        self._last = time.monotonic()

    def begin(self) -> None:
        """What was before was no waiting."""
        self._last = time.monotonic()

    def sign(self, what: str) -> None:
        """Something came."""
        now = time.monotonic()
        self._witness.waited(self._caller, now - self._last, what)
        self._last = now


class Callers:
    """All callers of a hub. An async context: they call while it is entered."""

    def __init__(self, doors: dict[str, str], models: bool) -> None:
        self.witness = Witness()
        self._doors = doors
        self._stopping = False
        kinds: dict[str, Callable[[Hub, Signs], Awaitable[None]]] = {
            "chain": self._chain,
            "stream": self._stream,
            "unary": self._unary,
        }
        if models:
            kinds |= {"tiny": self._tiny, "openai": self._openai}
        self._kinds = kinds
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for caller, call in self._kinds.items():
            self._tasks.append(asyncio.create_task(self._go_on(caller, call), name=caller))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _go_on(self, caller: str, call: Callable[[Hub, Signs], Awaitable[None]]) -> None:
        async with connect(self._doors["grpc"], patience=30.0) as hub:
            while not self._stopping:
                signs, outcome = Signs(self.witness, caller), "complete"
                try:
                    await call(hub, signs)
                except RpcError as error:
                    outcome = error.reason or error.code.name
                except httpx.HTTPError as error:
                    outcome = type(error).__name__
                signs.sign(outcome)
                self.witness.ended[caller, outcome] += 1
                if outcome != "complete":
                    await asyncio.sleep(REST_SECONDS)

    # ---- the calls

    async def _chain(self, hub: Hub, signs: Signs) -> None:
        """Door, actor, actor: numbers in order, each once."""
        name = secrets.token_hex(8)
        self.witness.called.append(name)
        request = CompleteRequest(model="chained", prompt=f"echo {CHAIN_COUNT}", suffix=name)
        await self._numbers("chain", CHAIN_COUNT, self._chained(hub, request, signs))

    async def _chained(self, hub: Hub, request: CompleteRequest, signs: Signs) -> AsyncIterator[int]:
        async for response in hub.chat.complete(request):
            signs.sign("response")
            if response.HasField("delta"):
                yield int(response.delta.text)

    async def _stream(self, hub: Hub, signs: Signs) -> None:
        """A stream that the client resumes: numbers in order, each once, over as many gateways as it takes."""
        await self._numbers("stream", STREAM_COUNT, self._repeated(hub, signs))

    async def _repeated(self, hub: Hub, signs: Signs) -> AsyncIterator[int]:
        asked = RepeatRequest(count=STREAM_COUNT)
        asked.interval.FromMilliseconds(STREAM_INTERVAL_MS)
        async for response in hub.echo.repeat(asked):
            signs.sign("response")
            if not response.HasField("progress"):
                yield response.index

    async def _numbers(self, caller: str, count: int, numbers: AsyncIterator[int]) -> None:
        expected = 0
        async for number in numbers:
            if number != expected:
                self.witness.wrong.append(f"{caller}: {number} came in place of {expected}")
            expected = number + 1
        if expected != count:
            self.witness.wrong.append(f"{caller}: ended in order after {expected} of {count}")

    async def _unary(self, hub: Hub, signs: Signs) -> None:
        text = secrets.token_hex(4)
        if (await hub.echo.echo(EchoRequest(text=text))).text != text:
            self.witness.wrong.append("unary: another text came back")
        await asyncio.sleep(REST_SECONDS)

    async def _tiny(self, hub: Hub, signs: Signs) -> None:
        """Door, actor, model."""
        name = secrets.token_hex(8)
        self.witness.called.append(name)
        request = CompleteRequest(model="chained", prompt="Troupe is", suffix=name, max_tokens=TINY_TOKENS)
        finished = False
        async for response in hub.chat.complete(request):
            signs.sign("response")
            finished = finished or response.HasField("finish")
        if not finished:
            self.witness.wrong.append("tiny: the answer ended in order and was not finished")

    async def _openai(self, hub: Hub, signs: Signs) -> None:
        """Another door, another dialect, straight to the model."""
        body = {"model": "troupe-tiny", "prompt": "Troupe is", "max_tokens": TINY_TOKENS, "stream": True}
        url = f"http://{self._doors['http']}/v1/completions"
        last: Any = None
        async with httpx.AsyncClient(timeout=60.0) as client, client.stream("POST", url, json=body) as answer:
            async for line in answer.aiter_lines():
                signs.sign("line")
                last = line if line.startswith("data: ") else last
            if answer.status_code == 200 and last != "data: [DONE]":
                error = json.loads(last.removeprefix("data: ")) if last else {}
                if "error" not in error:
                    self.witness.wrong.append(f"openai: the stream ended with {last!r}")
