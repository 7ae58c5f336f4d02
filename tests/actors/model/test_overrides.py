"""Settings of one process of a model, and its name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.model.overrides import Overrides, check_trained, overrides_of, parted
from bus import RpcError
from troupe.family.v1 import Overrides as Told


@given(st.text("ab@=,/é", min_size=1), st.integers(0, 1 << 22), st.integers(0, 64))
def test_a_name_tells_the_settings_again(model: str, context: int, slots: int) -> None:
    overrides = Overrides(context, slots)
    assert parted(overrides.named(model)) == (model, overrides)


@pytest.mark.parametrize(
    "name", ["", "a", "a@context=1", "a@context=x,slots=1", "@context=1,slots=1", "a@context=1,slots=1b"]
)
def test_any_other_name_is_a_models(name: str) -> None:
    assert parted(name) == (name, Overrides())


def test_what_is_out_of_range_or_not_known_is_refused() -> None:
    assert overrides_of(Told(context_tokens=2048, slots=4)) == Overrides(2048, 4)
    assert not overrides_of(Told())
    with pytest.raises(RpcError, match="at least 64"):
        overrides_of(Told(context_tokens=63))
    with pytest.raises(RpcError, match="at most 64"):
        overrides_of(Told(slots=65))
    newer = Told.FromString(Told(slots=2).SerializeToString() + b"\x78\x01")  # a field of a later version
    with pytest.raises(RpcError, match="does not know"):
        overrides_of(newer)


def test_a_context_is_no_longer_than_what_the_model_was_trained_for() -> None:
    check_trained(Overrides(8192, 1), 8192)
    check_trained(Overrides(8192, 1), 0)
    with pytest.raises(RpcError, match="trained for 4096"):
        check_trained(Overrides(8192, 1), 4096)
