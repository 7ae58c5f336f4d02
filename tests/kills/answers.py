"""Readers of greedy answers that never rest, at two doors, and what they see while the model's process is killed."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self

import httpx

from bus import RpcError
from troupe.chat.v1 import GenerateRequest, Role
from troupe_client import Hub, connect

MODEL = "troupe-tiny"
QUESTIONS = [
    "Which command starts Troupe?",
    "Lệnh nào khởi động Troupe?",
    "What is a troupe?",
    "Which port does gRPC use?",
    "Cổng HTTP là gì?",
    "What is credit?",
    "What does troupe doctor do?",
    "How do I add an actor?",
    "What is a resume key?",
    "Làm sao để dừng hub?",
]
GOES_ON = "the answer goes on"
GRPC_READERS, HTTP_READERS = 6, 2


class Readers:
    """An async context: they read while it is entered. Answers are compared with those of a hub that nobody disturbs.

    ended: how answers ended, "complete" or an error's reason. wrong: sentences about what must not be. continued:
    answers that were broken off and went on. pauses: the longest silence of each of those, in seconds.
    """

    def __init__(self, doors: dict[str, str]) -> None:
        self.ended: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.continued = 0
        self.pauses: list[float] = []
        self._doors = doors
        self._whole: dict[tuple[str, str], str] = {}
        self._stopping = False
        self._heard = 0
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        async with connect(self._doors["grpc"], patience=30.0) as hub:
            for question in QUESTIONS:
                self._whole["grpc", question] = await self._over_grpc(hub, question)
                self._whole["http", question] = await self._over_http(hub, question)
        self.ended.clear()
        kinds = [("grpc", self._over_grpc)] * GRPC_READERS + [("http", self._over_http)] * HTTP_READERS
        for number, (door, read) in enumerate(kinds):
            self._tasks.append(asyncio.create_task(self._go_on(number, door, read), name=f"reader {number}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def hear(self, pieces: int) -> None:
        """Return when so many pieces of answers have come from now on."""
        until = self._heard + pieces
        async with self._changed:
            await self._changed.wait_for(lambda: self._heard >= until)

    async def _go_on(self, number: int, door: str, read: Callable[[Hub, str], Awaitable[str]]) -> None:
        async with connect(self._doors["grpc"], patience=30.0) as hub:
            turn = number
            while not self._stopping:
                question = QUESTIONS[turn % len(QUESTIONS)]
                turn += 1
                try:
                    said = await read(hub, question)
                except RpcError as error:
                    self.ended[error.reason or error.code.name] += 1
                else:
                    self.ended["complete"] += 1
                    if said != self._whole[door, question]:
                        self.wrong.append(f"{door}: {said!r} in place of {self._whole[door, question]!r}")

    async def _piece(self) -> None:
        self._heard += 1
        async with self._changed:
            self._changed.notify_all()

    async def _over_grpc(self, hub: Hub, question: str) -> str:
        request = GenerateRequest(model=MODEL)
        request.sampling.temperature = 0
        request.messages.add(role=Role.ROLE_USER).parts.add(text=question)
        said, tokens, told, silence = "", 0, False, Silence()
        async for response in hub.chat.generate(request):
            silence.ended()
            if response.HasField("delta"):
                said += response.delta.text
                tokens += response.delta.tokens
                await self._piece()
            told = told or GOES_ON in response.progress.note
            if response.HasField("usage") and response.usage.completion_tokens != tokens:
                self.wrong.append(f"grpc: {tokens} tokens came and {response.usage.completion_tokens} are charged")
        self._note(told, silence)
        return said

    async def _over_http(self, hub: Hub, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        body = {"model": MODEL, "messages": messages, "temperature": 0, "stream": True}
        said, told, silence, last = "", False, Silence(), ""
        async with (
            httpx.AsyncClient(timeout=60.0) as client,
            client.stream("POST", f"http://{self._doors['http']}/v1/chat/completions", json=body) as answer,
        ):
            async for line in answer.aiter_lines():
                silence.ended()
                told = told or GOES_ON in line
                if line.startswith("data: {"):
                    said += _content(json.loads(line.removeprefix("data: ")))
                    await self._piece()
                last = line or last
        if last != "data: [DONE]":
            self.ended[last[:200]] += 1
            self.wrong.append(f"http: the stream ended with {last[:200]!r}")
        self._note(told, silence)
        return said

    def _note(self, told: bool, silence: "Silence") -> None:
        if told:
            self.continued += 1
            self.pauses.append(silence.longest)


class Silence:
    """The longest time without a sign."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.monotonic()

    def ended(self) -> None:
        """A sign came."""
        now = time.monotonic()
        self.longest = max(self.longest, now - self._last)
        self._last = now


def _content(chunk: Any) -> str:
    choices = chunk.get("choices") or [{}]
    return str(choices[0].get("delta", {}).get("content") or "")
