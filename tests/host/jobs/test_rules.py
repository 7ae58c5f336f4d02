"""What may happen to a job, in any order."""

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bus import Behalf, Code, Priority, RpcError
from host.jobs import rules
from host.jobs.rules import Hold, LostHold
from troupe.job.v1 import JobAsk, JobRecord, JobState
from troupe.rpc.v1 import Location, Progress

JOB = "0" * 32
PASSES = RpcError(Code.UNAVAILABLE, "It is away.", reason="AWAY")
STAYS = RpcError(Code.INVALID_ARGUMENT, "It is wrong.", reason="WRONG")


def new(**given: object) -> JobRecord:
    return rules.made(JOB, "test.count", "test", Location(process="x"), 100.0, **given)  # type: ignore[arg-type]  # some


def running(record: JobRecord | None = None, now: float = 101.0) -> tuple[JobRecord, Hold]:
    claimed = rules.claimed(record or new(), "one", now)
    return claimed, rules.hold(claimed)


def test_a_new_job_waits_and_its_request_comes_out_as_it_went_in() -> None:
    record = new(title="Count", priority=Priority.TRAINING, behalf=Behalf("alice").metadata(), expires_at=500.0)
    job, request = record.job, Location()
    assert job.request.Unpack(request)
    assert (job.state, request.process, job.title, rules.owner(record)) == (rules.QUEUED, "x", "Count", "alice")
    assert (rules.due(record, 100.0), rules.seconds(job.expires_at), record.generation) == (True, 500.0, 1)


def test_of_jobs_that_wait_the_most_urgent_goes_first_then_whose_owner_has_less_then_the_oldest() -> None:
    def job(name: str, owner: str, priority: Priority, created: float) -> JobRecord:
        behalf = Behalf(owner).metadata()
        return rules.made(name, "k", "l", Location(), created, priority=priority, behalf=behalf)

    jobs = [
        job("old", "alice", Priority.BATCH, 1.0),
        job("young", "alice", Priority.BATCH, 2.0),
        job("other", "bob", Priority.BATCH, 3.0),
        job("urgent", "alice", Priority.INTERACTIVE, 4.0),
    ]
    order = [record.job.id for record in sorted(jobs, key=lambda record: rules.order(record, {"alice": 1}))]
    assert order == ["urgent", "other", "old", "young"]


def test_a_job_that_failed_for_a_while_waits_longer_each_time_and_then_ends() -> None:
    record, now, delays = new(attempts=3), 100.0, []
    while record.job.state == rules.QUEUED:
        record, hold = running(record, now)
        record = rules.failed(record, hold, PASSES, now)
        if record.job.state == rules.QUEUED:
            assert not rules.due(record, now)
            delays.append(rules.seconds(record.not_before) - now)
            now += delays[-1]
    assert (record.job.state, delays, record.job.failed_attempts) == (rules.FAILED, [5.0, 10.0], 3)
    assert RpcError.from_status(record.job.error).reason == "AWAY"


def test_an_error_that_says_when_to_come_again_is_obeyed_and_one_that_stays_is_the_end() -> None:
    record, hold = running()
    busy = RpcError(Code.RESOURCE_EXHAUSTED, "Full.", retry_after=60.0)
    assert rules.seconds(rules.failed(record, hold, busy, 200.0).not_before) == 260.0
    assert rules.failed(record, hold, STAYS, 200.0).job.state == rules.FAILED


def test_a_job_that_is_tried_again_tells_which_attempt_failed_why_and_when_the_next_is() -> None:
    record, hold = running(new(attempts=3))
    told = rules.failed(record, hold, PASSES, 200.0).job
    assert told.progress.state == Progress.STATE_QUEUED
    assert told.progress.note == ("Attempt 1 of 3 has failed: It is away. The next is made at 00:03:25 UTC, in 5 s.")
    assert (told.progress.eta.seconds, told.events[-1].note) == (5, told.progress.note)
    endless = RpcError(Code.UNAVAILABLE, "x" * 1000)
    note = rules.failed(record, hold, endless, 200.0).job.progress.note
    assert (len(note), note.endswith("in 5 s.")) == (rules.NOTE, True)
    assert rules.orphaned(record, 200.0).job.progress.note.endswith("has ended. The next is made at once.")


def test_a_job_that_has_ended_waits_for_nothing_and_one_that_is_done_is_whole() -> None:
    record, hold = running()
    progress = Progress(fraction=0.9)
    progress.eta.seconds = 9
    record = rules.told(record, hold, progress, 102.0)
    done = rules.succeeded(record, hold, Location(), 103.0).job
    assert (done.progress.fraction, done.events[-1].fraction, done.progress.HasField("eta")) == (1.0, 1.0, False)
    assert not rules.failed(record, hold, STAYS, 103.0).job.progress.HasField("eta")


def test_who_kills_its_worker_every_time_ends_and_who_is_preempted_does_not() -> None:
    record = new(attempts=2)
    for _ in range(2):
        record = rules.orphaned(running(record)[0], 102.0)
    assert (record.job.state, RpcError.from_status(record.job.error).reason) == (rules.FAILED, "WORKER_LOST")
    record = new(attempts=2)
    for _ in range(20):
        claimed, hold = running(record)
        record = rules.given_back(claimed, hold, "For a voice.", 102.0)
    assert (record.job.state, record.job.failed_attempts, record.job.interruptions) == (rules.QUEUED, 0, 20)


def test_progress_is_kept_and_replayed_by_events_of_which_the_last_stay() -> None:
    record, hold = running()
    for number in range(200):
        record = rules.told(record, hold, Progress(fraction=number / 200, note="x" * 400), 102.0)
    assert len(record.job.events) < 25
    for number in range(200):
        record = rules.told(record, hold, Progress(note=f"step {number}"), 103.0)
    events = record.job.events
    assert (len(events), events[-1].note, events[-1].sequence) == (rules.EVENTS, "step 199", record.last_event)
    assert [event.sequence for event in events] == list(range(events[0].sequence, events[0].sequence + rules.EVENTS))
    assert record.job.progress.note == "step 199"


def test_an_ask_to_pause_can_be_taken_back_and_one_to_end_cannot() -> None:
    record, hold = running()
    back = rules.resumed(rules.asked(record, rules.PAUSE, 102.0), 103.0)
    assert rules.given_back(back, hold, "It stopped.", 104.0).job.state == rules.QUEUED
    with pytest.raises(RpcError) as caught:
        rules.resumed(rules.asked(record, rules.CANCEL, 102.0), 103.0)
    assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "JOB_ENDED")


def test_what_is_kept_is_there_for_the_next_attempt_and_gone_at_the_end() -> None:
    record, hold = running()
    record = rules.orphaned(rules.kept(record, hold, Location(process="step 7"), 102.0), 103.0)
    record, hold = running(record)
    kept = Location()
    assert record.kept.Unpack(kept)
    assert kept.process == "step 7"
    assert not rules.succeeded(record, hold, Location(), 104.0).HasField("kept")


def test_what_is_too_large_is_refused() -> None:
    record, hold = running()
    large = Location(process="x" * 70_000)
    refusals: list[Callable[[], JobRecord]] = [
        lambda: rules.made(JOB, "k", "l", large, 1.0),
        lambda: rules.kept(record, hold, large, 1.0),
        lambda: rules.succeeded(record, hold, large, 1.0),
    ]
    for refused in refusals:
        with pytest.raises(RpcError) as caught:
            refused()
        assert caught.value.reason == "MESSAGE_TOO_LARGE"


class Life(RuleBasedStateMachine):
    """One job, two workers that may still speak after they lost it, an owner, a housekeeper, and the time."""

    @initialize(expires=st.none() | st.floats(1.0, 300.0), attempts=st.integers(1, 4))
    def begin(self, expires: float | None, attempts: int) -> None:
        self.now = 1000.0
        self.record = rules.made(
            JOB, "k", "l", Location(), self.now, attempts=attempts, expires_at=expires and self.now + expires
        )
        self.holds: list[Hold] = []
        self.before = self.record
        self.preempted = 0

    def become(self, record: JobRecord) -> None:
        self.before, self.record = self.record, record

    @rule(seconds=st.floats(0.0, 100.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(process=st.sampled_from(["one", "two"]))
    def a_worker_looks(self, process: str) -> None:
        if rules.due(self.record, self.now):
            self.become(rules.claimed(self.record, process, self.now))
            assert rules.hold(self.record) not in self.holds
            self.holds.append(rules.hold(self.record))
        elif self.record.job.state != rules.QUEUED:
            with pytest.raises(LostHold):
                rules.claimed(self.record, process, self.now)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), what=st.sampled_from(["tell", "keep", "done", "passes", "stays", "gives way"]))
    def a_worker_speaks(self, data: st.DataObject, what: str) -> None:
        hold = data.draw(st.sampled_from(self.holds))
        holds = self.record.job.state == rules.RUNNING and hold == self.holds[-1]
        words: dict[str, Callable[[], JobRecord]] = {
            "tell": lambda: rules.told(self.record, hold, Progress(note="on"), self.now),
            "keep": lambda: rules.kept(self.record, hold, Location(), self.now),
            "done": lambda: rules.succeeded(self.record, hold, Location(), self.now),
            "passes": lambda: rules.failed(self.record, hold, PASSES, self.now),
            "stays": lambda: rules.failed(self.record, hold, STAYS, self.now),
            "gives way": lambda: rules.given_back(self.record, hold, "For another.", self.now),
        }
        says = words[what]
        if not holds:
            with pytest.raises(LostHold):
                says()
            return
        self.become(says())
        if what == "gives way":
            assert self.record.job.failed_attempts == self.before.job.failed_attempts
        if what in ("tell", "keep"):
            assert rules.hold(self.record) == hold
        else:
            assert self.record.job.state != rules.RUNNING
        if what == "done":
            assert self.record.job.state == rules.SUCCEEDED

    @rule()
    def its_worker_dies(self) -> None:
        if self.record.job.state == rules.RUNNING:
            self.become(rules.orphaned(self.record, self.now))
            assert self.record.job.failed_attempts == self.before.job.failed_attempts + 1
        elif self.record.job.state not in rules.ENDED:
            with pytest.raises(LostHold):
                rules.orphaned(self.record, self.now)

    @rule(ask=st.sampled_from([rules.PAUSE, rules.CANCEL]))
    def its_owner_asks(self, ask: JobAsk) -> None:
        if self.record.job.state in rules.ENDED and ask == rules.PAUSE:
            with pytest.raises(RpcError, match="submit a new one"):
                rules.asked(self.record, ask, self.now)
            return
        self.become(rules.asked(self.record, ask, self.now))
        job = self.record.job
        assert job.state in rules.ENDED or job.state == rules.PAUSED or job.asked in (ask, rules.CANCEL)

    @rule()
    def its_owner_resumes(self) -> None:
        if self.record.job.state in rules.ENDED or self.record.job.asked == rules.CANCEL:
            with pytest.raises(RpcError, match="submit a new one"):
                rules.resumed(self.record, self.now)
            return
        self.become(rules.resumed(self.record, self.now))
        assert self.record.job.state in (rules.QUEUED, rules.RUNNING)

    @rule()
    def the_hub_looks_at_the_time(self) -> None:
        self.become(rules.expired(self.record, self.now))
        job = self.record.job
        over = job.HasField("expires_at") and rules.seconds(job.expires_at) <= self.now
        assert job.state in rules.ENDED or not over

    @invariant()
    def an_end_is_an_end(self) -> None:
        if self.before.job.state in rules.ENDED:
            assert self.record == self.before

    @invariant()
    def exactly_a_running_job_has_a_holder(self) -> None:
        job = self.record.job
        assert bool(self.record.holder) == (job.state == rules.RUNNING)
        assert job.HasField("ended_at") == (job.state in rules.ENDED)
        assert not job.asked or job.state == rules.RUNNING
        assert job.HasField("result") == (job.state == rules.SUCCEEDED)

    @invariant()
    def each_time_in_the_queue_is_another(self) -> None:
        queued = self.record.job.state == rules.QUEUED and self.before.job.state != rules.QUEUED
        assert self.record.generation == self.before.generation + queued

    @invariant()
    def attempts_are_bounded_and_events_go_on(self) -> None:
        assert self.record.job.failed_attempts <= self.record.attempts or self.record.job.state in rules.ENDED | {
            rules.PAUSED
        }
        numbers = [event.sequence for event in self.record.job.events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert numbers[-1] == self.record.last_event >= self.before.last_event
        assert self.record.job.events[-1].state == self.record.job.state


TestLife = Life.TestCase


@pytest.mark.parametrize("state", sorted(rules.ENDED))
def test_what_has_ended_says_how(state: "JobState") -> None:
    record = new()
    record.job.state = state
    assert JobState.Name(state).removeprefix("JOB_STATE_").lower() in rules.ended(record.job).message
