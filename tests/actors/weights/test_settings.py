"""The section [actors.weights]."""

import pytest

from actors.weights.settings import BY_ITSELF, WeightsSettings
from host.settings import SettingsError, decode


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, ["smollm2-135m", "e5-small"]),
        (True, BY_ITSELF),
        (False, []),
        ([], []),
        (["e5-small"], ["e5-small"]),
        (["cl100k"], ["cl100k"]),
        ("false", []),
        ("e5-small, smollm2-135m", ["e5-small", "smollm2-135m"]),
    ],
)
def test_what_is_fetched_is_a_list_or_all_or_nothing(given: object, wanted: list[str]) -> None:
    section = {} if given is None else {"fetch": given}
    assert decode(WeightsSettings, section, "x", "actors.weights", strict=False).wanted == wanted


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match="smollm2-135m"):
        decode(WeightsSettings, {"fetch": ["smollm"]}, "troupe.toml", "actors.weights")
