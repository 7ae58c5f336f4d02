"""The commands of the terminal chat, and how they are completed."""

import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bus import RpcError, nearest
from cli.chat_words import Words
from cli.plain_text import clean
from troupe.chat.v1 import ChatService, Role, Usage
from troupe.model.v1 import ListModelsRequest, Model, ModelState
from troupe_client import Conversation, Hub, text_of

LIST_SECONDS = 10.0
"""How long listing the models may take."""


class CommandCompleter(Completer):
    """Completes commands at the start of the line, and models after /model."""

    def __init__(self, words: Words, models: Callable[[], Iterable[str]]) -> None:
        self._words = words
        self._models = models

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        line = document.text_before_cursor
        if not line.startswith("/") or "\n" in line:
            return
        command, space, argument = line.partition(" ")
        if not space:
            for name, about in self._words.commands.items():
                if name.startswith(command):
                    yield Completion(name, start_position=-len(command), display_meta=about)
        elif command == "/model":
            for model in self._models():
                if model.startswith(argument):
                    yield Completion(model, start_position=-len(argument))


class Commands:
    """What /commands do. Each prints its answer; `run` tells what the session is to do next."""

    def __init__(self, hub: Hub, conversation: Conversation, words: Words, console: Console) -> None:
        self.models: list[Model] = []
        self.leaving = False
        self._hub = hub
        self._conversation = conversation
        self._words = words
        self._console = console
        self._table: dict[str, Callable[[str], Awaitable[str]]] = {
            "/model": self._model,
            "/models": self._models,
            "/system": self._system,
            "/new": self._new,
            "/retry": self._retry,
            "/save": self._save,
            "/usage": self._usage,
            "/help": self._help,
            "/quit": self._quit,
            "/exit": self._quit,
        }

    @property
    def model_names(self) -> list[str]:
        """What the models that were listed last may be called."""
        return [name for model in self.models for name in (model.name, *model.aliases)]

    async def run(self, line: str) -> str:
        """Carry out one line; what is to be asked now, usually nothing. Raises RpcError."""
        name, _, argument = line.partition(" ")
        command = self._table.get(name)
        if command is None:
            self._unknown(name)
            return ""
        return await command(argument.strip())

    def _say(self, text: str, style: str = "dim") -> None:
        self._console.print(Text(clean(text), style=style))

    def _unknown(self, name: str) -> None:
        close = nearest(name, self._table)
        hint = self._words.did_you_mean.format(names=", ".join(close)) if close else self._words.see_help
        self._say(f"{self._words.unknown_command.format(command=name)} {hint} {self._words.say_slash}", "yellow")

    async def refresh(self) -> None:
        """List the chat models anew. Raises RpcError."""
        request = ListModelsRequest(service=ChatService.INFO.name)
        response = await self._hub.models.list_models(request, timeout=LIST_SECONDS)
        self.models = list(response.models)

    async def choose_first(self) -> None:
        """Where the hub tells no default, take a model that is there."""
        await self.refresh()
        wanted = self._conversation.model
        if not self.models:
            self._say(self._words.no_models, "yellow")
        elif wanted not in self.model_names:
            ready = [model.name for model in self.models if model.state == ModelState.MODEL_STATE_READY]
            self._conversation.model = (ready or self.model_names)[0]

    async def _model(self, name: str) -> str:
        if not name:
            self._say(self._words.model_is.format(model=self._conversation.model))
            return ""
        await self.refresh()
        if name in self.model_names:
            self._conversation.model = name
            self._say(self._words.model_set.format(model=name))
            return ""
        close = nearest(name, self.model_names)
        hint = self._words.did_you_mean.format(names=", ".join(close)) if close else self._words.see_models
        self._say(f"{self._words.model_unknown.format(model=name)} {hint}", "yellow")
        return ""

    async def _models(self, _: str) -> str:
        await self.refresh()
        if not self.models:
            self._say(self._words.no_models, "yellow")
            return ""
        table = Table(box=None, header_style="dim", pad_edge=False)
        words = self._words
        for column in (
            words.column_model,
            words.column_state,
            words.column_size,
            words.column_context,
            words.column_about,
        ):
            table.add_column(column, overflow="fold")
        for model in self.models:
            table.add_row(*(Text(clean(cell)) for cell in self._row(model)))
        self._console.print(table)
        return ""

    def _row(self, model: Model) -> list[str]:
        marker = "› " if model.name == self._conversation.model else "  "
        state = ModelState.Name(model.state).removeprefix("MODEL_STATE_")
        size = " ".join(part for part in (_count(model.parameters), model.quantization) if part)
        context = f"{model.context_tokens:,}" if model.context_tokens else ""
        about = model.error or model.description
        return [marker + model.name, self._words.states.get(state, state), size, context, about]

    async def _system(self, text: str) -> str:
        words, conversation = self._words, self._conversation
        if text == "-":
            conversation.system = ""
            self._say(words.system_removed)
        elif text:
            conversation.system = text
            self._say(words.system_set)
        else:
            self._say(words.system_is.format(text=conversation.system) if conversation.system else words.system_none)
        return ""

    async def _new(self, _: str) -> str:
        self._conversation.clear()
        self._say(self._words.began_anew)
        return ""

    async def _retry(self, _: str) -> str:
        said = self._conversation.take_back()
        if not said:
            self._say(self._words.nothing_to_retry)
        return said

    async def _save(self, name: str) -> str:
        if not self._conversation.messages:
            self._say(self._words.nothing_to_save)
        elif not name:
            self._say(self._words.save_where)
        else:
            self._write(name)
        return ""

    def _write(self, name: str) -> None:
        path = Path(name).expanduser()
        text = as_json(self._conversation) if path.suffix == ".json" else as_markdown(self._conversation)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            self._say(self._words.exists.format(path=path), "yellow")
        except OSError as error:
            self._say(self._words.not_saved.format(path=path, why=error.strerror), "yellow")
        else:
            self._say(self._words.saved.format(path=path))

    async def _usage(self, _: str) -> str:
        conversation = self._conversation
        if not conversation.total.prompt_tokens and not conversation.total.completion_tokens:
            self._say(self._words.no_usage)
            return ""
        if conversation.usage is not None:
            self._say(f"{self._words.usage_last}: {self._amount(conversation.usage)}")
            self._say(f"  {self._speed(conversation.usage)}")
        self._say(f"{self._words.usage_total}: {self._amount(conversation.total)}")
        return ""

    def _amount(self, usage: Usage) -> str:
        return self._words.usage_line.format(
            prompt=f"{usage.prompt_tokens:,}",
            cached=f"{usage.cached_tokens:,}",
            completion=f"{usage.completion_tokens:,}",
        )

    def _speed(self, usage: Usage) -> str:
        rate = (usage.completion_tokens - 1) / usage.decode_seconds if usage.decode_seconds > 0 else 0.0
        return self._words.usage_speed.format(
            queue=usage.queue_seconds, prefill=usage.prefill_seconds, rate=max(0.0, rate)
        )

    async def _help(self, _: str) -> str:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, about in self._words.commands.items():
            table.add_row(Text(name, style="cyan"), Text(about))
        self._console.print(table)
        self._say(self._words.help_keys)
        return ""

    async def _quit(self, _: str) -> str:
        self.leaving = True
        return ""


def as_markdown(conversation: Conversation) -> str:
    """The conversation for people."""
    names = {Role.ROLE_USER: "User", Role.ROLE_ASSISTANT: "Assistant"}
    head = [f"# {conversation.model}"]
    if conversation.system:
        head.append(f"> {conversation.system}".replace("\n", "\n> "))
    turns = [f"## {names.get(message.role, 'Tool')}\n\n{text_of(message)}" for message in conversation.messages]
    return "\n\n".join([*head, *turns]) + "\n"


def as_json(conversation: Conversation) -> str:
    """The conversation for programs: OpenAI's form of messages."""
    names = {Role.ROLE_USER: "user", Role.ROLE_ASSISTANT: "assistant"}
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    turns = [{"role": names.get(turn.role, "tool"), "content": text_of(turn)} for turn in conversation.messages]
    whole = {"model": conversation.model, "messages": [*system, *turns]}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def _count(parameters: int) -> str:
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if parameters >= size:
            return f"{parameters / size:.1f} {unit}"
    return str(parameters or "")


def hint_for(error: RpcError, words: Words) -> str:
    """What a person can do about it."""
    if error.reason == "CONTEXT_LENGTH_EXCEEDED":
        return words.try_new
    return words.see_models if error.reason == "MODEL_NOT_FOUND" else words.try_retry
