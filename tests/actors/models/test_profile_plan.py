"""What a profile measures, and what it refuses to."""

import pytest

from actors.model.overrides import Overrides
from actors.models.profile_plan import MOST_VALUES, check_alike, check_request, measured_so, settings_of
from bus import RpcError
from troupe.family.v1 import Needs
from troupe.model.v1 import Figures, Model, ProfileModelRequest

NEEDS = Needs(context_tokens=8192, slots=8, trained_context_tokens=8192)


def test_without_a_word_it_is_as_the_settings_say_and_less() -> None:
    found = settings_of(ProfileModelRequest(), NEEDS)
    assert found == [Overrides(2048, 1), Overrides(2048, 8), Overrides(8192, 1), Overrides(8192, 8)]
    assert settings_of(ProfileModelRequest(), Needs())  # a family that tells nothing


def test_all_contexts_with_all_slots_once_each_the_small_ones_first() -> None:
    found = settings_of(ProfileModelRequest(contexts=[4096, 1024, 4096], slots=[2, 1]), NEEDS)
    assert found == [Overrides(1024, 1), Overrides(1024, 2), Overrides(4096, 1), Overrides(4096, 2)]


def test_a_context_that_the_model_was_not_made_for_is_refused() -> None:
    with pytest.raises(RpcError, match="the model was trained for 8,192 tokens"):
        settings_of(ProfileModelRequest(contexts=[8193]), NEEDS)
    assert settings_of(ProfileModelRequest(contexts=[8193], slots=[1]), Needs()) == [Overrides(8193, 1)]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ProfileModelRequest(contexts=[63]), "contexts has 63; 64 to 4,194,304 can be measured."),
        (ProfileModelRequest(contexts=[1 << 23]), "contexts has 8388608"),
        (ProfileModelRequest(slots=[0]), "slots has 0; 1 to 64 can be measured."),
        (ProfileModelRequest(slots=[65]), "slots has 65"),
        (ProfileModelRequest(slots=range(1, MOST_VALUES + 2)), "slots has 17 entries"),
        (ProfileModelRequest(others=["x"] * 9), "others has 9 entries"),
        (ProfileModelRequest(contexts=range(64, 80), slots=range(1, 6)), "These are 80 measurements; at most 64"),
    ],
)
def test_what_can_never_be_measured_is_refused(request_: ProfileModelRequest, said: str) -> None:
    with pytest.raises(RpcError) as refusal:
        check_request(request_)
    assert said in refusal.value.message


def test_only_quantizations_of_one_model_are_compared() -> None:
    model = Model(name="a", architecture="llama", parameters=1000)
    check_alike(model, Model(name="b", architecture="llama", parameters=1050))
    for other in (
        Model(name="b", architecture="llama", parameters=1200),
        Model(name="b", architecture="qwen2", parameters=1000),
    ):
        with pytest.raises(RpcError, match="b is no quantization of a") as refusal:
            check_alike(model, other)
        assert refusal.value.reason == "NOT_THE_SAME_MODEL"


def test_what_was_measured_in_an_earlier_attempt_is_known_again() -> None:
    figures = Figures(model="llama/a", context_tokens=2048, slots=4)
    assert measured_so(figures, "llama/a", Overrides(2048, 4))
    assert not measured_so(figures, "llama/b", Overrides(2048, 4))
    assert not measured_so(figures, "llama/a", Overrides(2048, 1))
