"""`troupe jobs`, as a program that talks to a hub, and its texts."""

import json

from cli.job_text import details, row, share_of, state_of
from troupe.job.v1 import Job, JobAsk, JobState
from troupe.model.v1 import QuantizedModel
from troupe.rpc.v1 import Priority, Progress

from .conftest import Run

FIRST, SECOND = "5f1c0a44d1b14a0f9d5b0a4b8b1f7c21", "5f2c0a44d1b14a0f9d5b0a4b8b1f7c21"


async def test_the_list_has_a_line_per_job_with_state_progress_priority_age_and_owner(troupe: Run, door: str) -> None:
    ended = await troupe("jobs", "--target", door)
    head, first, second = ended.out.splitlines()
    assert head.split() == ["JOB", "STATE", "DONE", "PRIORITY", "AGE", "OWNER", "WHAT"]
    assert first.split() == ["5f1c0a44", "running", "25%", "batch", "1", "h", "ada", "Pull", "more"]
    assert second.split() == ["5f2c0a44", "succeeded", "100%", "training", "1", "h", "hub", "test.wait"]
    live = await troupe("jobs", "list", "--live", "--target", door)
    assert [line.split() for line in live.out.splitlines()[1:]] == [first.split()]
    kinds = await troupe("jobs", "--kind", "test.wait", "--target", door)
    assert [line.split() for line in kinds.out.splitlines()[1:]] == [second.split()]


async def test_one_is_shown_by_the_beginning_of_its_id(troupe: Run, door: str) -> None:
    ended = await troupe("jobs", "show", "5f1", "--target", door)
    assert ended.code == 0
    assert f"job        {FIRST}" in ended.out
    assert "priority   batch" in ended.out
    assert "A quarter is here." in ended.out.splitlines()[-1]
    for begun, why in (("5f", "2 of your jobs begin with '5f'"), ("aa", "None of your jobs begins with 'aa'")):
        ended = await troupe("jobs", "show", begun, "--target", door)
        assert (ended.code, why in ended.err) == (1, True)


async def test_one_is_paused_resumed_and_cancelled(troupe: Run, door: str) -> None:
    for action, said in (("pause", "pausing"), ("resume", "running"), ("cancel", "cancelling")):
        ended = await troupe("jobs", action, "5f1c", "--target", door)
        assert (ended.code, ended.out) == (0, f"5f1c0a44: {said}\n")
    ended = await troupe("jobs", "pause", SECOND, "--target", door)
    assert (ended.code, "has ended" in ended.err) == (1, True)


async def test_following_writes_each_event_once_and_ends_as_the_job_does(troupe: Run, door: str) -> None:
    ended = await troupe("jobs", "follow", FIRST, "--target", door)
    assert [line[21:] for line in ended.out.splitlines()] == ["25% A quarter is here.", "It could not be done."]
    assert ended.code == 1
    ended = await troupe("jobs", "follow", SECOND, "--json", "--target", door)
    assert (ended.code, json.loads(ended.out)["state"]) == (0, "JOB_STATE_SUCCEEDED")


async def test_an_action_needs_a_job(troupe: Run) -> None:
    for action in ("show", "follow", "pause", "resume", "cancel"):
        ended = await troupe("jobs", action)
        assert (ended.code, "required" in ended.err) == (2, True)


def test_what_a_job_was_asked_is_said_before_where_it_stands() -> None:
    job = Job(state=JobState.JOB_STATE_RUNNING)
    assert (state_of(job), share_of(job)) == ("running", "")
    job.asked = JobAsk.JOB_ASK_CANCEL
    assert state_of(job) == "cancelling"


def test_a_result_is_shown_as_the_contracts_message_and_an_error_with_its_reason() -> None:
    job = Job(id=FIRST, state=JobState.JOB_STATE_SUCCEEDED)
    job.result.Pack(QuantizedModel(name="small"))
    job.error.code = 8
    job.error.message = "Full."
    lines = details(job, 0.0)
    assert any(line.split(maxsplit=1) == ["result", '{"name": "small"}'] for line in lines)
    assert any(line.startswith("error") and "Full." in line for line in lines)
    job.result.type_url = "type.googleapis.com/troupe.gone.v1.Thing"
    assert any(line.split() == ["result", "troupe.gone.v1.Thing"] for line in details(job, 0.0))


def test_a_line_has_the_share_that_is_done() -> None:
    job = Job(id=FIRST, kind="k", priority=Priority.PRIORITY_VOICE, progress=Progress(fraction=0.5), owner="bob")
    assert row(job, 90.0)[2:4] == ("50%", "voice")
