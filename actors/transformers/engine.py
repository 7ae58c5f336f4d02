"""The engine on PyTorch: loads a model, starts its thread, and is what services see of it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from actors.model.grammar.constraints import OBEYS
from actors.model.interface import Embedding, EngineInfo, Event, Job
from actors.model.refusals import context_exceeded
from actors.model.running import RunningJob
from actors.model.stream import EventStream, Outbox
from actors.transformers.embedding import Embedder, EmbeddingWork
from actors.transformers.limits import cache_tokens, context_tokens
from actors.transformers.loading import Loaded, load, without_memory
from actors.transformers.network import Network, adapter_key
from actors.transformers.sequence import Sequence as Choice
from actors.transformers.settings import TransformersSettings
from actors.transformers.stepper import Stepper
from bus import Code, RpcError, invalid
from bus.errors import interrupted
from host.watchdog import Pulse

Answer = TypeVar("Answer")


class TransformersEngine:
    """One model in this process. Implements `interface.Engine`; made by `open`, or by `load` to be stepped by hand."""

    def __init__(self, loaded: Loaded, settings: TransformersSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.info = describe(loaded, settings)
        self._vocabulary = loaded.vocabulary
        self._masks = loaded.masks
        self._most = settings.slots + settings.queue_limit
        self._network = Network(loaded, settings.adapter_limit)
        self._outbox = Outbox(loop)
        embedder = Embedder(self._network, loaded.pooling, settings.batch)
        capacity = cache_tokens(self.info.context_tokens, settings)
        self._stepper = Stepper(
            self._network,
            loaded.vocabulary,
            embedder,
            self._outbox,
            slots=settings.slots,
            batch=settings.batch,
            capacity=capacity,
        )
        self._embedder = embedder
        self._adapter_keys: dict[str, str] = {}
        self._unfinished: list[EventStream[Event]] = []
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.failure: asyncio.Future[RpcError] = loop.create_future()
        """Has a result when the engine's thread has failed; every job was told."""
        self._loop = loop
        self._closed = False
        self._problem = interrupted()
        """What callers hear once the thread has ended."""

    @classmethod
    async def open(
        cls, path: Path, settings: TransformersSettings, progress: Callable[[float], None] | None = None
    ) -> "TransformersEngine":
        """Load a model and start; `progress` hears shares from 0 to 1 on the event loop. Raises MODEL_LOAD_FAILED.

        If this is cancelled, loading ends with the tensor in hand, and when this returns its memory is free.
        """
        loop, wanted = asyncio.get_running_loop(), threading.Event()
        wanted.set()

        def tell(share: float) -> bool:
            if progress is not None:
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(progress, share)
            return wanted.is_set()

        loading = asyncio.ensure_future(asyncio.to_thread(cls.load, path, settings, loop, tell))
        try:
            engine = await asyncio.shield(loading)
        except asyncio.CancelledError:
            wanted.clear()
            await asyncio.wait([loading])
            if loading.exception() is None:
                await loading.result().close()
            raise
        engine._thread.start()
        return engine

    @classmethod
    def load(
        cls,
        path: Path,
        settings: TransformersSettings,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[float], bool] = lambda _: True,
    ) -> "TransformersEngine":
        """Load a model without starting: it computes when `step` is called.

        tell: hears shares in this thread, and says whether to go on; where not, this raises CANCELLED.
        """
        return cls(load(path, settings, tell), settings, loop)

    def step(self) -> bool:
        """Compute one step in the caller's thread; False: there is nothing to do. Not where it has a thread."""
        return self._stepper.step()

    def pulse(self) -> Pulse:
        """Whether it moves, for the process's beat."""
        return self._stepper.pulse

    @property
    def steps(self) -> int:
        """Steps that computed so far; for tests and measurements."""
        return self._stepper.steps

    @property
    def running(self) -> int:
        """Answers that have a slot."""
        return self._stepper.running

    @property
    def waiting(self) -> int:
        """Groups of answers that wait for a slot."""
        return len(self._stepper.line.waiting)

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        """See `interface.Engine`."""
        return self._vocabulary.tokenize(text, control=control, begin=begin)

    def submit(self, job: Job) -> EventStream[Event]:
        """See `interface.Engine`."""
        self._check(job)
        key = self._adapter_key(job.adapter)
        gate = self._masks.compiled(job.constraint, job.markers) if self._masks and job.constraint else None
        stream: EventStream[Event] = EventStream(self._stepper.wake)
        going_on = [number for number in range(job.choices) if not (job.said and job.said[number].ended)]
        running = RunningJob(job, stream, key, unfinished=len(going_on))
        choices = [Choice(running, number, gate.copy() if gate else None) for number in going_on]
        self._post(lambda: self._stepper.accept(running, choices))
        self._unfinished.append(stream)
        return stream

    def embed(self, inputs: Sequence[Sequence[int]]) -> EventStream[Embedding]:
        """See `interface.Engine`."""
        stream: EventStream[Embedding] = EventStream(self._stepper.wake)
        work = EmbeddingWork(inputs, stream)
        self._post(lambda: self._embedder.add(work))
        return stream

    async def load_adapter(self, name: str, path: Path) -> None:
        """See `interface.Engine`. A folder as PEFT saves them, with its weights as safetensors."""
        key = await asyncio.to_thread(adapter_key, name, path)
        if self._adapter_keys.get(name) != key or not await self._ask(lambda: key in self._network):
            await self._ask(lambda: self._network.load_adapter(key, path, self._stepper.adapters_in_use()))
            self._adapter_keys[name] = key

    async def close(self) -> None:
        """See `interface.Engine`. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._stepper.stop()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        self._stepper.fail_all(interrupted())
        self._network.close()

    # ---- checks before a job is taken

    def _check(self, job: Job) -> None:
        used, room = len(job.prompt), self.info.context_tokens
        if used == 0:
            raise invalid("The prompt is empty.", "prompt")
        if used + job.max_tokens > room:
            raise context_exceeded(used, job.max_tokens, room)
        self._unfinished = [stream for stream in self._unfinished if not stream.ended]
        if len(self._unfinished) >= self._most:
            message = f"{len(self._unfinished)} calls are running or waiting for this model; try again later."
            wait = max(1.0, self._stepper.line.eta(self._most) or 1.0)
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="QUEUE_FULL", retry_after=wait)

    def _adapter_key(self, name: str) -> str:
        if name and name not in self._adapter_keys:
            message = f"The adapter {name!r} is not loaded."
            raise RpcError(Code.NOT_FOUND, message, reason="ADAPTER_NOT_FOUND", field="adapter")
        return self._adapter_keys[name] if name else ""

    # ---- the way to the engine's thread

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Have something done on the engine's thread, between two steps."""
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._post(lambda: self._answer(question, answer))
        return await answer

    def _answer(self, question: Callable[[], Answer], answer: "asyncio.Future[Answer]") -> None:
        try:
            result = question()
        except RpcError as problem:
            error = problem
            self._outbox.add(lambda: None if answer.done() else answer.set_exception(error))
        else:
            self._outbox.add(lambda: None if answer.done() else answer.set_result(result))

    def _post(self, call: Callable[[], None]) -> None:
        if self._closed:
            message = "The model is being unloaded."
            raise RpcError(Code.UNAVAILABLE, message, reason="SHUTTING_DOWN", retry_after=1.0)
        if not self._stepper.post(call):
            raise self._problem

    def _run(self) -> None:
        try:
            self._stepper.run()
        except Exception as failure:  # noqa: BLE001  whatever it is, callers must hear of it
            self._problem = _crashed(failure)
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._note_failure, self._problem)
        self._stepper.fail_all(self._problem)

    def _note_failure(self, problem: RpcError) -> None:
        if not self.failure.done():
            self.failure.set_result(problem)


def _crashed(failure: Exception) -> RpcError:
    """What callers hear when a step has failed. Without memory on its device a model is quarantined by the stage."""
    if without_memory(failure):
        message = "The device has no memory left for a step; a shorter context or fewer slots need less."
        return RpcError(Code.RESOURCE_EXHAUSTED, message, reason="INSUFFICIENT_MEMORY", retry_after=5.0)
    return RpcError(Code.UNAVAILABLE, f"The engine failed: {failure}", reason="ENGINE_CRASHED", retry_after=1.0)


def describe(loaded: Loaded, settings: TransformersSettings) -> EngineInfo:
    """What a model can do under these settings."""
    facts, vocabulary = loaded.facts, loaded.vocabulary
    context = context_tokens(facts, settings)
    longest: list[Any] = [settings.embedding_context, facts.embedding_tokens, facts.context_tokens]
    return EngineInfo(
        context_tokens=context,
        embedding_tokens=min(limit for limit in longest if limit),
        embedding_dimensions=facts.dimensions,
        vocabulary=vocabulary.size,
        generates=facts.generates,
        template=loaded.template,
        begin_text=vocabulary.begin_text,
        end_text=vocabulary.end_text,
        begins=vocabulary.begins,
        control_texts=frozenset(vocabulary.controls),
        infill=vocabulary.infill,
        embeds=facts.dimensions > 0,
        sampling=loaded.sampling,
        obeys=OBEYS if loaded.masks is not None else frozenset(),
        continues=True,
    )
