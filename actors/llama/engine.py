"""The engine on llama.cpp: loads a model, starts its thread, and is what services see of it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from actors.llama.adapters import adapter_key, check_adapter
from actors.llama.binding import NativeContext, NativeModel, start_library, take_buffers
from actors.llama.buffers import Buffer
from actors.llama.copies import NONE, copied, let_go
from actors.llama.embedding import Embedder, EmbeddingWork
from actors.llama.engine_limits import (
    answering,
    cache_is_parted,
    context_tokens,
    contexts,
    embedding,
    embedding_tokens,
    threads,
)
from actors.llama.file_sampling import sampling_of
from actors.llama.grammar import Grammar
from actors.llama.sampling import Candidates, Sampler
from actors.llama.sequence import Sequence as Choice
from actors.llama.settings import LlamaSettings
from actors.llama.slots import Slot, SlotTable
from actors.llama.stepper import Stepper
from actors.llama.vocabulary import Vocabulary
from actors.model.gguf_file import read_header
from actors.model.gguf_header import ModelHeader
from actors.model.grammar.constraints import OBEYS, compile_constraint
from actors.model.interface import Embedding, EngineInfo, Event, Job, SamplingSettings
from actors.model.memory import first_accelerated, later_bytes
from actors.model.refusals import context_exceeded
from actors.model.running import RunningJob
from actors.model.stream import EventStream, Outbox
from bus import Code, RpcError, invalid
from bus.errors import interrupted
from host.watchdog import Pulse
from troupe.family import v1 as family

Answer = TypeVar("Answer")


class LlamaEngine:
    """One model in this process. Implements `interface.Engine`; made by `open`."""

    def __init__(
        self,
        model: NativeModel,
        header: ModelHeader,
        sampling: SamplingSettings,
        settings: LlamaSettings,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._model = model
        self._architecture = header.architecture
        self._slots = settings.slots
        self._queue_limit = settings.queue_limit
        self._vocabulary = Vocabulary(model)
        self._candidates = Candidates(self._vocabulary.size)
        self._adapter_keys: dict[str, str] = {}
        self._unfinished: list[EventStream[Event]] = []
        self._info = describe(header, self._vocabulary, sampling, settings)
        count = threads(header, settings)
        accelerated = model.offloaded
        parted = self._info.generates and not accelerated and cache_is_parted(header, settings)
        sizes = answering(header, settings, parted=parted)
        cells = sizes.cells
        self._context = NativeContext(
            model, cells=cells, batch=settings.batch, sequences=settings.slots, threads=count, parted=parted
        )
        # Made at once where it will be used, so that what was measured after loading does not grow.
        self._embedder = Embedder(
            model,
            header.embedding_dimensions,
            embedding(header, settings),
            header.pooling,
            count,
            at_once=self._info.embeds,
        )
        self._later = later_bytes(header, contexts(header, settings, accelerated=model.offloaded), count)
        table = SlotTable(settings.slots, cells, self._forget, reuse=not model.recurrent, parted=parted)
        self._outbox = Outbox(loop)
        self._stepper = Stepper(model, self._vocabulary, self._context, table, self._embedder, settings, self._outbox)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.failure: asyncio.Future[RpcError] = loop.create_future()
        """Has a result when the engine's thread has failed; every job was told."""
        self._loop = loop
        self._closed = False
        self._problem = interrupted()
        """What callers hear once the thread has ended."""
        self.buffers: Sequence[Buffer] = ()
        """What the library made for this model."""

    @classmethod
    async def open(cls, path: Path, settings: LlamaSettings, progress: Callable[[float], None] | None = None) -> Self:
        """Load a model and start; `progress` hears shares from 0 to 1 on the event loop. Raises MODEL_LOAD_FAILED.

        If this is cancelled, loading ends within a step, and when this returns its memory is free.
        """
        loop, wanted = asyncio.get_running_loop(), threading.Event()
        wanted.set()

        def tell(share: float) -> bool:
            if progress is not None:
                _tell(loop, progress, share)
            return wanted.is_set()

        loading = asyncio.ensure_future(asyncio.to_thread(cls.load, path, settings, loop, tell))
        try:
            engine = await asyncio.shield(loading)
        except asyncio.CancelledError:
            wanted.clear()
            await _unloaded(loading)
            raise
        engine.start()
        return engine

    @classmethod
    def load(
        cls,
        path: Path,
        settings: LlamaSettings,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[float], bool] | None = None,
    ) -> Self:
        """Load a model without starting: it computes when `step` is called, or after `start`.

        tell: hears shares in this thread, and says whether to go on; where not, this raises CANCELLED.
        """
        header = read_header(path)
        sampling = sampling_of(path, header)
        start_library()
        take_buffers()
        engine = cls(NativeModel(path, settings.gpu_layers, tell), header, sampling, settings, loop)
        engine.buffers = take_buffers()
        engine.let_go(path, header, settings)
        return engine

    def let_go(self, path: Path, header: ModelHeader, settings: LlamaSettings) -> None:
        """Let the system have the pages of what was copied out of the file."""
        layers = header.number(header.own("block_count"))
        first = first_accelerated(layers, settings.gpu_layers) if self._model.offloaded else NONE
        let_go(path, header, copied(header, self._model.copied_kinds, first), self.buffers)

    def memory(self) -> tuple[Sequence[family.Buffer], int]:
        """What the library made, and bytes that come with the first calls besides."""
        told = [
            family.Buffer(kind=each.kind, place=each.place, bytes=each.size, host=each.host) for each in self.buffers
        ]
        return told, self._later

    def start(self) -> None:
        """Compute in a thread of its own from now on, until `close`."""
        self._thread.start()

    def step(self) -> bool:
        """Compute one step in the caller's thread; False: there is nothing to do. Not after `start`."""
        return self._stepper.step()

    @property
    def info(self) -> EngineInfo:
        """What the model is and can do."""
        return self._info

    def pulse(self) -> Pulse:
        """Whether it moves, for the process's beat."""
        return self._stepper.pulse

    @property
    def steps(self) -> int:
        """Computations so far; for tests and measurements."""
        return self._stepper.steps

    @property
    def prompt_tokens(self) -> int:
        """Tokens of prompts that were computed so far, reused ones left out."""
        return self._stepper.prompt_tokens

    @property
    def running(self) -> int:
        """Answers that have a slot."""
        return self._stepper.running

    @property
    def waiting(self) -> int:
        """Answers that wait for a slot."""
        return len(self._stepper.line.waiting)

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        """See `interface.Engine`."""
        self._check_open()
        return self._vocabulary.tokenize(text, control=control, begin=begin)

    def submit(self, job: Job) -> EventStream[Event]:
        """See `interface.Engine`."""
        self._check_open()
        self._check_length(job)
        self._check_queue(job)
        key = self._adapter_key(job.adapter)
        grammar = self._grammar(job)
        stream: EventStream[Event] = EventStream(self._stepper.wake)
        open_choices = [number for number in range(job.choices) if not (job.said and job.said[number].ended)]
        running = RunningJob(job, stream, key, held=grammar, unfinished=len(open_choices))
        choices = [Choice(running, number, self._sampler(job, grammar, number)) for number in open_choices]
        self._post(lambda: self._stepper.accept(running, choices))
        self._unfinished.append(stream)
        return stream

    def embed(self, inputs: Sequence[Sequence[int]]) -> EventStream[Embedding]:
        """See `interface.Engine`."""
        stream: EventStream[Embedding] = EventStream(self._stepper.wake)
        work = EmbeddingWork([np.asarray(tokens, np.int32) for tokens in inputs], stream)
        self._post(lambda: self._embedder.add(work))
        return stream

    async def load_adapter(self, name: str, path: Path) -> None:
        """See `interface.Engine`."""
        key = adapter_key(name, path)
        if self._adapter_keys.get(name) == key and await self._ask(lambda: key in self._stepper.shelf):
            return
        await asyncio.to_thread(check_adapter, path, self._architecture)
        await self._ask(lambda: self._stepper.shelf.load(key, path, self._stepper.adapters_in_use()))
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
        self._embedder.close()
        self._context.close()
        self._model.close()

    # ---- checks before a job is taken

    def _check_open(self) -> None:
        """The library must not be asked about a model that was freed: it ends the process."""
        if self._closed:
            raise _unloading()

    def _check_length(self, job: Job) -> None:
        used, room = len(job.prompt), self._info.context_tokens
        if used == 0:
            raise invalid("The prompt is empty.", "prompt")
        if used + job.max_tokens > room:
            raise context_exceeded(used, job.max_tokens, room)

    def _check_queue(self, job: Job) -> None:
        self._unfinished = [stream for stream in self._unfinished if not stream.ended]
        if len(self._unfinished) >= self._slots + self._queue_limit:
            message = f"{len(self._unfinished)} calls are running or waiting for this model; try again later."
            wait = max(1.0, self._stepper.line.eta(self._queue_limit) or 1.0)
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="QUEUE_FULL", retry_after=wait)

    def _adapter_key(self, name: str) -> str:
        if name and name not in self._adapter_keys:
            message = f"The adapter {name!r} is not loaded."
            raise RpcError(Code.NOT_FOUND, message, reason="ADAPTER_NOT_FOUND", field="adapter")
        return self._adapter_keys[name] if name else ""

    # ---- parts

    def _grammar(self, job: Job) -> Grammar | None:
        found = compile_constraint(job.constraint) if job.constraint is not None else None
        return Grammar(found, self._vocabulary, job.markers) if found is not None else None

    def _forget(self, slot: Slot) -> None:
        self._context.cut(slot.index, 0)

    def _sampler(self, job: Job, grammar: Grammar | None, choice: int) -> Sampler:
        gate = grammar.gate() if grammar is not None else None
        return Sampler(job.sampling, self._vocabulary, self._candidates, gate, choice=choice, prompt=job.prompt)

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Have something done on the engine's thread, between two steps."""
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._post(lambda: self._answer(question, answer))
        return await answer

    def _answer(self, question: Callable[[], Answer], answer: asyncio.Future[Answer]) -> None:
        try:
            result = question()
        except RpcError as problem:
            error = problem
            self._outbox.add(lambda: None if answer.done() else answer.set_exception(error))
        else:
            self._outbox.add(lambda: None if answer.done() else answer.set_result(result))

    def _post(self, call: Callable[[], None]) -> None:
        if not self._stepper.post(call):
            raise self._problem

    # ---- the engine's thread

    def _run(self) -> None:
        try:
            self._stepper.run()
        except Exception as failure:  # noqa: BLE001  whatever it is, callers must hear of it
            self._problem = RpcError(
                Code.UNAVAILABLE, f"The engine failed: {failure}", reason="ENGINE_CRASHED", retry_after=1.0
            )
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._note_failure, self._problem)
        self._stepper.fail_all(self._problem)

    def _note_failure(self, problem: RpcError) -> None:
        if not self.failure.done():
            self.failure.set_result(problem)


def describe(
    header: ModelHeader, vocabulary: Vocabulary, sampling: SamplingSettings, settings: LlamaSettings
) -> EngineInfo:
    """What a model can do under these settings."""
    return EngineInfo(
        context_tokens=context_tokens(header, settings),
        embedding_tokens=embedding_tokens(header, settings),
        embedding_dimensions=header.embedding_dimensions,
        vocabulary=vocabulary.size,
        generates=not header.embeds_only,
        template=header.template,
        begin_text=vocabulary.spelling(vocabulary.begin),
        end_text=vocabulary.spelling(vocabulary.end),
        begins=vocabulary.begins,
        control_texts=frozenset(vocabulary.controls),
        infill=vocabulary.infill,
        embeds=header.embeds,
        sampling=sampling,
        obeys=OBEYS,
        continues=True,
    )


def _unloading() -> RpcError:
    message = "The model is being unloaded."
    return RpcError(Code.UNAVAILABLE, message, reason="SHUTTING_DOWN", retry_after=1.0)


async def _unloaded(loading: "asyncio.Future[Any]") -> None:
    """Return when a load that nobody wants has ended; an engine that came of it all the same is closed."""
    await asyncio.wait([loading])
    if loading.exception() is None:
        await loading.result().close()


def _tell(loop: asyncio.AbstractEventLoop, progress: Callable[[float], None], share: float) -> None:
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(progress, share)
