"""Starting the process of a model, and hearing from it.

The child writes one JSON object per line on its standard output: how loading goes, that it serves, or why it cannot.
It ends in order when its standard input is closed. With its parent it ends at once, also where it hangs or was stopped:
the kernel sees to that on Linux, elsewhere only the closed input does.
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

from host.driver import Process
from host.liveness import within
from host.process import dying_with_parent
from host.settings import INSTANCE


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model's process says of itself."""

    state: str
    """"loading", "ready" or "failed"."""
    fraction: float = 0.0
    """Share that is loaded."""
    error: str = ""
    """Why it failed, as a sentence."""


class WorkerProcess(Process, Protocol):
    """A model's process."""

    def reports(self) -> AsyncIterator[Report]:
        """What it says, until it has nothing more to say. To be iterated once, before `ended` is awaited."""


class Launcher(Protocol):
    """Starts processes."""

    async def launch(self, name: str, path: Path, instance: str) -> WorkerProcess:
        """Start the process of a model; it loads the file and then serves the model's name.

        instance: becomes a part of its name on the bus. Raises OSError.
        """


class SubprocessLauncher:
    """Starts `python -m <module>` with this interpreter."""

    def __init__(
        self, module: str, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
    ) -> None:
        """`environment` is added to this process's own; `arguments` to the worker's."""
        self._module = module
        self._environment = {**os.environ, **(environment or {})}
        self._arguments = arguments

    async def launch(self, name: str, path: Path, instance: str) -> "Subprocess":
        """See `Launcher`."""
        command = (sys.executable, "-m", self._module, "--model", name, "--path", str(path), *self._arguments)
        process = await asyncio.create_subprocess_exec(
            *dying_with_parent(),
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**self._environment, INSTANCE: within(instance)},
            start_new_session=True,
        )
        return Subprocess(process)


class Subprocess:
    """A child of this process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """See `driver.Process`."""
        return self._process.pid

    async def reports(self) -> AsyncIterator[Report]:
        """See `WorkerProcess`."""
        output = self._process.stdout
        while output is not None and (line := await output.readline()):
            with contextlib.suppress(msgspec.DecodeError):
                yield msgspec.json.decode(line, type=Report)

    async def ended(self) -> str:
        """See `driver.Process`."""
        code = await self._process.wait()
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended with code {code}"

    def terminate(self) -> None:
        """See `driver.Process`."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """See `driver.Process`."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
