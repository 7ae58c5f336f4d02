"""Starting the process of a model, and hearing from it.

The child writes one JSON object per line on its standard output: how loading goes, that it serves, or why it cannot.
It ends when its standard input is closed, so that no model outlives the actor that watches it.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model's process says of itself."""

    state: str
    """"loading", "ready" or "failed"."""
    fraction: float = 0.0
    """Share that is loaded."""
    error: str = ""
    """Why it failed, as a sentence."""


class WorkerProcess(Protocol):
    """A model's process."""

    def reports(self) -> AsyncIterator[Report]:
        """What it says, until it has ended. To be iterated once."""

    async def stop(self, grace: float) -> None:
        """Let it finish its calls within `grace` seconds and end; harmless when it has ended."""

    @property
    def ending(self) -> str:
        """How it ended, for people; empty while it runs."""


class Launcher(Protocol):
    """Starts processes."""

    async def launch(self, name: str, path: Path) -> WorkerProcess:
        """Start the process of a model; it loads the file and then serves the model's name."""


class SubprocessLauncher:
    """Starts `python -m actors.llama.worker` with this interpreter."""

    def __init__(self, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()) -> None:
        """`environment` is added to this process's own; `arguments` to the worker's."""
        self._environment = {**os.environ, **(environment or {})}
        self._arguments = arguments

    async def launch(self, name: str, path: Path) -> "Subprocess":
        """See `Launcher`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "actors.llama.worker", "--model", name, "--path", str(path), *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        return Subprocess(process)


class Subprocess:
    """A child of this process."""

    KILL_SECONDS = 5.0
    """Beyond its grace before it is killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The operating system's number of the process."""
        return self._process.pid

    @property
    def ending(self) -> str:
        """See `WorkerProcess`."""
        code = self._process.returncode
        if code is None:
            return ""
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended with code {code}"

    async def reports(self) -> AsyncIterator[Report]:
        """See `WorkerProcess`."""
        output = self._process.stdout
        while output is not None and (line := await output.readline()):
            with contextlib.suppress(msgspec.DecodeError):
                yield msgspec.json.decode(line, type=Report)
        await self._process.wait()

    async def stop(self, grace: float) -> None:
        """See `WorkerProcess`."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(grace + self.KILL_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
