"""A job as the call that submitted it tells of it: its progress, and then its result or its error."""

from collections.abc import AsyncIterator
from typing import TypeVar

from google.protobuf.message import Message

from bus import Code, RpcError
from host.jobs import rules
from host.jobs.ledger import Jobs
from troupe.rpc.v1 import Progress

M = TypeVar("M", bound=Message)


async def outcome(jobs: Jobs, job_id: str, principal: str, kind: type[M]) -> AsyncIterator[Progress | M]:
    """A principal's job: each progress that is new, at last the result, which is of this kind. Changes may be joined.

    Raises the job's error, CANCELLED (JOB_CANCELLED) where its owner has ended it, and as `Jobs.follow`. Whoever leaves
    leaves the job as it is.
    """
    told = None
    async for record in jobs.follow(job_id, principal):
        job = record.job
        if job.state == rules.SUCCEEDED:
            result = kind()
            job.result.Unpack(result)
            yield result
        elif job.state == rules.FAILED:
            raise RpcError.from_status(job.error)
        elif job.state == rules.CANCELLED:
            raise RpcError(Code.CANCELLED, f"The job {job_id} was cancelled.", reason="JOB_CANCELLED")
        elif job.HasField("progress") and job.progress != told:
            told = job.progress
            yield told
