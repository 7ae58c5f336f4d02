"""A process that prints into its log."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from host import process
from host.driver import Ending, ended_by
from host.output import Output


class LoggedProcess:
    """A child of this process that prints into its log. See `driver.Process`."""

    def __init__(self, child: asyncio.subprocess.Process, output: Output) -> None:
        self._child = child
        self.output = output

    @property
    def pid(self) -> int:
        return self._child.pid

    async def ended(self) -> Ending:
        with self.output:
            return ending(await self._child.wait(), self.output.last_line())

    def terminate(self) -> None:
        with suppress(ProcessLookupError):
            self._child.terminate()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._child.kill()


async def start(command: Sequence[str], output: Output, environment: Mapping[str, str]) -> LoggedProcess:
    """Start a program in a session of its own, which ends with this one. Raises OSError; `output` is closed then."""
    try:
        child = await asyncio.create_subprocess_exec(
            *process.dying_with_parent("KILL"),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output.fileno(),
            stderr=output.fileno(),
            env=environment,
            start_new_session=True,
        )
    except BaseException:
        output.close()
        raise
    return LoggedProcess(child, output)


def ending(status: int, last_line: str) -> Ending:
    """How a process ended; one that failed, with what it said last."""
    if status < 0:
        return ended_by(-status)
    said = f": {last_line[:300]}" if status and last_line else ""
    return Ending(f"ended with status {status}{said}")
