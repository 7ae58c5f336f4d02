"""The commands of the terminal chat, without a terminal."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from rich.console import Console

from bus import Code, RpcError
from cli.chat_commands import CommandCompleter, Commands, as_json, as_markdown, hint_for
from cli.chat_words import ENGLISH
from troupe.chat.v1 import Message, Part, Role, Usage
from troupe.model.v1 import ListModelsRequest, ListModelsResponse
from troupe_client import Conversation, Hub, connect

from .conftest import LIST_MODELS


@pytest.fixture
async def hub(model: Any, wire: Any) -> AsyncIterator[Hub]:
    async with connect(f"127.0.0.1:{wire.port}") as hub:
        yield hub


class Room:
    """A conversation, its commands, and what they have printed."""

    def __init__(self, hub: Hub) -> None:
        self.conversation = Conversation(hub.chat, model="troupe-tiny")
        self._out = io.StringIO()
        console = Console(file=self._out, width=1000, color_system=None)
        self.commands = Commands(hub, self.conversation, ENGLISH, console)

    def heard(self, role: Role, text: str) -> None:
        self.conversation.messages.append(Message(role=role, parts=[Part(text=text)]))

    async def run(self, line: str) -> str:
        """What it prints."""
        self._out.truncate(self._out.seek(0))
        await self.commands.run(line)
        return self._out.getvalue()


@pytest.fixture
def room(hub: Hub) -> Room:
    return Room(hub)


async def test_models_are_listed_and_chosen_by_name(room: Room) -> None:
    listed = await room.run("/models")
    assert "› troupe-tiny" in listed and "2.9 M Q8_0" in listed and "Knows more." in listed
    assert "quentin" in await room.run("/model quentin")
    assert room.conversation.model == "quentin"
    assert "quentin" in await room.run("/model")
    assert ENGLISH.did_you_mean.format(names="quentin") in await room.run("/model quentn")
    assert ENGLISH.see_models in await room.run("/model xyzzy")
    assert room.conversation.model == "quentin"


async def test_a_hub_without_models_says_so_and_one_without_the_wanted_one_offers_what_is_loaded(
    room: Room, door: Any
) -> None:
    room.conversation.model = "gone"
    await room.commands.choose_first()
    assert room.conversation.model == "troupe-tiny"

    async def nothing(request: ListModelsRequest) -> AsyncIterator[ListModelsResponse]:
        yield ListModelsResponse()

    door.answers[LIST_MODELS] = nothing
    assert ENGLISH.no_models in await room.run("/models")
    await room.commands.choose_first()
    assert room.conversation.model == "troupe-tiny"


async def test_instructions_are_set_shown_and_taken_away(room: Room) -> None:
    assert ENGLISH.system_none in await room.run("/system")
    assert ENGLISH.system_set in await room.run("/system Trả lời ngắn.")
    assert "Trả lời ngắn." in await room.run("/system")
    assert ENGLISH.system_removed in await room.run("/system -")
    assert room.conversation.system == ""


async def test_a_conversation_is_saved_for_people_and_for_programs(room: Room, tmp_path: Path) -> None:
    assert ENGLISH.nothing_to_save in await room.run("/save a.md")
    room.conversation.system = "Be brief.\nAlways."
    room.heard(Role.ROLE_USER, "Một?")
    room.heard(Role.ROLE_ASSISTANT, "Hai.")
    assert ENGLISH.save_where in await room.run("/save")
    await room.run(f"/save {tmp_path}/a.md")
    await room.run(f"/save {tmp_path}/a.json")
    assert (tmp_path / "a.md").read_text("utf-8") == as_markdown(room.conversation)
    assert "> Be brief.\n> Always." in as_markdown(room.conversation)
    told = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert told == json.loads(as_json(room.conversation))
    assert [turn["content"] for turn in told["messages"]] == ["Be brief.\nAlways.", "Một?", "Hai."]
    assert "a.md" in await room.run(f"/save {tmp_path}/a.md"), "it is there already"
    assert "No such file" in await room.run(f"/save {tmp_path}/no/a.md")


async def test_usage_is_told_once_there_is_some(room: Room) -> None:
    assert ENGLISH.no_usage in await room.run("/usage")
    room.conversation.usage = Usage(prompt_tokens=1200, completion_tokens=21, decode_seconds=2)
    room.conversation.total.CopyFrom(room.conversation.usage)
    told = await room.run("/usage")
    assert told.count("1,200") == 2 and "10.0" in told


async def test_what_is_no_command_is_told_with_the_nearest(room: Room) -> None:
    assert ENGLISH.did_you_mean.format(names="/models, /model") in await room.run("/modles")
    assert ENGLISH.see_help in await room.run("/xyzzy")
    assert "/retry" in await room.run("/help")
    assert ENGLISH.nothing_to_retry in await room.run("/retry")
    assert ENGLISH.began_anew in await room.run("/new")
    await room.run("/quit")
    assert room.commands.leaving


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/mo", ["/model", "/models"]),
        ("/model t", ["tiny"]),
        ("/system t", []),
        ("hello /m", []),
        ("/m\n", []),
    ],
)
def test_commands_and_models_are_completed(typed: str, offered: list[str]) -> None:
    completer = CommandCompleter(ENGLISH, lambda: ["tiny", "other"])
    found = [one.text for one in completer.get_completions(Document(typed), CompleteEvent())]
    assert found == offered


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("CONTEXT_LENGTH_EXCEEDED", ENGLISH.try_new),
        ("MODEL_NOT_FOUND", ENGLISH.see_models),
        ("PEER_LOST", ENGLISH.try_retry),
    ],
)
def test_an_error_comes_with_what_to_do(reason: str, hint: str) -> None:
    assert hint_for(RpcError(Code.INTERNAL, "x", reason=reason), ENGLISH) == hint
