"""How urgent a call is."""

import pytest

from bus import Priority, RpcError
from troupe.rpc.v1 import Priority as Contract


def test_priorities_are_those_of_the_contract() -> None:
    assert [(f"PRIORITY_{known.name}", known.value) for known in Priority] == list(Contract.items())[1:]


def test_a_priority_is_lowered_and_never_raised() -> None:
    assert Priority.VOICE.lowered(Priority.BATCH) is Priority.BATCH
    assert Priority.TRAINING.lowered(Priority.VOICE) is Priority.TRAINING
    assert Priority.VOICE.lowered(None) is Priority.VOICE


def test_a_priority_travels_as_a_word() -> None:
    assert [Priority.named(known.word) for known in Priority] == list(Priority)


@pytest.mark.parametrize("word", ["", "Voice", "VOICE", "urgent", "1"])
def test_another_word_is_refused(word: str) -> None:
    with pytest.raises(RpcError, match="'voice'"):
        Priority.named(word)
