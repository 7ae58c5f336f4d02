"""The process of one model, of whatever family: loads it, serves it under its names, and ends when its parent does.

What differs is how the engine is opened: a family's own module says so in a `Work` and calls `main`. The parent has
started it by `launcher.SubprocessLauncher` and hears its reports.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.model.attendance import Attendance, offers
from actors.model.disk_reading import fill_cache
from actors.model.interface import Engine
from actors.model.launcher import Report
from actors.model.measuring import measured, resident_bytes
from actors.model.memory_lease import Memory
from actors.model.service import AdapterSource
from actors.model.unless import unless
from bus import Code, RpcError
from bus.context import duration
from bus.subjects import escape
from host import process
from host.log import configure
from host.member import Member
from host.settings import Settings, load
from host.watchdog import Pulse
from troupe.family.v1 import TrialService
from troupe.rpc.v1 import Progress

Tell = Callable[[Report], None]
NOT_WANTED = "REPLICA_NOT_WANTED"
"""The stage's reason where others do a model's work already: no fault, and no reason to try again."""
PROGRESS_STEP = 0.02
"""Loading is told of in steps of this share."""
FREEING_SECONDS = 2.0
"""Of the time that the stage gives, for freeing the engine once no call runs."""
READING = 0.9
"""Share of a load that reading its files is, where they come from a disk."""
MAX_NAME = 100
"""Of the model's name in the process's, which needs room for its instance."""


class WorkingEngine(Engine, Protocol):
    """An engine that has a process for itself.

    It may have a `memory`, a function: buffers that its library has made (troupe.family.v1.Buffer), and bytes that come
    with the first calls besides.
    """

    @property
    def failure(self) -> "asyncio.Future[RpcError]":
        """Has a result when the engine has failed; every job was told."""

    @property
    def waiting(self) -> int:
        """Jobs that wait for their turn."""

    def pulse(self) -> Pulse:
        """Whether it moves, for the process's beat."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a process is for: one model.

    family, name: the model's. open_engine: makes the engine, and is given what to call with the share that is loaded, 0
    to 1; raises RpcError, for example MODEL_LOAD_FAILED; cancelled, it leaves nothing behind. adapters: what can be
    loaded into it. load_seconds: how long loading may stand still. drain_seconds: for running calls, when it ends.
    files: those with its weights, looked up in a thread.
    """

    family: str
    name: str
    open_engine: Callable[[Callable[[float], None]], Awaitable[WorkingEngine]]
    adapters: AdapterSource
    load_seconds: float
    drain_seconds: float
    files: Callable[[], Sequence[Path]] = tuple


async def serve(member: Member, work: Work, tell: Tell, stop: asyncio.Event) -> None:
    """Load a model and serve it under its names until `stop` is set, or until its engine fails, which raises.

    Raises RpcError, as MODEL_LOAD_FAILED, if it cannot be loaded; the parent is told. When it returns, running calls
    have ended or were cancelled, and the model is freed. Who sets `stop` for a reason of the process's own tells
    `Report.leaving` first.
    """
    loading = Loading(tell, work.load_seconds)
    before, _ = resident_bytes()
    member.heart.pulse = loading.pulse
    leaving = Leaving(work.drain_seconds, tell, stop)
    memory = Memory(
        member,
        work.family,
        work.name,
        loading.waits,
        leaving.leave,
        welcome=lambda: tell(Report.welcome()),
    )
    try:
        with refusing(tell):
            granted = await unless(stop, memory.take())
            engine = await unless(stop, _opened(member.settings.home, work, loading, memory)) if granted else None
        if engine is None:
            return
        try:
            member.heart.pulse = engine.pulse
            with refusing(tell):
                offered = offers(engine, work.adapters)

            def waiting() -> int:
                return engine.waiting

            member.metrics.queue_depth(waiting, work.name)
            async with Attendance(member, work.family, work.name, offered, leaving.seconds):
                served = member.server
                await member.ready()
                takes = measured(before, *getattr(engine, "memory", tuple)())
                tell(Report.ready(takes))
                memory.loaded(lambda: served.active_calls - served.active_of(TrialService.INFO), waiting, takes)
                await _until_stopped(engine, stop, memory)
                await member.drain(leaving.seconds())
        finally:
            await engine.close()
    finally:
        await memory.give_back()


async def _opened(home: Path, work: Work, loading: "Loading", memory: Memory) -> WorkingEngine:
    """The engine, once the disk has given its files."""
    await fill_cache(work.name, home, work.files, told=loading.reads, waits=loading.waits_for_disk)
    try:
        return await work.open_engine(loading.progress)
    except RpcError as problem:
        raise memory.ran_out(problem) from problem


class Leaving:
    """How a process comes to its end: asked by its parent, with the settings' time, or by the stage, with its own."""

    def __init__(self, drain: float, tell: Tell, stop: asyncio.Event) -> None:
        self._seconds = drain
        self._tell = tell
        self._stop = stop

    def leave(self, why: RpcError, within: float) -> None:
        """Its memory has to be given back within so many seconds, after which it is killed; 0: not told."""
        if not self._stop.is_set():
            self._seconds = max(0.0, within - FREEING_SECONDS) if within else self._seconds
            self._tell(Report.leaving(why, within))
            self._stop.set()

    def seconds(self) -> float:
        """Which running calls have until they are cut off."""
        return self._seconds


async def _until_stopped(engine: WorkingEngine, stop: asyncio.Event, memory: Memory) -> None:
    engine.failure.add_done_callback(lambda _: stop.set())
    await stop.wait()
    if engine.failure.done():
        raise memory.ran_out(engine.failure.result())


@contextlib.contextmanager
def refusing(tell: Tell) -> Iterator[None]:
    """What keeps the model from being served is told to the parent as it is, and goes on.

    Except where somebody is only away (UNAVAILABLE): then another start may help.
    """
    try:
        yield
    except RpcError as problem:
        if problem.reason == NOT_WANTED:
            tell(Report.leaving(problem))
        elif problem.code is not Code.UNAVAILABLE:
            tell(Report.failed(problem))
        raise


class Loading:
    """How loading goes, for the family by its reports and for the beat by its steps."""

    def __init__(self, tell: Tell, patience: float) -> None:
        self._tell = tell
        self._patience = patience
        self._told = -1.0
        self._read = 0.0
        self._steps = 0
        self._waits = False

    def waits(self, progress: Progress) -> None:
        """It waits for others, and tells for what; until the next share it has no work that could stand still."""
        self._waits, self._told = True, -1.0
        self._tell(Report.loading(progress))

    def waits_for_disk(self, note: str, seconds: float | None) -> None:
        """It waits for its turn at a disk."""
        eta = None if seconds is None else duration(seconds)
        self.waits(Progress(state=Progress.STATE_QUEUED, note=note, eta=eta))

    def reads(self, share: float) -> None:
        """Share of what comes from a disk that has come."""
        self._read = READING * share
        self._at(self._read)

    def progress(self, share: float) -> None:
        """Share that the engine has loaded; told in steps."""
        self._at(self._read + (1 - self._read) * share)

    def _at(self, share: float) -> None:
        if share - self._told >= PROGRESS_STEP:
            self._told = share
            self._steps += 1
            self._waits = False
            self._tell(Report.loading(Progress(state=Progress.STATE_LOADING, fraction=share)))

    def pulse(self) -> Pulse:
        """Loading may stand still for long, for example while the file's last part is read."""
        return Pulse(self._steps, working=not self._waits, patience=self._patience)


async def run(settings: Settings, work: Work, tell: Tell) -> int:
    """The whole process; returns its exit code."""
    stop = asyncio.Event()
    parent = await _parent(stop)
    try:
        named = f"{work.family}-{escape(work.name)[:MAX_NAME]}"
        async with Member(settings, work.family, process=named) as member:
            await serve(member, work, tell, stop)
    except RpcError as problem:
        print(problem, file=sys.stderr)
        if problem.code is Code.UNAVAILABLE:  # anything else was told as what it cannot do
            tell(Report.loading(Progress(state=Progress.STATE_LOADING, note=problem.message)))
        return 1
    finally:
        parent.cancel()
    return 0


def print_report(report: Report) -> None:
    """Tell the parent, which may be gone; then the closed input ends this process anyway."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(report.line())
        sys.stdout.buffer.flush()


async def _parent(stop: asyncio.Event) -> "asyncio.Task[bytes]":
    """Stop on SIGTERM, and when standard input is closed. Ctrl-C goes to the parent, which closes it."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    watcher = asyncio.create_task(reader.read(), name="parent")
    watcher.add_done_callback(lambda _: stop.set())
    return watcher


def main(module: str, work: Callable[[Settings, str, Path], Work], arguments: Sequence[str] | None = None) -> int:
    """Entry point of a family's module, `python -m <module> --model NAME --path FILE`; the exit code.

    arguments: instead of the command line's.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description="Serve one model on the bus.")
    parser.add_argument("--model", required=True, help="the name that callers use")
    parser.add_argument("--path", required=True, type=Path, help="where the model is")
    given = parser.parse_args(arguments)
    settings = load()
    own = work(settings, given.model, given.path)
    configure(settings.log, f"{own.family}-{own.name}")
    return process.run(run(settings, own, print_report))
