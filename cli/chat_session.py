"""A conversation in the terminal: a line is read, carried out or answered, and so on."""

import asyncio
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from rich.console import Console
from rich.text import Text

from bus import RpcError
from cli.chat_commands import CommandCompleter, Commands, hint_for
from cli.chat_plain import readable
from cli.chat_view import AnswerView
from cli.chat_words import Words
from cli.failure import worth_looking_up
from cli.options import CHAT, in_options
from cli.plain_text import clean
from cli.weights_text import coming, known_weights
from troupe.chat.v1 import ChatService, FinishReason
from troupe_client import Conversation, Hub


class Session:
    """One person at one terminal."""

    def __init__(self, hub: Hub, conversation: Conversation, words: Words, home: Path) -> None:
        self._hub = hub
        self._conversation = conversation
        self._words = words
        self._home = home
        self._console = Console(highlight=False)
        self._commands = Commands(hub, conversation, words, self._console)
        self.stopped = False
        """The last thing that the person did was Ctrl-C; another one leaves."""

    async def run(self, *, chosen: bool) -> None:
        """Until the person leaves. chosen: the model was asked for by name."""
        if not chosen:
            await self._carefully(self._commands.choose_first())
        self._say(self._words.welcome.format(target=self._hub.channel.target, model=self._conversation.model))
        await self._carefully(self._tell_what_comes())
        prompt = self._prompt()
        while not self._commands.leaving:
            line = await self._read(prompt)
            if line is None:
                return
            await self._carry_out(line)

    async def _tell_what_comes(self) -> None:
        """Models that the hub is fetching by itself."""
        for weights in coming(await known_weights(self._hub), ChatService.INFO.name):
            self._say(self._words.coming.format(model=weights.name, percent=f"{weights.fraction:.0%}"))

    # ---- reading

    def _prompt(self) -> "PromptSession[str]":
        return PromptSession(
            FormattedText([("ansicyan bold", "› ")]),
            prompt_continuation="  ",
            multiline=True,
            history=history_in(self._home),
            completer=CommandCompleter(self._words, lambda: self._commands.model_names),
            complete_while_typing=True,
            key_bindings=_bindings(),
            placeholder=FormattedText([("ansibrightblack", self._words.placeholder)]),
        )

    async def _read(self, prompt: "PromptSession[str]") -> str | None:
        """The next line; None when the person leaves."""
        while True:
            try:
                line = (await prompt.prompt_async()).strip()
            except EOFError:
                return None
            except KeyboardInterrupt:
                if self.stopped:
                    return None
                self.stopped = True
                self._say(self._words.leave_hint)
                continue
            self.stopped = False
            if line:
                return line

    async def _carry_out(self, line: str) -> None:
        if line.startswith("//"):
            await self.answer(line[1:])
        elif line.startswith("/"):
            question = await self._carefully(self._commands.run(line))
            if question:
                await self.answer(question)
        else:
            await self.answer(line)

    # ---- answering

    async def answer(self, question: str) -> bool:
        """Show the answer as it comes; False if it was stopped or failed. Ctrl-C stops it."""
        asking = asyncio.create_task(self._ask(question))
        with interrupting(asking), quiet_terminal():
            try:
                await asking
            except asyncio.CancelledError:
                if not asking.cancelled():
                    raise
                self.stopped = True
                self._say(f"({self._words.stopped})\n")
                return False
            except RpcError as error:
                self._explain(error)
                return False
        if self._conversation.finish_reason == FinishReason.FINISH_REASON_LENGTH:
            self._say(f"({self._words.cut_at_limit})")
        self._console.print()
        return True

    async def _ask(self, question: str) -> None:
        channel, model = self._hub.channel, self._conversation.model
        view = AnswerView(self._console, self._words, model, lambda: channel.connected)
        async with view, aclosing(self._conversation.events(question)) as events:
            async for event in events:
                view.take(event)

    async def _carefully(self, doing: Coroutine[Any, Any, str | None]) -> str:
        """Wait for something that asks the hub; what goes wrong is shown. Ctrl-C stops it."""
        task = asyncio.create_task(doing)
        with interrupting(task):
            try:
                return await task or ""
            except asyncio.CancelledError:
                if not task.cancelled():
                    raise
            except RpcError as error:
                self._explain(error)
        return ""

    def _explain(self, error: RpcError) -> None:
        message = clean(in_options(error.message, CHAT))
        self._console.print(Text(f"{self._words.error}: {message} ({error.reason})", style="red"))
        self._say(hint_for(error, self._words))
        if worth_looking_up(error):
            self._say(self._words.find_reference.format(reference=error.reference))

    def _say(self, text: str) -> None:
        self._console.print(Text(clean(text), style="dim"))


def history_in(home: Path) -> History:
    """What was said before, in a file that only its owner reads; kept in memory where there can be no file."""
    file = home / "chat_history"
    try:
        home.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(file)


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if readable(buffer.text) != buffer.text:
            buffer.text = readable(buffer.text)
        buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-c")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    return bindings


@contextmanager
def interrupting(task: "asyncio.Task[Any]") -> Iterator[None]:
    """Ctrl-C cancels the task, and nothing else."""
    loop = asyncio.get_running_loop()

    def interrupt(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(task.cancel)

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def quiet_terminal() -> Iterator[None]:
    """Keys that are pressed meanwhile are not echoed into the answer; they wait for the next prompt."""
    try:
        import termios
    except ImportError:  # Windows echoes nothing here
        yield
        return
    descriptor = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(descriptor)
    except termios.error:  # no terminal
        yield
        return
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
