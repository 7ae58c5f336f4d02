"""On whose behalf a call is made, as it travels."""

import pytest

from bus import Behalf, Priority, RpcError
from bus.behalf import stamp

ANNA = Behalf("anna", frozenset({"chat", "speech"}), "key-1", Priority.VOICE)


@pytest.mark.parametrize("behalf", [Behalf(), ANNA, Behalf(scopes=frozenset()), Behalf(priority=Priority.TRAINING)])
def test_a_behalf_survives_its_journey(behalf: Behalf) -> None:
    assert Behalf.of(behalf.metadata()) == behalf


def test_no_scopes_are_something_else_than_all() -> None:
    assert Behalf.of({}).scopes is None
    assert Behalf.of({"troupe-scopes": ""}).scopes == frozenset()


@pytest.mark.parametrize(
    ("given", "behalf", "most", "seen"),
    [
        ({}, None, None, {}),
        ({"color": "blue"}, None, None, {"color": "blue"}),
        ({}, ANNA, None, ANNA.metadata()),
        ({"troupe-principal": "bert"}, ANNA, None, {**ANNA.metadata(), "troupe-principal": "bert"}),
        ({}, None, Priority.VOICE, {"troupe-priority": "voice"}),
        ({}, Behalf(priority=Priority.BATCH), Priority.VOICE, {"troupe-priority": "batch"}),
        ({}, Behalf(priority=Priority.VOICE), Priority.BATCH, {"troupe-priority": "batch"}),
        ({"priority": "batch"}, None, None, {"troupe-priority": "batch"}),
        ({"priority": "voice"}, None, None, {}),
    ],
)
def test_what_is_stamped(given: dict[str, str], behalf: Behalf | None, most: Priority | None, seen: object) -> None:
    metadata = dict(given)
    stamp(metadata, behalf, most)
    assert metadata == seen


def test_a_priority_that_is_none_is_refused() -> None:
    with pytest.raises(RpcError, match="no priority"):
        stamp({"priority": "asap"}, None, None)
