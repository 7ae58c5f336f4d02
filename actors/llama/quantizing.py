"""Quantizing as jobs: a process for each, memory for it, and the new model's place among the others."""

import asyncio
import errno
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol, Self

import msgspec
import structlog

from actors.llama import placing, quantization
from actors.llama.catalog import FAMILY, Entry
from actors.llama.comparison_text import TEXT
from actors.llama.engine_limits import threads
from actors.llama.quantization import Kind
from actors.llama.quantize_process import Order, Word
from actors.llama.settings import LlamaSettings
from actors.model.gguf_header import ModelHeader
from actors.model.lease import holder_of
from actors.model.lessor import Lessor
from actors.model.needs import PROCESS_BYTES
from actors.model.refusals import not_found
from bus import Code, Priority, RpcError
from host.jobs import Jobs, Preempted, Running, Worker, rules
from host.member import Member
from host.process import dying_with_parent
from store import Mirror, ended
from troupe.gpu.v1 import DeviceKind, Revoke, Size, Variant, Work
from troupe.job.v1 import JobRecord
from troupe.model.v1 import QuantizedModel, QuantizeModelRequest
from troupe.rpc.v1 import Progress, Status

KIND, LANE = "model.quantize", "quantize_llama"
"""Kind of the jobs, and the lane of their workers: they must be where the folder of models is."""
END_SECONDS = 5.0
"""What a process that has said all may take to end."""
WORK = ".quantizing"
"""Folder beside the models for what is not there yet: on the same disk, so that the last step is a link."""
AGAIN_SECONDS = 5.0
"""Until a table that does not answer is looked at again."""

log = structlog.get_logger(__name__)


class Models(Protocol):
    """Which models there are."""

    def entries(self) -> Mapping[str, Entry]:
        """All by name, looked up anew. May read files: it is called in a thread."""


class Quantizing:
    """Does the jobs of its lane, one at a time; an async context, and leaving it gives the jobs back.

    home: the hub's. member: this process, to ask the stage for memory; None: nobody is asked.
    """

    def __init__(
        self, models: Models, home: Path, settings: LlamaSettings, jobs: Jobs, member: Member | None = None
    ) -> None:
        self._models = models
        self._own = home / "models"
        self._settings = settings
        self._jobs = jobs
        self._member = member
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(Worker(self._jobs, LANE, {KIND: self._quantize}))
        tidying = asyncio.create_task(self._tidy(), name="what quantizing has left")
        self._stack.push_async_callback(ended, tidying)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # ---- one job

    async def _quantize(self, running: Running) -> QuantizedModel:
        request = running.request(QuantizeModelRequest)
        kind = quantization.kind_of(request.quantization)
        entry, header = await self._source(request.name, kind)
        placing.check_free(self._own, request.new_name)
        folder = self._own / WORK / running.job.id
        await asyncio.to_thread(lambda: folder.mkdir(parents=True, exist_ok=True, mode=0o700))
        gone = True
        try:
            result = await self._made(running, request, kind, entry, header, folder)
            await asyncio.to_thread(placing.place, entry, header, folder, self._own, result)
        except asyncio.CancelledError:
            gone = running.stopping == "cancel"
            raise
        except Preempted:
            gone = False
            raise
        except OSError as error:
            raise quantization.full() if error.errno in (errno.ENOSPC, errno.EDQUOT) else error from error
        except RpcError as error:
            gone = error.code is not Code.UNAVAILABLE
            raise
        finally:
            if gone:
                await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
        log.info("model.quantized", model=result.name, source=result.source, bytes=result.size_bytes)
        return result

    async def _source(self, name: str, kind: Kind) -> tuple[Entry, ModelHeader]:
        entries = await asyncio.to_thread(self._models.entries)
        name = name.removeprefix(f"{FAMILY}/")
        if name not in entries:
            raise not_found("model", name, list(entries), "MODEL_NOT_FOUND")
        entry = entries[name]
        return entry, quantization.check_source(name, entry.header, entry.error, kind)

    async def _made(
        self,
        running: Running,
        request: QuantizeModelRequest,
        kind: Kind,
        entry: Entry,
        header: ModelHeader,
        folder: Path,
    ) -> QuantizedModel:
        order = Order(
            source=str(entry.path),
            folder=str(folder),
            kind=kind.name,
            text=request.text or TEXT,
            threads=threads(header, self._settings),
            origin=f"{entry.name} {header.quantization}".strip(),
        )
        async with _child() as process, self._memory(running, request.new_name, header, kind, process.pid) as revoked:
            made = await _heard(process, order, running, revoked)
        made.name, made.source = request.new_name, f"{FAMILY}/{entry.name}"
        made.quantization, made.source_quantization = kind.name, header.quantization
        made.source_bytes = header.size_bytes
        made.warnings.extend(quantization.warnings(entry.name, header, kind))
        if made.HasField("divergence"):
            made.divergence.own_text = not request.text
        else:
            made.warnings.append(f"{entry.name} continues no text, so that nothing was compared.")
        return made

    @asynccontextmanager
    async def _memory(
        self, running: Running, name: str, header: ModelHeader, kind: Kind, pid: int
    ) -> AsyncIterator[asyncio.Event]:
        """Main memory for the process, as batch work; what is given is set when it has to be given back."""
        revoked = asyncio.Event()
        if self._member is None:
            yield revoked
            return
        needed = quantization.memory_bytes(header, kind, PROCESS_BYTES)
        size = Size(kind=DeviceKind.DEVICE_KIND_SYSTEM, bytes=needed)
        work = Work(name=f"quantize/{name}", variants=[Variant(sizes=[size])], preemptible=True)

        def on_revoke(_: Revoke) -> None:
            revoked.set()

        lessor = Lessor(self._member, holder=holder_of(pid))
        async with lessor.lease(work, tell=running.tell, on_revoke=on_revoke, priority=Priority.BATCH) as lease:
            lease.loaded()
            lease.used(1, 0, 1)
            yield revoked

    # ---- order

    async def _tidy(self) -> None:
        """Remove what jobs have left that ended while nobody was at them."""
        while True:
            try:
                await self._follow(await self._jobs.view())
            except RpcError as error:
                log.warning("quantizing.untidied", error=error.message)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _follow(self, view: Mirror[JobRecord]) -> None:
        changed = asyncio.Event()
        with view.heard_by(lambda _: changed.set()):
            while True:
                changed.clear()
                live = {name for name, each in view.entries.items() if each.value.job.state not in rules.ENDED}
                await asyncio.to_thread(_sweep, self._own / WORK, live)
                await changed.wait()


@asynccontextmanager
async def _child() -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, which waits for its order; killed with all that it has started when the block is left."""
    process = await asyncio.create_subprocess_exec(
        *dying_with_parent("KILL"),
        *(["nice", "-n", "10"] if shutil.which("nice") else []),
        *(sys.executable, "-m", "actors.llama.quantize_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
        with suppress(TimeoutError):  # it has said all, and ends by itself
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


async def _heard(
    process: asyncio.subprocess.Process, order: Order, running: Running, revoked: asyncio.Event
) -> QuantizedModel:
    """What came of it. Raises Preempted, RpcError: what the process says, else WORKER_LOST (UNAVAILABLE)."""
    hearing = asyncio.create_task(_conversation(process, order, running), name="quantizing")
    leaving = asyncio.create_task(revoked.wait(), name="memory to give back")
    try:
        await asyncio.wait([hearing, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not hearing.done():
            raise Preempted("Its memory is needed for more urgent work.")
        return hearing.result()
    finally:
        for task in (hearing, leaving):
            task.cancel()
        await asyncio.gather(hearing, leaving, return_exceptions=True)


async def _conversation(process: asyncio.subprocess.Process, order: Order, running: Running) -> QuantizedModel:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(ConnectionError):  # how it ended is told below
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        await process.stdin.drain()
        process.stdin.close()
    async for line in process.stdout:
        word = msgspec.json.decode(line, type=Word)
        if word.status:
            raise RpcError.from_status(Status.FromString(word.status))
        if word.made:
            return QuantizedModel.FromString(word.made)
        running.tell(Progress.FromString(word.progress))
    code = await process.wait()
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    raise RpcError(Code.UNAVAILABLE, f"The process that quantized {how}.", reason="WORKER_LOST")


def _sweep(folder: Path, live: set[str]) -> None:
    with suppress(FileNotFoundError):
        for path in list(folder.iterdir()):
            if path.name not in live:
                shutil.rmtree(path, ignore_errors=True)
        folder.rmdir() if not any(folder.iterdir()) else None
