"""Callers of four models with memory for two: they ask, load and unload, and never rest."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self

import httpx

from bus import Code, RpcError
from troupe.chat.v1 import CompleteRequest, Sampling
from troupe.model.v1 import LoadModelRequest, UnloadModelRequest
from troupe_client import Hub, connect

from .callers import REST_SECONDS, Signs, Witness

NAMES = ("ada", "bea", "cia", "dua")
"""Copies of one model: greedy, they all say the same."""

PROMPT, TOKENS = "Troupe is", 24
ASKERS = 3
UNLOADED_MEANWHILE = "MODEL_UNLOADED"
"""Whoever waits for a model to load while somebody else unloads it is told so."""


class StageCallers:
    """An async context: they call while it is entered. The same seed asks for the same models in the same order."""

    def __init__(self, doors: dict[str, str], seed: int) -> None:
        self.witness = Witness()
        self._doors = doors
        self._said = ""
        self._answered: Counter[str] = Counter()
        self._last = ""
        self._stopping = False
        kinds: dict[str, Callable[[Hub, Signs, str], Awaitable[None]]] = {
            **{f"grpc {number}": self._ask for number in range(ASKERS)},
            **{f"http {number}": self._ask_http for number in range(ASKERS)},
            "loads": self._load,
            "unloads": self._unload,
        }
        self._kinds = {name: (call, random.Random(f"{seed} {name}")) for name, call in kinds.items()}
        self._tasks: list[asyncio.Task[None]] = []
        self._answers = asyncio.Condition()

    async def hear(self, model: str = "") -> str:
        """Return when the next answer of a model has come, of any unless it is named; the model."""
        async with self._answers:
            before = self._answered.total()
            await self._answers.wait_for(
                lambda: self._stopping or (self._answered.total() > before and model in ("", self._last))
            )
            return self._last

    async def __aenter__(self) -> Self:
        async with connect(self._doors["grpc"], patience=30.0) as hub:
            self._said = await self._answer(hub, Signs(Witness(), ""), NAMES[0])
        for name, (call, chance) in self._kinds.items():
            self._tasks.append(asyncio.create_task(self._go_on(name, call, chance), name=name))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        async with self._answers:
            self._answers.notify_all()
        await asyncio.gather(*self._tasks)

    async def _go_on(
        self, caller: str, call: Callable[[Hub, Signs, str], Awaitable[None]], chance: random.Random
    ) -> None:
        async with connect(self._doors["grpc"], patience=30.0) as hub:
            while not self._stopping:
                signs, outcome = Signs(self.witness, caller), "complete"
                try:
                    await call(hub, signs, chance.choice(NAMES))
                except RpcError as error:
                    outcome = error.reason or error.code.name
                signs.sign(outcome)
                self.witness.ended[caller, outcome] += 1
                await asyncio.sleep(chance.uniform(0, 10 * REST_SECONDS))

    async def _answer(self, hub: Hub, signs: Signs, model: str) -> str:
        request = CompleteRequest(model=model, prompt=PROMPT, max_tokens=TOKENS, sampling=Sampling(temperature=0))
        said, finished = "", False
        async for response in hub.chat.complete(request):
            signs.sign(response.progress.note or "text")
            said += response.delta.text
            finished = finished or response.HasField("finish")
        return said if finished else f"{said} (not finished)"

    async def _ask(self, hub: Hub, signs: Signs, model: str) -> None:
        await self._check("grpc", model, await self._answer(hub, signs, model))

    async def _ask_http(self, hub: Hub, signs: Signs, model: str) -> None:
        body = {"model": model, "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0, "stream": True}
        url = f"http://{self._doors['http']}/v1/completions"
        said, last = "", ""
        async with httpx.AsyncClient(timeout=60.0) as client, client.stream("POST", url, json=body) as answer:
            async for line in answer.aiter_lines():
                signs.sign("line")
                last = line or last
                if line.startswith(("data: {", "{")):
                    chunk: Any = json.loads(line.removeprefix("data: "))
                    if "error" in chunk:
                        raise RpcError(Code.UNKNOWN, chunk["error"]["message"], reason=chunk["error"]["reason"])
                    said += "".join(str(choice.get("text") or "") for choice in chunk.get("choices", ()))
        await self._check("http", model, said if last == "data: [DONE]" else f"{said} (ended with {last[:200]!r})")

    async def _check(self, door: str, model: str, said: str) -> None:
        if said != self._said:
            self.witness.wrong.append(f"{door}, {model}: {said!r} in place of {self._said!r}")
        self._answered[model] += 1
        self._last = model
        async with self._answers:
            self._answers.notify_all()

    async def _load(self, hub: Hub, signs: Signs, model: str) -> None:
        async for response in hub.models.load_model(LoadModelRequest(name=model)):
            signs.sign(response.progress.note or "loaded")

    async def _unload(self, hub: Hub, signs: Signs, model: str) -> None:
        """What has just answered, so that something answers however slow the machine is."""
        model = await self.hear()
        signs.begin()
        await hub.models.unload_model(UnloadModelRequest(name=model))
