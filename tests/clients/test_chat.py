"""`troupe chat` as a program: in pipes, and at a terminal of its own."""

import argparse
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bus import Code, RpcError
from bus.settings import load
from cli.chat import add_arguments, target_of
from troupe.chat.v1 import Delta, Finish, FinishReason, GenerateRequest, GenerateResponse, Usage
from troupe.model.v1 import ListModelsRequest, ListModelsResponse, Model, ModelState
from troupe.rpc.v1 import Progress
from troupe_client import text_of

GENERATE = "troupe.chat.v1.ChatService/Generate"
LIST_MODELS = "troupe.model.v1.ModelService/ListModels"
CTRL_C, CTRL_D, ALT_ENTER, ENTER, TAB = "\x03", "\x04", "\x1b\r", "\r", "\t"

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
            Model(name="troupe-tiny", state=ready, parameters=2_900_000, quantization="Q8_0", context_tokens=2048),
            Model(name="quentin", state=available, description="Knows more."),
        ]
    )


@pytest.fixture
def model(door: Any) -> ScriptedModel:
    model = ScriptedModel()
    door.answers[GENERATE] = model
    door.answers[LIST_MODELS] = list_models
    return model


@dataclass
class Outcome:
    """How a program in a pipe ended."""

    code: int
    out: str
    err: str


def environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, "TROUPE_HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}


@pytest.fixture
def piped(tmp_path: Path, wire: Any) -> Callable[..., Awaitable[Outcome]]:
    """Runs `troupe chat` in a pipe."""

    async def run(*arguments: str, given: bytes = b"", port: int = wire.port) -> Outcome:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CHILD, "pipe", "chat", "--port", str(port), *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(tmp_path),
            cwd=tmp_path,
        )
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
        """Press keys."""
        os.write(self._master, keys.encode())

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


# ---- in a pipe


async def test_a_pipe_gets_the_answer_and_nothing_else(model: ScriptedModel, piped: Any) -> None:
    model.tell(Progress(state=Progress.STATE_QUEUED, position=1))
    model.say("**Xin** ", "chào\x1b[31m!")
    model.end()
    assert await piped(given="Chào bạn".encode()) == Outcome(0, "**Xin** chào[31m!\n", "")
    assert model.heard == "Chào bạn"


async def test_a_prompt_and_what_is_piped_in_are_asked_together(model: ScriptedModel, piped: Any) -> None:
    model.say("ok\n")
    model.end()
    options = ("--model", "quentin", "--system", "Be brief.", "--temperature", "0", "--max-tokens", "5")
    outcome = await piped(*options, "Sum", "up:", given=b"a long text\n")
    assert outcome == Outcome(0, "ok\n", "")
    request = model.requests[0]
    assert (request.model, request.sampling.temperature, request.max_tokens) == ("quentin", 0, 5)
    assert [text_of(message) for message in request.messages] == ["Be brief.", "Sum up:\n\na long text"]


async def test_an_error_is_said_on_the_error_stream_with_exit_code_1(model: ScriptedModel, piped: Any) -> None:
    model.fail(RpcError(Code.NOT_FOUND, "There is no model 'x'.", reason="MODEL_NOT_FOUND"))
    outcome = await piped("hello")
    assert (outcome.code, outcome.out) == (1, "")
    assert "MODEL_NOT_FOUND" in outcome.err
    assert "There is no model 'x'." in outcome.err


async def test_an_answer_that_breaks_off_is_no_success(model: ScriptedModel, piped: Any) -> None:
    model.say("Half of")
    model.fail(RpcError(Code.UNAVAILABLE, "The process has ended.", reason="PEER_LOST"))
    outcome = await piped("hello")
    assert (outcome.code, outcome.out) == (1, "Half of\n")
    assert "PEER_LOST" in outcome.err


async def test_an_answer_at_its_token_limit_says_so_beside_the_answer(model: ScriptedModel, piped: Any) -> None:
    model.say("Half of")
    model.end(FinishReason.FINISH_REASON_LENGTH)
    outcome = await piped("hello")
    assert (outcome.code, outcome.out) == (0, "Half of\n")
    assert "token limit" in outcome.err


async def test_without_a_hub_it_is_told_how_to_start_one(piped: Any, unused_tcp_port: int) -> None:
    outcome = await piped("hello", port=unused_tcp_port)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"127.0.0.1:{unused_tcp_port}" in outcome.err
    assert "troupe up" in outcome.err
    outcome = await piped("--lang", "vi", "hello", port=unused_tcp_port)
    assert "Không có hub Troupe nào trả lời" in outcome.err


async def test_nothing_to_ask_is_a_mistake_of_use(piped: Any) -> None:
    outcome = await piped(given=b" \n")
    assert (outcome.code, outcome.out) == (2, "")
    assert "nothing to ask" in outcome.err


async def test_an_input_without_end_is_refused(piped: Any) -> None:
    outcome = await piped(given=b"x" * (1024 * 1024 + 1))
    assert outcome.code == 2
    assert "1,048,576" in outcome.err


async def test_a_reader_that_goes_away_ends_it_quietly(
    model: ScriptedModel, tmp_path: Path, wire: Any, door: Any
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, "pipe", "chat", "--port", str(wire.port), "hello"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(tmp_path),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    model.say("one\n")
    assert await process.stdout.readline() == b"one\n"
    process.stdout._transport.close()  # type: ignore[attr-defined]  # there is no public way to stop reading
    model.say("two\n")
    assert await process.wait() == 1
    assert await process.stderr.read() == b""
    await door.cancelled.wait()


# ---- at a terminal


async def test_a_conversation_at_a_terminal(model: ScriptedModel, terminal: Any) -> None:
    chat = await terminal()
    assert "model troupe-tiny" in await chat.until("Ctrl-D leaves")
    await chat.prompt()
    chat.type("What is a lease?" + ENTER)
    model.tell(Progress(state=Progress.STATE_QUEUED, position=3))
    await chat.until("place 3")
    model.tell(Progress(state=Progress.STATE_LOADING, fraction=0.25))
    await chat.until("Loading troupe-tiny · 25%")
    model.say("A **lease**", " is\n\n", "- held\n", "- given")
    await chat.until("A lease is")
    model.end()
    await chat.until("given")
    await chat.prompt()
    chat.type(CTRL_D)
    assert await chat.ended() == 0


async def test_ctrl_c_stops_the_answer_and_not_the_program(model: ScriptedModel, door: Any, terminal: Any) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("Count!" + ENTER)
    model.say("one, two")
    await chat.until("one, two")
    chat.type(CTRL_C)
    await chat.until("(stopped)")
    await door.cancelled.wait()
    await chat.prompt()
    chat.type("Again" + ENTER)
    model.say("three")
    model.end()
    await chat.until("three")
    assert [text_of(message) for message in model.requests[-1].messages] == ["Count!", "one, two", "Again"]
    await chat.prompt()
    chat.type(CTRL_C)
    await chat.until("leaves.")
    await chat.prompt()
    chat.type(CTRL_C)
    assert await chat.ended() == 0


async def test_another_model_answers_after_the_command(model: ScriptedModel, terminal: Any) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("/model quintin" + ENTER)
    await chat.until("Did you mean quentin, troupe-tiny?")
    await chat.prompt()
    chat.type("/model que")
    await chat.until("quentin")
    chat.type(TAB + ENTER)
    await chat.until("From here on quentin answers.")
    chat.type("Hi" + ENTER)
    model.say("Hello")
    model.end()
    await chat.until("Hello")
    assert model.requests[-1].model == "quentin"


async def test_commands_list_save_and_begin_anew(model: ScriptedModel, terminal: Any, tmp_path: Path) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("/models" + ENTER)
    assert "2.9 M Q8_0" in await chat.until("Knows more.")
    chat.type("/system Hãy ngắn gọn" + ENTER)
    await chat.until("System prompt set")
    chat.type("Hi" + ENTER)
    model.say("Xin chào")
    model.end()
    await chat.until("Xin chào")
    await chat.prompt()
    chat.type("/usage" + ENTER)
    await chat.until("11 prompt tokens (0 from the cache), 22 answer tokens")
    chat.type("/save talk.md" + ENTER)
    await chat.until("Saved to talk.md")
    chat.type("/save talk.md" + ENTER)
    await chat.until("exists already")
    chat.type("/retry" + ENTER)
    model.say("Chào!")
    model.end()
    await chat.until("Chào!")
    assert [text_of(message) for message in model.requests[-1].messages] == ["Hãy ngắn gọn", "Hi"]
    chat.type("/new" + ENTER)
    await chat.until("A new conversation.")
    chat.type("/nwe" + ENTER)
    await chat.until("Did you mean /new")
    chat.type("/quit" + ENTER)
    assert await chat.ended() == 0
    saved = (tmp_path / "talk.md").read_text("utf-8")
    assert saved == "# troupe-tiny\n\n> Hãy ngắn gọn\n\n## User\n\nHi\n\n## Assistant\n\nXin chào\n"
    history = tmp_path / "chat_history"
    assert "+Hi\n" in history.read_text("utf-8")
    assert history.stat().st_mode & 0o077 == 0, "nobody else reads what was said"


async def test_alt_enter_begins_a_new_line_and_two_slashes_say_one(model: ScriptedModel, terminal: Any) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("//one" + ALT_ENTER + "two" + ENTER)
    model.say("ok")
    model.end()
    await chat.until("ok")
    assert model.heard == "/one\ntwo"


async def test_an_answer_goes_on_after_the_hub_was_away(model: ScriptedModel, wire: Any, terminal: Any) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("Count!" + ENTER)
    model.say("one, ")
    await chat.until("one,")
    wire.refusing = True
    wire.cut()
    await chat.until("looking for the hub again")
    model.say("two, ", "three")
    model.end()
    wire.refusing = False
    await chat.until("one, two, three")
    await chat.prompt()
    assert len(model.requests) == 1


async def test_an_error_leaves_the_conversation_open(model: ScriptedModel, terminal: Any) -> None:
    chat = await terminal("--lang", "vi")
    await chat.until("Hãy hỏi điều gì đó")
    chat.type("Hi" + ENTER)
    model.fail(RpcError(Code.INVALID_ARGUMENT, "Too long.", reason="CONTEXT_LENGTH_EXCEEDED"))
    await chat.until("Lỗi: Too long. (CONTEXT_LENGTH_EXCEEDED)")
    await chat.until("/new")
    await chat.until("Hãy hỏi điều gì đó")
    chat.type(CTRL_D)
    assert await chat.ended() == 0


async def test_a_prompt_at_a_terminal_is_answered_once(model: ScriptedModel, terminal: Any) -> None:
    chat = await terminal("What", "now?")
    model.say("# This")
    model.end()
    await chat.until("This")
    assert await chat.ended() == 0
    assert model.heard == "What now?"


async def test_a_model_that_is_missing_is_replaced_by_one_that_is_there(
    model: ScriptedModel, door: Any, terminal: Any
) -> None:
    async def others(request: ListModelsRequest) -> AsyncIterator[ListModelsResponse]:
        yield ListModelsResponse(models=[Model(name="quentin", state=ModelState.MODEL_STATE_READY)])

    door.answers[LIST_MODELS] = others
    chat = await terminal()
    await chat.until("There is no model troupe-tiny here; quentin answers instead.")
    assert "model quentin" in await chat.until("Ctrl-D leaves")


# ---- where the hub is


@pytest.mark.parametrize(
    ("arguments", "environ", "target"),
    [
        ([], {}, "127.0.0.1:50051"),
        ([], {"TROUPE_GRPC_PORT": "7"}, "127.0.0.1:7"),
        ([], {"TROUPE_GRPC_HOST": "0.0.0.0", "TROUPE_GRPC_PORT": "7"}, "127.0.0.1:7"),
        (["--host", "hub.local"], {}, "hub.local:50051"),
        (["--host", "::1", "--port", "9"], {}, "[::1]:9"),
        (["--target", "hub.local:1"], {"TROUPE_GRPC_PORT": "7"}, "hub.local:1"),
    ],
)
def test_the_target_comes_from_arguments_then_settings(
    arguments: list[str], environ: dict[str, str], target: str, tmp_path: Path
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    settings = load(None, {"TROUPE_HOME": str(tmp_path), **environ})
    assert target_of(parser.parse_args(arguments), settings) == target
