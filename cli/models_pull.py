"""`troupe models pull`: brings a model, and follows its job over the end of whoever does it."""

import argparse
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from cli.job_following import outcome
from cli.model_text import print_json, progress_text
from cli.plain_text import clean

if TYPE_CHECKING:
    from troupe.weights.v1 import PullModelRequest, PullModelResponse
    from troupe_client import Hub


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
    from troupe.weights.v1 import PulledModel, PullModelResponse

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
        async for each in outcome(hub, job_id, PulledModel):
            if isinstance(each, PulledModel):
                yield PullModelResponse(model=each)
            elif each != last:  # its last word is told already
                yield PullModelResponse(progress=each)
