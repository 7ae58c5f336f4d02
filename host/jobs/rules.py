"""What may happen to a job: a record and the time go in, the next record comes out.

Nothing here waits or stores. Each function returns a new record, or raises; the numbers stand at the branches.

1. A new job waits. It is a worker's by `claimed` and by nothing else: who has the record's revision has the job.
2. While it runs only its holder may say anything of it; anybody else's word raises LostHold.
3. What has ended never changes again.
4. A failure that may pass (UNAVAILABLE, or one that says when to try again) is tried again, later each time, until the
   attempts are used up. Any other failure is the end.
5. A worker that gives a job back in order, because it is preempted or its process leaves, uses up no attempt.
6. A worker that is gone uses up one: what kills its worker every time must end.
7. A running job is asked to pause or to end and its worker obeys; whatever way the worker leaves it, the ask is done.
8. Who resumes takes an ask to pause back; an ask to end stays.
9. A job that is not over by its time fails, whoever holds it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from bus import Code, Priority, RpcError
from bus.behalf import PRINCIPAL
from bus.context import duration
from troupe.job.v1 import Job, JobAsk, JobRecord, JobState
from troupe.rpc.v1 import Progress

EVENTS = 64
"""Events that a record keeps."""
NOTE = 300
"""Characters of one event's note."""
MAX_TITLE = 200
MAX_REQUEST_BYTES = 32 * 1024
MAX_RESULT_BYTES = 64 * 1024
ATTEMPTS = 5
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 5.0, 300.0
"""Before the second attempt and before any later one, each twice the one before."""
STEP = 0.05
"""A progress that has come so much further is an event; less is told by the record alone."""

QUEUED, RUNNING, PAUSED = JobState.JOB_STATE_QUEUED, JobState.JOB_STATE_RUNNING, JobState.JOB_STATE_PAUSED
SUCCEEDED, FAILED = JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_FAILED
CANCELLED = JobState.JOB_STATE_CANCELLED
NOTHING, PAUSE, CANCEL = JobAsk.JOB_ASK_UNSPECIFIED, JobAsk.JOB_ASK_PAUSE, JobAsk.JOB_ASK_CANCEL
ENDED = frozenset({SUCCEEDED, FAILED, CANCELLED})


class Hold(NamedTuple):
    """Which worker has a job: its process, and which time the job was in its queue. No two holds are alike."""

    process: str
    generation: int


class LostHold(Exception):
    """The job is not this worker's any more: it was taken for gone, or the job's time was over."""


def made(
    job_id: str,
    kind: str,
    lane: str,
    request: Message,
    now: float,
    *,
    title: str = "",
    priority: Priority = Priority.BATCH,
    behalf: Mapping[str, str] | None = None,
    attempts: int = ATTEMPTS,
    expires_at: float | None = None,
) -> JobRecord:
    """A job that waits for its first worker (1). Times are seconds of the epoch."""
    if request.ByteSize() > MAX_REQUEST_BYTES:
        raise too_large("request", request.ByteSize(), MAX_REQUEST_BYTES)
    urgency = f"PRIORITY_{priority.name}"
    job = Job(id=job_id, kind=kind, title=title[:MAX_TITLE], priority=urgency, created_at=stamp(now))
    job.owner = (behalf or {}).get(PRINCIPAL, "")
    job.request.Pack(request)
    if expires_at is not None:
        job.expires_at.CopyFrom(stamp(expires_at))
    record = JobRecord(job=job, lane=lane, behalf=behalf or {}, attempts=attempts)
    _queue(record, now, "It waits.")
    return record


def due(record: JobRecord, now: float) -> bool:
    """Whether a worker may take it now."""
    waits = record.job.state == QUEUED
    return waits and (not record.HasField("not_before") or seconds(record.not_before) <= now)


def owner(record: JobRecord) -> str:
    """The principal whose job it is; empty: the hub's own."""
    return record.behalf.get(PRINCIPAL, "")


def hold(record: JobRecord) -> Hold:
    """Who has it."""
    return Hold(record.holder, record.generation)


def order(record: JobRecord, running: Mapping[str, int]) -> tuple[int, int, float]:
    """Of jobs that wait the smallest goes first: most urgent, then whose owner has fewest `running`, then oldest."""
    return record.job.priority, running.get(owner(record), 0), seconds(record.job.created_at)


def claimed(before: JobRecord, process: str, now: float) -> JobRecord:
    """A worker takes it (1). Raises LostHold if it does not wait."""
    if before.job.state != QUEUED:
        raise LostHold
    record = _next(before, now)
    record.holder = process
    record.job.state = RUNNING
    record.job.ClearField("progress")
    if not record.job.HasField("started_at"):
        record.job.started_at.CopyFrom(stamp(now))
    _event(record, now, "A worker has begun.")
    return record


def told(before: JobRecord, held: Hold, progress: Progress | None, now: float) -> JobRecord:
    """Its worker is still at it, and tells how far, if it has news. Raises LostHold (2)."""
    record = _held(before, held, now)
    if progress is None:
        return record
    last = record.job.events[-1]
    further = progress.HasField("fraction") and progress.fraction - last.fraction >= STEP
    said = bool(progress.note) and progress.note[:NOTE] != before.job.progress.note[:NOTE]
    record.job.progress.CopyFrom(progress)
    record.job.progress.note = progress.note[:NOTE]
    if further or said:
        _event(record, now, progress.note, progress.fraction if progress.HasField("fraction") else None)
    return record


def kept(before: JobRecord, held: Hold, value: Message, now: float) -> JobRecord:
    """Its worker keeps something for the next attempt. Raises LostHold (2)."""
    if value.ByteSize() > MAX_RESULT_BYTES:
        raise too_large("kept value", value.ByteSize(), MAX_RESULT_BYTES)
    record = _held(before, held, now)
    record.kept.Pack(value)
    return record


def succeeded(before: JobRecord, held: Hold, result: Message, now: float) -> JobRecord:
    """Its worker has done it. Raises LostHold (2)."""
    if result.ByteSize() > MAX_RESULT_BYTES:
        raise too_large("result", result.ByteSize(), MAX_RESULT_BYTES)
    record = _held(before, held, now)
    record.job.result.Pack(result)
    record.job.ClearField("error")
    record.job.progress.CopyFrom(Progress(state=Progress.STATE_RUNNING, fraction=1.0))
    _end(record, SUCCEEDED, now, "It is done.", 1.0)
    return record


def failed(before: JobRecord, held: Hold, error: RpcError, now: float) -> JobRecord:
    """Its worker could not do it (4). Raises LostHold (2)."""
    return _failed(_held(before, held, now), error, now, again=_may_pass(error))


def given_back(before: JobRecord, held: Hold, why: str, now: float) -> JobRecord:
    """Its worker leaves it in order, with nothing held against it (5). why: a sentence. Raises LostHold (2)."""
    record = _held(before, held, now)
    if not _ask_done(record, now):
        record.job.interruptions += 1
        _queue(record, now, why)
    return record


def orphaned(before: JobRecord, now: float) -> JobRecord:
    """Its worker is gone (6). Raises LostHold if nobody held it."""
    if before.job.state != RUNNING:
        raise LostHold
    gone = RpcError(Code.UNAVAILABLE, "The process that was at it has ended.", reason="WORKER_LOST")
    return _failed(_next(before, now), gone, now, again=True)


def asked(before: JobRecord, ask: "JobAsk", now: float) -> JobRecord:
    """Its owner wants it to pause or to end (7). Raises FAILED_PRECONDITION (JOB_ENDED) to pause what has ended."""
    job = before.job
    if job.state in ENDED:
        if ask == CANCEL:
            return before
        raise ended(job)
    if (job.state == PAUSED and ask == PAUSE) or job.asked in (ask, CANCEL):
        return before
    record = _next(before, now)
    record.job.asked = ask
    if job.state != RUNNING:
        _ask_done(record, now)
    return record


def resumed(before: JobRecord, now: float) -> JobRecord:
    """Its owner lets it go on (8). Raises FAILED_PRECONDITION (JOB_ENDED) for what has ended or was asked to."""
    job = before.job
    if job.state in ENDED or job.asked == CANCEL:
        raise ended(job)
    if job.state != PAUSED and job.asked != PAUSE:
        return before
    record = _next(before, now)
    record.job.asked = NOTHING
    if job.state == PAUSED:
        _queue(record, now, "It goes on.")
    return record


def expired(before: JobRecord, now: float) -> JobRecord:
    """Its time is over (9); what has ended, or has time, stays as it is."""
    job = before.job
    if job.state in ENDED or not job.HasField("expires_at") or seconds(job.expires_at) > now:
        return before
    record = _next(before, now)
    error = RpcError(Code.DEADLINE_EXCEEDED, "The job was not over by the time it was given.", reason="JOB_EXPIRED")
    record.job.error.CopyFrom(error.to_status())
    _end(record, FAILED, now, error.message)
    return record


def _next(before: JobRecord, now: float) -> JobRecord:
    assert before.job.state not in ENDED, "3"
    record = JobRecord()
    record.CopyFrom(before)
    record.job.updated_at.CopyFrom(stamp(now))
    return record


def _held(before: JobRecord, held: Hold, now: float) -> JobRecord:
    if before.job.state != RUNNING or hold(before) != held:  # 2
        raise LostHold
    return _next(before, now)


def _queue(record: JobRecord, now: float, note: str, delay: float = 0.0) -> None:
    record.job.state = QUEUED
    record.holder = ""
    record.generation += 1
    record.ClearField("not_before")
    if delay:
        record.not_before.CopyFrom(stamp(now + delay))
    _event(record, now, note)


def _end(record: JobRecord, state: "JobState", now: float, note: str, fraction: float | None = None) -> None:
    record.job.state = state
    if record.job.HasField("progress"):
        record.job.progress.ClearField("eta")
    record.job.asked = NOTHING
    record.holder = ""
    record.ClearField("kept")
    record.ClearField("not_before")
    record.job.ended_at.CopyFrom(stamp(now))
    _event(record, now, note, fraction)


def _failed(record: JobRecord, error: RpcError, now: float, *, again: bool) -> JobRecord:
    record.job.failed_attempts += 1
    record.job.error.CopyFrom(error.to_status())
    if _ask_done(record, now):
        return record
    tried = record.job.failed_attempts
    if again and tried < record.attempts:  # 4
        delay = min(FIRST_DELAY_SECONDS * 2 ** (tried - 1), LONGEST_DELAY_SECONDS)
        if error.reason == "WORKER_LOST":
            delay = 0.0
        delay = max(delay, error.retry_after or 0.0)
        note = _again(record, error, now, delay)
        record.job.progress.CopyFrom(Progress(state=Progress.STATE_QUEUED, eta=duration(delay), note=note))
        _queue(record, now, note, delay)
    else:
        _end(record, FAILED, now, error.message)
    return record


def _again(record: JobRecord, error: RpcError, now: float, delay: float) -> str:
    """That an attempt has failed, why, and when the next one is made, within NOTE characters."""
    at = datetime.fromtimestamp(now + delay, UTC)
    when = f"at {at:%H:%M:%S} UTC, in {delay:.0f} s" if delay else "at once"
    first = f"Attempt {record.job.failed_attempts} of {record.attempts} has failed: "
    last = f" The next is made {when}."
    return first + error.message[: NOTE - len(first) - len(last)] + last


def _ask_done(record: JobRecord, now: float) -> bool:
    """Do what it was asked, if anything (7)."""
    if record.job.asked == CANCEL:
        _end(record, CANCELLED, now, "It was cancelled.")
    elif record.job.asked == PAUSE:
        record.job.asked = NOTHING
        record.job.state = PAUSED
        record.holder = ""
        _event(record, now, "It is paused.")
    else:
        return False
    return True


def _may_pass(error: RpcError) -> bool:
    return error.code is Code.UNAVAILABLE or error.retry_after is not None


def _event(record: JobRecord, now: float, note: str, fraction: float | None = None) -> None:
    record.last_event += 1
    event = record.job.events.add(sequence=record.last_event, state=record.job.state, note=note[:NOTE])
    event.at.CopyFrom(stamp(now))
    if fraction is not None:
        event.fraction = fraction
    del record.job.events[:-EVENTS]


def ended(job: Job) -> RpcError:
    """It can do nothing of the kind any more."""
    how = "is being cancelled" if job.asked == CANCEL else f"has ended ({word(job.state)})"
    return RpcError(Code.FAILED_PRECONDITION, f"The job {job.id} {how}; submit a new one.", reason="JOB_ENDED")


def word(state: "JobState") -> str:
    """A state as people read it, for example "succeeded"."""
    return JobState.Name(state).removeprefix("JOB_STATE_").lower()


def too_large(what: str, size: int, limit: int) -> RpcError:
    """It does not fit a record."""
    message = f"A job's {what} is at most {limit:,} bytes, this one has {size:,}; put it into a blob and name that."
    metadata = {"size": str(size), "limit": str(limit)}
    return RpcError(Code.RESOURCE_EXHAUSTED, message, reason="MESSAGE_TOO_LARGE", metadata=metadata)


def seconds(value: Timestamp) -> float:
    """Of the epoch."""
    return value.ToNanoseconds() / 1e9


def stamp(value: float) -> Timestamp:
    """As the contract has it."""
    given = Timestamp()
    given.FromNanoseconds(int(value * 1e9))
    return given
