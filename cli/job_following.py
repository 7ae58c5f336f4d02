"""Following a job over the end of whoever tells of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import Message

if TYPE_CHECKING:
    from troupe.job.v1 import Job
    from troupe.rpc.v1 import Progress
    from troupe_client import Hub

TRIES = 30
"""Calls about a job that may break one after the other without a word of it, until the last one's error is told."""
AGAIN_SECONDS = 1.0
"""Between two of them, where the error does not say."""

M = TypeVar("M", bound=Message)


async def outcome(hub: "Hub", job_id: str, kind: type[M]) -> AsyncIterator["Progress | M"]:
    """A job's progress where it is new, and what came of it, which is of this kind.

    Raises RpcError: the job's own error, CANCELLED (JOB_CANCELLED), and as `watched`.
    """
    last = None
    async for job in watched(hub, job_id):
        if job.HasField("progress") and job.progress != last and not job.HasField("ended_at"):
            last = job.progress
            yield last
        if job.HasField("ended_at"):
            yield _result(job, kind)


async def watched(hub: "Hub", job_id: str) -> AsyncIterator["Job"]:
    """The job as it is, then after each change, until it has ended; each event once. Raises RpcError."""
    from bus import Code, RpcError
    from troupe.job.v1 import WatchJobRequest

    tries, after, ended = 0, 0, False
    while not ended:
        try:
            async for response in hub.jobs.watch_job(WatchJobRequest(id=job_id, after=after)):
                if response.HasField("job"):
                    tries, ended = 0, response.job.HasField("ended_at")
                    after = max([after, *(event.sequence for event in response.job.events)])
                    yield response.job
        except RpcError as error:
            tries += 1
            if error.code is not Code.UNAVAILABLE or tries >= TRIES:
                raise
            await asyncio.sleep(error.retry_after or AGAIN_SECONDS)


def _result(job: "Job", kind: type[M]) -> M:
    """What has come. Raises RpcError where nothing has."""
    from bus import Code, RpcError
    from troupe.job.v1 import JobState

    if job.state == JobState.JOB_STATE_CANCELLED:
        raise RpcError(Code.CANCELLED, f"The job {job.id} was cancelled.", reason="JOB_CANCELLED")
    if job.state != JobState.JOB_STATE_SUCCEEDED:
        raise RpcError.from_status(job.error)
    found = kind()
    job.result.Unpack(found)
    return found
