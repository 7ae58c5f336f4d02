"""`troupe models pull`: brings a model, and follows its job over the end of whoever does it."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from cli.model_text import print_json, progress_text
from cli.plain_text import clean

if TYPE_CHECKING:
    from troupe.job.v1 import Job
    from troupe.rpc.v1 import Progress
    from troupe.weights.v1 import PulledModel, PullModelRequest, PullModelResponse
    from troupe_client import Hub

TRIES = 30
"""Calls about a job that may break one after the other without a word of it, until the last one's error is told."""
AGAIN_SECONDS = 1.0
"""Between two of them, where the error does not say."""


async def pull(hub: "Hub", args: argparse.Namespace) -> None:
    """Bring a model. Whoever interrupts this leaves the job as it is."""
    from troupe.weights.v1 import PullModelRequest

    request = PullModelRequest(source=args.source, name=args.name, detached=args.detach)
    async for response in told(hub, request):
        if args.json:
            print_json(response)
        elif response.HasField("progress"):
            print(clean(f"{args.source}: {progress_text(response.progress)}"), file=sys.stderr, flush=True)
        elif response.HasField("model"):
            model = response.model
            print(clean(f"{model.name}: pulled from {model.source}; licence {model.license or 'not said'}"))
        elif args.detach:
            print(response.job_id)
        else:
            print(f"{args.source}: job {response.job_id}, which goes on if you leave", file=sys.stderr, flush=True)


async def told(hub: "Hub", request: "PullModelRequest") -> AsyncIterator["PullModelResponse"]:
    """What the pull answers; from its job, if the call breaks off after that was submitted.

    Raises RpcError: what the hub refuses, the job's own error, CANCELLED (JOB_CANCELLED).
    """
    from bus import Code, RpcError

    job_id, last = "", None
    try:
        async for response in hub.weights.pull_model(request):
            job_id = job_id or response.job_id
            last = response.progress if response.HasField("progress") else last
            yield response
    except RpcError as error:
        # UNAVAILABLE may also be what the job came to; then its record says so, too.
        if not job_id or error.code is not Code.UNAVAILABLE:
            raise
        async for response in _of_job(hub, job_id, last):
            yield response


async def _of_job(hub: "Hub", job_id: str, last: "Progress | None") -> AsyncIterator["PullModelResponse"]:
    """As `told`, for a job that has been submitted. last: what was told of it already."""
    from troupe.weights.v1 import PullModelResponse

    async for job in _watched(hub, job_id):
        if job.HasField("progress") and job.progress != last and not job.HasField("ended_at"):
            last = job.progress
            yield PullModelResponse(progress=last)
        if job.HasField("ended_at"):
            yield PullModelResponse(model=_result(job))


def _result(job: "Job") -> "PulledModel":
    """What has come. Raises RpcError where nothing has."""
    from bus import Code, RpcError
    from troupe.job.v1 import JobState
    from troupe.weights.v1 import PulledModel

    if job.state == JobState.JOB_STATE_CANCELLED:
        raise RpcError(Code.CANCELLED, f"The job {job.id} was cancelled.", reason="JOB_CANCELLED")
    if job.state != JobState.JOB_STATE_SUCCEEDED:
        raise RpcError.from_status(job.error)
    model = PulledModel()
    job.result.Unpack(model)
    return model


async def _watched(hub: "Hub", job_id: str) -> AsyncIterator["Job"]:
    """The job as it is, then after each change, until it has ended; whoever tells of it may end, too."""
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
