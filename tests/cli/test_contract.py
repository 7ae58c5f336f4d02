"""Names of methods, as people type them."""

import pytest

from cli.contract import described, method_of, shape_of
from cli.failure import CommandError


@pytest.mark.parametrize(
    "name",
    [
        "troupe.echo.v1.EchoService/Echo",
        "/troupe.echo.v1.EchoService/Echo",
        "troupe.echo.v1.EchoService.Echo",
        "EchoService/Echo",
        "Echo",
    ],
)
def test_a_method_is_found_by_each_of_its_names(name: str) -> None:
    assert method_of(name).full_name == "troupe.echo.v1.EchoService/Echo"


def test_half_a_word_is_no_name() -> None:
    with pytest.raises(CommandError, match=r"no method 'cho'"):
        method_of("cho")


@pytest.mark.parametrize("name", ["Ech", "ecco", "EchoServce/Echo", "troupe.echo.v1.EchoService/Ehco"])
def test_a_misspelt_method_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(CommandError, match=r"Did you mean .*troupe\.echo\.v1\.EchoService/Echo"):
        method_of(name)


def test_a_far_off_name_is_answered_with_the_way_to_the_list() -> None:
    with pytest.raises(CommandError) as raised:
        method_of("zzzzzzzz")
    assert raised.value.remedy == "`troupe call` without arguments lists all."


def test_shapes_have_grpcs_names() -> None:
    shapes = {name: shape_of(method_of(name)) for name in ("Echo", "Repeat", "Collect", "Converse")}
    assert list(shapes.values()) == ["unary", "server stream", "client stream", "bidi stream"]


def test_a_message_is_described_once_however_often_it_occurs() -> None:
    text = described(method_of("ChatService/Generate"))
    assert text.count("message troupe.chat.v1.Part {") == 1
