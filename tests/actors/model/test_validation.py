"""What a request becomes before it reaches the engine."""

import pytest

from actors.model.validation import MAX_DEPTH, conversation
from troupe.chat.v1 import Message, Role, ToolCall

CUT_OFF = '{"city'
DEEP = '{"a":' + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1) + "}"
BOTTOMLESS = "[" * 100_000


def seen(arguments: str) -> object:
    call = ToolCall(id="c", name="weather", arguments=arguments)
    [turn] = conversation([Message(role=Role.ROLE_ASSISTANT, tool_calls=[call])])
    return turn["tool_calls"][0]["function"]["arguments"]


@pytest.mark.parametrize(("arguments", "shown"), [('{"city": "Huế"}', {"city": "Huế"}), ("", {}), ("{}", {})])
def test_arguments_are_an_object_for_the_template(arguments: str, shown: object) -> None:
    assert seen(arguments) == shown


@pytest.mark.parametrize("arguments", [CUT_OFF, "5", "[]", DEEP, BOTTOMLESS], ids=lambda text: text[:10])
def test_what_a_model_wrote_instead_of_an_object_is_shown_to_it_as_it_was(arguments: str) -> None:
    assert seen(arguments) == arguments
