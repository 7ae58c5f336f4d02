"""Profiles of models as text."""

import argparse
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from cli.model_text import figures_of, health_of, state_of
from cli.models_profile import figures_table, numbers, profile, proposal_text
from troupe.model.v1 import (
    Figures,
    Health,
    HealthState,
    Model,
    ModelProfile,
    ModelState,
    ProfileModelRequest,
    ProfileModelResponse,
    Proposal,
)
from troupe.rpc.v1 import Progress

MIB = 2**20


def seconds(value: float) -> Duration:
    return Duration(nanos=int(value * 1e9))


FIGURES = Figures(
    model="llama/tiny",
    context_tokens=2048,
    slots=2,
    load=seconds(0.5),
    first_token=seconds(0.25),
    prompt_tokens_per_second=1234,
    tokens_per_second=56,
    host_bytes=90 * MIB,
    engine="llama.cpp",
    disturbed=True,
)
BROKEN = Figures(model="llama/tiny", context_tokens=4096, slots=1, error="It does not fit.")
FOUND = ModelProfile(
    figures=[FIGURES, BROKEN],
    proposal=Proposal(model="llama/tiny", context_tokens=2048, slots=2, reasons=["It answers two at once."]),
)


def test_each_measurement_has_its_line_and_what_did_not_fit_its_reason() -> None:
    head, first, second, *others = figures_table(FOUND)
    assert head.split()[:3] == ["CONTEXT", "SLOTS", "LOAD"]
    assert first.split() == ["2048", "2", "~", "0.50", "s", "0.25", "s", "-", "1,234", "56", "-", "90.0", "MiB"]
    assert second.split() == ["4096", "1", "-", "-", "-", "-", "-", "-", "-"]
    assert others == ["4096 tokens, 1 at a time: It does not fit.", "On this machine, by llama.cpp."]
    both = ModelProfile(figures=[FIGURES, Figures(model="llama/other")])
    assert next(figures_table(both)).split()[0] == "MODEL"


def test_a_proposal_names_the_keys_and_its_reasons() -> None:
    assert list(proposal_text(FOUND)) == [
        "Proposed for tiny: [actors.llama] context = 2048, slots = 2",
        "- It answers two at once.",
    ]
    assert list(proposal_text(ModelProfile())) == []


def test_numbers_stand_between_commas() -> None:
    assert numbers("1_024, 2048,") == [1024, 2048]
    with pytest.raises(ValueError, match="invalid literal"):
        numbers("many")


class Models:
    """Answers with a job, a word, and what was found."""

    def __init__(self) -> None:
        self.asked = ProfileModelRequest()

    async def profile_model(self, request: ProfileModelRequest) -> AsyncIterator[ProfileModelResponse]:
        self.asked = request
        yield ProfileModelResponse(job_id="7")
        if not request.detached:
            yield ProfileModelResponse(progress=Progress(state=Progress.STATE_LOADING, note="Measuring."))
            yield ProfileModelResponse(profile=FOUND)


@pytest.mark.parametrize(
    ("detach", "as_json", "out", "err"),
    [
        (False, False, "Proposed for tiny", "tiny: job 7, which goes on if you leave"),
        (True, False, "7", ""),
        (False, True, '"jobId": "7"', ""),
    ],
)
async def test_a_profile_is_told_as_it_comes(
    detach: bool, as_json: bool, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    models: Any = Models()
    args = argparse.Namespace(
        name="tiny", contexts=[2048], slots=[2], quantizations=["tiny-q4"], detach=detach, json=as_json
    )
    await profile(SimpleNamespace(models=models), args)  # type: ignore[arg-type]  # all that it needs of a hub
    said = capsys.readouterr()
    assert out in said.out and err in said.err
    assert (models.asked.name, list(models.asked.contexts), list(models.asked.slots)) == ("tiny", [2048], [2])


def test_a_model_tells_its_figures_and_its_health_in_a_few_words() -> None:
    ready = ModelState.MODEL_STATE_READY
    assert figures_of(Model()) == "" and health_of(Model()) == ""
    told = figures_of(Model(figures=FIGURES))
    assert told == "first token in 0.25 s, 56 tokens/s, 90.0 MiB, with 2,048 tokens of context and 2 at a time"
    assert health_of(Model(state=ready)) == "not checked yet"
    well = Health(state=HealthState.HEALTH_STATE_HEALTHY, latency=seconds(0.5))
    assert health_of(Model(state=ready, health=well)).endswith("answered in 0.50 s")
    ill = Model(state=ready, health=Health(state=HealthState.HEALTH_STATE_FAILING, error="It says nothing."))
    assert health_of(ill).endswith("It says nothing.") and state_of(ill) == "ready, failing"
    assert state_of(Model(state=ModelState.MODEL_STATE_LOADING, error="It hung.")) == "restarting"
