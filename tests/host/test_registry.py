import pytest

from host import registry
from host.registry import UnknownActor

COMPANY = {"echo": "actors.echo:EchoActor", "silent": "actors.nowhere:SilentActor"}


def test_a_name_leads_to_its_class() -> None:
    assert registry.find("echo", COMPANY).__name__ == "EchoActor"


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownActor, match="Did you mean echo"):
        registry.find("ehco", COMPANY)


def test_where_nothing_resembles_the_name_all_are_told() -> None:
    with pytest.raises(UnknownActor, match="There are: echo, silent"):
        registry.location("xyzzy", COMPANY)
