"""Starting the process of a model, and hearing from it.

The child writes one JSON object per line on its standard output: what it waits for, how loading goes, that it serves,
that it leaves and why, or why it cannot serve.
It ends in order when its standard input is closed. With its parent it ends at once, also where it hangs or was stopped:
the kernel sees to that on Linux, elsewhere only the closed input does.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import msgspec
from google.protobuf.message import DecodeError

from bus import RpcError
from host.driver import Ending, Process, ended_by
from host.liveness import within
from host.process import dying_with_parent
from host.settings import INSTANCE
from troupe.family.v1 import Measured
from troupe.rpc.v1 import Progress, Status

SPARE_MODULE = "actors.model.spare_process"
TITLE_ROOM = 1024
"""Bytes of a spare process's command line, for that of the model that it will have."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model's process says of itself; made by the methods below."""

    state: str
    """"loading", "ready", "welcome", "leaving" or "failed"; of a spare process "warming", "spare" or "taken"."""
    progress: bytes = b""
    """A troupe.rpc.v1.Progress."""
    status: bytes = b""
    """A troupe.rpc.v1.Status."""
    measured: bytes = b""
    """A troupe.family.v1.Measured."""
    within: float = 0.0
    """Of one that leaves: seconds until it is to be killed; 0: as the family's settings say."""

    @classmethod
    def loading(cls, progress: Progress) -> Self:
        """It does not serve yet: it waits for others, or loads."""
        return cls("loading", progress=progress.SerializeToString())

    @classmethod
    def ready(cls, measured: Measured | None = None) -> Self:
        """It serves, and takes so much."""
        return cls("ready", measured=b"" if measured is None else measured.SerializeToString())

    @classmethod
    def welcome(cls) -> Self:
        """It serves, and another process of its model would be welcome."""
        return cls("welcome")

    @classmethod
    def leaving(cls, why: RpcError, within: float = 0.0) -> Self:
        """It will end by itself, in order, and is not to be started again; said before it ends."""
        return cls("leaving", status=why.to_status().SerializeToString(), within=within)

    @classmethod
    def failed(cls, why: RpcError) -> Self:
        """It cannot serve, and another start would not help. Whoever waits for the model hears this error."""
        return cls("failed", status=why.to_status().SerializeToString())

    @classmethod
    def read(cls, line: bytes) -> Self | None:
        """A report from its line; None: the line is none."""
        try:
            report = msgspec.json.decode(line, type=cls)
            Progress.FromString(report.progress), Status.FromString(report.status)
            Measured.FromString(report.measured)
        except (msgspec.MsgspecError, DecodeError):
            return None
        return report

    def line(self) -> bytes:
        """As it is written."""
        return msgspec.json.encode(self) + b"\n"

    @property
    def how(self) -> Progress:
        """What is waited for, or how far it is."""
        return Progress.FromString(self.progress)

    @property
    def takes(self) -> Measured | None:
        """What it takes, as it has measured it; None: it has not."""
        return Measured.FromString(self.measured) if self.measured else None

    @property
    def why(self) -> RpcError:
        """Why it leaves or has failed."""
        return RpcError.from_status(Status.FromString(self.status))


class WorkerProcess(Process, Protocol):
    """A model's process."""

    def reports(self) -> AsyncIterator[Report]:
        """What it says, until it has nothing more to say. By one at a time, before `ended` is awaited."""


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
        command = ("-m", self._module, "--model", name, "--path", str(path), *self._arguments)
        return await self._start(command, instance)

    async def launch_spare(self) -> "Subprocess":
        """Start a process that has no model yet; `assignment` gives it one."""
        process = await self._start(("-m", SPARE_MODULE, "-" * TITLE_ROOM), "spare")
        process.write(json.dumps({"module": self._module}).encode() + b"\n")
        return process

    def assignment(self, name: str, path: Path, instance: str) -> bytes:
        """The line by which a spare process becomes that of a model."""
        arguments = ["--model", name, "--path", str(path), *self._arguments]
        given = {"instance": within(instance), "arguments": arguments}
        return json.dumps(given).encode() + b"\n"

    async def _start(self, command: Sequence[str], instance: str) -> "Subprocess":
        process = await asyncio.create_subprocess_exec(
            *dying_with_parent(),
            sys.executable,
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
        while output is not None:
            try:
                line = await output.readline()
            except ValueError:  # longer than any report; the rest of it is no report either
                continue
            if not line:
                return
            report = Report.read(line)
            if report is not None:
                yield report

    async def ended(self) -> Ending:
        """See `driver.Process`."""
        code = await self._process.wait()
        return ended_by(-code, "it was ended by") if code < 0 else Ending(f"it ended with code {code}")

    def write(self, line: bytes) -> None:
        """Tell it something; of a few hundred bytes, since nobody waits until it has read them."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(line)

    def terminate(self) -> None:
        """See `driver.Process`."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """See `driver.Process`."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
