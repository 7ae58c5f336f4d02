"""`troupe chat` as a program, in pipes and at a terminal of its own, with a scripted model."""

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bus import RpcError
from troupe.chat.v1 import Delta, Finish, FinishReason, GenerateRequest, GenerateResponse, Usage
from troupe.model.v1 import ListModelsRequest, ListModelsResponse, Model, ModelState
from troupe.rpc.v1 import Progress
from troupe_client import text_of

GENERATE = "troupe.chat.v1.ChatService/Generate"
LIST_MODELS = "troupe.model.v1.ModelService/ListModels"

CHILD = """
import sys
if "terminal" in sys.argv[1]:
    import fcntl, os, termios
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from cli.__main__ import main
sys.exit(main(sys.argv[2:]))
"""

_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>78()][B0]?)")


class ScriptedModel:
    """A scripted model: says what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[GenerateRequest] = []
        self._events: asyncio.Queue[GenerateResponse | RpcError | None] = asyncio.Queue()

    def say(self, *pieces: str) -> None:
        """More text of the answer."""
        for piece in pieces:
            self._events.put_nowait(GenerateResponse(delta=Delta(text=piece, tokens=1)))

    def tell(self, progress: Progress) -> None:
        """What the answer waits for."""
        self._events.put_nowait(GenerateResponse(progress=progress))

    def end(self, reason: FinishReason = FinishReason.FINISH_REASON_STOP) -> None:
        """The answer ends well."""
        self._events.put_nowait(GenerateResponse(finish=Finish(reason=reason)))
        self._events.put_nowait(GenerateResponse(usage=Usage(prompt_tokens=11, completion_tokens=22, decode_seconds=1)))
        self._events.put_nowait(None)

    def fail(self, error: RpcError) -> None:
        """The answer ends badly."""
        self._events.put_nowait(error)

    async def __call__(self, request: GenerateRequest) -> AsyncIterator[GenerateResponse]:
        self.requests.append(request)
        while (event := await self._events.get()) is not None:
            if isinstance(event, RpcError):
                raise event
            yield event

    @property
    def heard(self) -> str:
        """What was said to it last."""
        return text_of(self.requests[-1].messages[-1])


async def list_models(request: ListModelsRequest) -> AsyncIterator[ListModelsResponse]:
    ready, available = ModelState.MODEL_STATE_READY, ModelState.MODEL_STATE_AVAILABLE
    yield ListModelsResponse(
        models=[
            Model(
                name="troupe-tiny",
                state=ready,
                parameters=2_900_000,
                quantization="Q8_0",
                context_tokens=2048,
                default=True,
            ),
            Model(name="quentin", state=available, description="Knows more."),
        ]
    )


@pytest.fixture
def model(door: Any) -> ScriptedModel:
    model = ScriptedModel()
    door.answers[GENERATE] = model
    door.answers[LIST_MODELS] = list_models
    return model


class Outcome(NamedTuple):
    """How a program in a pipe ended."""

    code: int
    out: str
    err: str


def environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {**kept, "TROUPE_HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}


@pytest.fixture
def begun(tmp_path: Path, wire: Any) -> Callable[..., Awaitable[asyncio.subprocess.Process]]:
    """Begins `troupe chat` in a pipe."""

    async def begin(*arguments: str, port: int = wire.port) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CHILD, "pipe", "chat", "--port", str(port), *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(tmp_path),
            cwd=tmp_path,
        )

    return begin


@pytest.fixture
def piped(begun: Callable[..., Awaitable[asyncio.subprocess.Process]]) -> Callable[..., Awaitable[Outcome]]:
    """Runs `troupe chat` in a pipe."""

    async def run(*arguments: str, given: bytes = b"", **options: int) -> Outcome:
        process = await begun(*arguments, **options)
        out, err = await process.communicate(given)
        assert process.returncode is not None
        return Outcome(process.returncode, out.decode(), err.decode())

    return run


class Terminal:
    """A program at a terminal of 120 x 30: type keys, wait for what it shows."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self._master = master
        self._shown = ""
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self._shown += data.decode("utf-8", "replace")
        self._changed.set()

    @property
    def text(self) -> str:
        """Everything that was written since the last `until`, without escape sequences."""
        return _ESCAPE.sub("", self._shown)

    def type(self, keys: str) -> None:
        """Press keys; "\\udcff" is the byte ff."""
        os.write(self._master, keys.encode("utf-8", "surrogateescape"))

    async def until(self, expected: str) -> str:
        """Wait until this has been written, and forget what came up to there; what it was."""
        try:
            while expected not in self.text:
                self._changed.clear()
                await self._changed.wait()
        except asyncio.CancelledError:
            pytest.fail(f"waited for {expected!r}, saw {self.text[-2000:]!r}")
        before, _, after = self.text.partition(expected)
        self._shown = after
        return before + expected

    async def prompt(self) -> None:
        """Wait until a line can be typed."""
        await self.until("Ask something")

    async def ended(self) -> int:
        """The exit code."""
        return await self.process.wait()

    def close(self) -> None:
        """Hang up."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)


@pytest.fixture
async def terminal(tmp_path: Path, wire: Any) -> AsyncIterator[Callable[..., Awaitable[Terminal]]]:
    """Runs `troupe chat` at a terminal."""
    opened = []

    async def run(*arguments: str) -> Terminal:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CHILD, "terminal", "chat", "--port", str(wire.port), *arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(tmp_path),
            cwd=tmp_path,
        )
        os.close(slave)
        opened.append(Terminal(process, master))
        return opened[-1]

    yield run
    for one in opened:
        with contextlib.suppress(ProcessLookupError):
            one.process.kill()
        await one.process.wait()
        one.close()
