"""Tells people about their jobs, and keeps all jobs in order."""

import asyncio
from collections.abc import AsyncIterator

from bus import Context, invalid
from host.jobs import Housekeeper, Jobs, rules
from host.liveness import Presence
from store import ended
from troupe.job.v1 import (
    CancelJobRequest,
    CancelJobResponse,
    GetJobRequest,
    GetJobResponse,
    Job,
    JobRecord,
    JobService,
    ListJobsRequest,
    ListJobsResponse,
    PauseJobRequest,
    PauseJobResponse,
    ResumeJobRequest,
    ResumeJobResponse,
    WatchJobRequest,
    WatchJobResponse,
)

USUAL_LIMIT, MAX_LIMIT = 100, 1000
"""Jobs in one answer."""


class JobsActor(JobService):
    """Answers also while no worker runs; it tells what the table says, and to each principal their own."""

    def __init__(self, jobs: Jobs, presence: Presence) -> None:
        self._jobs = jobs
        self._keeper = Housekeeper(jobs, presence)
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to keep the jobs in order."""
        self._keeping = asyncio.create_task(self._keeper.run(), name="jobs in order")

    async def stop(self) -> None:
        """Keep them no longer."""
        if self._keeping is not None:
            await ended(self._keeping)

    async def list_jobs(self, request: ListJobsRequest, ctx: Context) -> ListJobsResponse:
        """See the contract."""
        if request.limit > MAX_LIMIT:
            raise invalid(f"limit is {request.limit:,}; it is 1 to {MAX_LIMIT:,}.", "limit")
        jobs = [record.job for record in await self._jobs.owned(ctx.principal) if _wanted(record, request)]
        return ListJobsResponse(jobs=[_since(job, None) for job in jobs[: request.limit or USUAL_LIMIT]])

    async def get_job(self, request: GetJobRequest, ctx: Context) -> GetJobResponse:
        """See the contract."""
        return GetJobResponse(job=(await self._jobs.find(request.id, ctx.principal)).job)

    async def watch_job(self, request: WatchJobRequest, ctx: Context) -> AsyncIterator[WatchJobResponse]:
        """See the contract."""
        after = request.after
        async for record in self._jobs.follow(request.id, ctx.principal):
            yield WatchJobResponse(job=_since(record.job, after))
            after = max(after, record.last_event)

    async def pause_job(self, request: PauseJobRequest, ctx: Context) -> PauseJobResponse:
        """See the contract."""
        return PauseJobResponse(job=(await self._jobs.ask(request.id, ctx.principal, rules.PAUSE)).job)

    async def resume_job(self, request: ResumeJobRequest, ctx: Context) -> ResumeJobResponse:
        """See the contract."""
        return ResumeJobResponse(job=(await self._jobs.resume(request.id, ctx.principal)).job)

    async def cancel_job(self, request: CancelJobRequest, ctx: Context) -> CancelJobResponse:
        """See the contract."""
        return CancelJobResponse(job=(await self._jobs.ask(request.id, ctx.principal, rules.CANCEL)).job)


def _wanted(record: JobRecord, request: ListJobsRequest) -> bool:
    live = record.job.state not in rules.ENDED
    return (not request.kind or record.job.kind == request.kind) and (live or not request.live)


def _since(job: Job, after: int | None) -> Job:
    """A job with the events after a sequence; None: without any."""
    shown = Job()
    shown.CopyFrom(job)
    del shown.events[:]
    if after is not None:
        shown.events.extend(event for event in job.events if event.sequence > after)
    return shown
