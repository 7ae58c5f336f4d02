"""Jobs as text."""

from typing import TYPE_CHECKING

from cli.model_text import progress_text
from cli.plain_text import columns, span_text, time_text

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from troupe.job.v1 import Job, JobEvent

SHORT = 8
"""Digits of an id that lists show; the beginning names a job as long as no other begins so."""


def head() -> tuple[str, ...]:
    """Above the list."""
    return ("JOB", "STATE", "DONE", "PRIORITY", "AGE", "OWNER", "WHAT")


def row(job: "Job", now: float) -> tuple[str, ...]:
    """One line of the list."""
    return (
        job.id[:SHORT],
        state_of(job),
        share_of(job),
        priority_of(job),
        span_text(now - _seconds(job.created_at)),
        job.owner or "hub",
        job.title or job.kind,
    )


def state_of(job: "Job") -> str:
    """A job's state as one word; what it was asked and has not done yet is said instead."""
    from troupe.job.v1 import JobAsk, JobState

    if job.asked:
        return "pausing" if job.asked == JobAsk.JOB_ASK_PAUSE else "cancelling"
    return JobState.Name(job.state).removeprefix("JOB_STATE_").lower()


def share_of(job: "Job") -> str:
    """How much of it is done; empty where that is not known."""
    from troupe.job.v1 import JobState

    if job.state == JobState.JOB_STATE_SUCCEEDED:
        return "100%"
    return f"{job.progress.fraction:.0%}" if job.HasField("progress") and job.progress.HasField("fraction") else ""


def priority_of(job: "Job") -> str:
    """In a word."""
    from troupe.rpc.v1 import Priority

    return Priority.Name(job.priority).removeprefix("PRIORITY_").lower()


def details(job: "Job", now: float) -> list[str]:
    """All that is known of a job, then what has happened to it."""
    from bus import RpcError

    error = RpcError.from_status(job.error) if job.HasField("error") else None
    pairs = [
        ("job", job.id),
        ("what", job.title),
        ("kind", job.kind),
        ("state", state_of(job)),
        ("progress", progress_text(job.progress) if job.HasField("progress") else ""),
        ("owner", job.owner or "the hub itself"),
        ("priority", priority_of(job)),
        ("age", span_text(now - _seconds(job.created_at))),
        ("submitted", _time(job.created_at) if job.HasField("created_at") else ""),
        ("begun", _time(job.started_at) if job.HasField("started_at") else ""),
        ("ended", _time(job.ended_at) if job.HasField("ended_at") else ""),
        ("expires", _time(job.expires_at) if job.HasField("expires_at") else ""),
        ("failed", f"{job.failed_attempts} attempts" if job.failed_attempts else ""),
        ("gave way", f"{job.interruptions} times" if job.interruptions else ""),
        ("error", f"{error.message} ({error.reason})" if error is not None else ""),
        ("result", _result(job)),
    ]
    lines = columns([(name, value) for name, value in pairs if value])
    return [*lines, *([""] if job.events else []), *map(event_line, job.events)]


def event_line(event: "JobEvent") -> str:
    """What has happened, with when and how far it was."""
    share = f"{event.fraction:.0%} " if event.HasField("fraction") else ""
    return f"{_time(event.at)}  {share}{event.note}"


def _result(job: "Job") -> str:
    """The result as JSON, where its type is one of the contract's that is known here."""
    from google.protobuf import json_format

    if not job.HasField("result"):
        return ""
    try:
        return json_format.MessageToJson(_unpacked(job), indent=None, ensure_ascii=False)
    except (TypeError, KeyError):
        return job.result.TypeName()


def _unpacked(job: "Job") -> "Message":
    """Raises KeyError for a type that is not known here."""
    from google.protobuf import descriptor_pool, message_factory

    from cli import contract

    contract.methods()  # so that the contract's types are known
    kind = descriptor_pool.Default().FindMessageTypeByName(job.result.TypeName())
    found = message_factory.GetMessageClass(kind)()
    job.result.Unpack(found)
    return found


def _seconds(value: "Timestamp") -> float:
    return value.ToNanoseconds() / 1e9


def _time(value: "Timestamp") -> str:
    return time_text(_seconds(value))
