"""The process of one model: loads a file, serves it on the bus under its name, and ends when its parent does.

python -m actors.llama.worker --model NAME --path FILE
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.llama.catalog import FAMILY, AdapterFolders, adapter_folders
from actors.llama.engine import LlamaEngine
from actors.llama.settings import LlamaSettings
from actors.model.attendance import Attendance, offers
from actors.model.launcher import Report
from bus import RpcError
from bus.subjects import escape
from host import process
from host.log import configure
from host.member import Member
from host.settings import Settings, load
from host.watchdog import Pulse

Tell = Callable[[Report], None]
PROGRESS_STEP = 0.02
"""Loading is told of in steps of this share."""
MAX_NAME = 100
"""Of the model's name in the process's, which needs room for its instance."""


async def serve(
    member: Member, settings: LlamaSettings, name: str, path: Path, tell: Tell, stop: asyncio.Event
) -> None:
    """Load a model and serve it under its names until `stop` is set, or until its engine fails, which raises.

    Raises RpcError MODEL_LOAD_FAILED if the file cannot be loaded. When it returns, running calls have ended or were
    cancelled, and the model is freed.
    """
    loading = Loading(tell, settings.load_seconds)
    member.heart.pulse = loading.pulse
    engine = await LlamaEngine.open(path, settings, loading.progress)
    try:
        member.heart.pulse = engine.pulse
        offered = offers(engine, AdapterFolders(adapter_folders(member.settings.home, settings)))
        member.metrics.queue_depth(lambda: engine.waiting, name)
        async with Attendance(member, FAMILY, name, offered, settings.drain_seconds):
            await member.ready()
            tell(Report("ready"))
            await _until_stopped(engine, stop)
            await member.drain(settings.drain_seconds)
    finally:
        await engine.close()


async def _until_stopped(engine: LlamaEngine, stop: asyncio.Event) -> None:
    engine.failure.add_done_callback(lambda _: stop.set())
    await stop.wait()
    if engine.failure.done():
        raise engine.failure.result()


class Loading:
    """How loading goes, for the family by its reports and for the beat by its steps."""

    def __init__(self, tell: Tell, patience: float) -> None:
        self._tell = tell
        self._patience = patience
        self._told = -1.0
        self._steps = 0

    def progress(self, share: float) -> None:
        """Share that is loaded; told in steps."""
        if share - self._told >= PROGRESS_STEP:
            self._told = share
            self._steps += 1
            self._tell(Report("loading", fraction=share))

    def pulse(self) -> Pulse:
        """Loading may stand still for long, for example while the file's last part is read."""
        return Pulse(self._steps, working=True, patience=self._patience)


async def run(settings: Settings, name: str, path: Path) -> int:
    """The whole process; returns its exit code."""
    stop = asyncio.Event()
    parent = await _parent(stop)
    try:
        own = settings.actor("llama", LlamaSettings)
        async with Member(settings, "llama", process=f"llama-{escape(name)[:MAX_NAME]}") as member:
            await serve(member, own, name, path, _print, stop)
    except RpcError as problem:
        if problem.reason == "MODEL_LOAD_FAILED":
            _print(Report("failed", error=problem.message))
        print(problem, file=sys.stderr)
        return 1
    finally:
        parent.cancel()
    return 0


def _print(report: Report) -> None:
    # The parent may be gone; then the closed input ends this process anyway.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
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


def main() -> int:
    """Entry point of the module."""
    parser = argparse.ArgumentParser(prog="python -m actors.llama.worker", description="Serve one model on the bus.")
    parser.add_argument("--model", required=True, help="the name that callers use")
    parser.add_argument("--path", required=True, type=Path, help="a GGUF file")
    arguments = parser.parse_args()
    settings = load()
    configure(settings.log, f"llama-{arguments.model}")
    return process.run(run(settings, arguments.model, arguments.path))


if __name__ == "__main__":
    sys.exit(main())
