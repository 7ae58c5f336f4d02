"""Families that are not installed."""

from pathlib import Path

import pytest

from actors.models.absent import family_of_file, lacking_families, of_absent
from actors.models.directory import Directory, family_unavailable
from bus import Code, RpcError
from host.liveness import Seen

TOLD = (("troupe.family.v1.FamilyService[torch]", "transformers"), ("troupe.speech.v1.SpeechService", "voice"))
LACKING = {"torch": "transformers"}


def refusal(name: str) -> RpcError:
    with pytest.raises(RpcError) as caught:
        Directory().find(name)
    return caught.value


def test_families_among_what_is_not_installed_are_known_by_their_route() -> None:
    supervisor = Seen("supervisor-1", "supervisor", "serving", (), 1, absent=TOLD)
    assert lacking_families([Seen("echo-1", "echo", "serving", (), 1), supervisor]) == LACKING


def test_where_every_family_is_missing_its_part_is_named() -> None:
    error = of_absent(refusal("tiny"), "tiny", LACKING)
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "PART_NOT_INSTALLED")
    assert "`troupe add transformers`" in error.message


def test_while_a_family_is_being_started_none_is_taken_for_missing() -> None:
    error = refusal("tiny")
    assert of_absent(error, "tiny", LACKING, coming=True) is error
    assert of_absent(error, "tiny", LACKING, family="torch", coming=True).reason == "PART_NOT_INSTALLED"


async def test_a_familys_model_is_known_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "phi").mkdir()
    (tmp_path / "phi/config.json").touch()
    (tmp_path / "bea.gguf").touch()
    both = ("llama", "transformers")
    names = ("phi", "bea", "none", "", ".", "x/phi", "a\0b", "x" * 300, "{0.x}")
    assert [await family_of_file(tmp_path, name, both) for name in names] == ["transformers", "llama", *[""] * 7]
    assert await family_of_file(tmp_path, "bea", ["transformers", "torch"]) == ""


def test_a_full_name_of_a_missing_family_is_answered_with_its_part() -> None:
    unknown = RpcError(Code.NOT_FOUND, "There is no such model.", reason="MODEL_NOT_FOUND")
    assert of_absent(unknown, "torch/tiny", LACKING).reason == "PART_NOT_INSTALLED"
    assert of_absent(unknown, "llama/tiny", LACKING) is unknown
    assert of_absent(unknown, "tiny", LACKING) is unknown


def test_a_family_that_is_there_and_silent_stays_what_it_is() -> None:
    silent = family_unavailable("llama", "It does not answer.")
    assert of_absent(silent, "tiny", LACKING) is silent
    assert of_absent(family_unavailable("", "None has spoken."), "tiny", {}).reason == "FAMILY_UNAVAILABLE"
