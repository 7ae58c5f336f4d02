"""See and steer jobs: work that goes on without whoever asked for it, like fetching a model.

Without an action your jobs are listed, the newest first. A job is named by its id or the beginning of it. Exit codes: 0
done, 1 the hub refused, or the job that was followed has failed or was cancelled, 2 no hub or no such command.
"""

import argparse
import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cli import connection
from cli.completion import ask_hub, completing
from cli.failure import FAILED, OK, CommandError
from cli.job_following import watched
from cli.job_text import SHORT, details, event_line, head, row, state_of
from cli.model_text import print_json
from cli.plain_text import clean, columns

if TYPE_CHECKING:
    from troupe.job.v1 import Job
    from troupe_client import Hub

MOST = 1000
"""Jobs of an owner that the beginning of an id is looked for among."""
ID = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe jobs` understands."""
    _add_common(parser)
    _add_filters(parser)
    actions = parser.add_subparsers(dest="action", metavar="action")
    _add_filters(_add(actions, "list", "your jobs, the newest first"))
    for name, summary in (
        ("show", "all that is known of one, and what has happened to it"),
        ("follow", "what happens to it, until it has ended"),
        ("pause", "let it stop where it can, until it is resumed"),
        ("resume", "let it go on from what it has kept"),
        ("cancel", "end it for good"),
    ):
        command = _add(actions, name, summary)
        completing(command.add_argument("id", help="a job's id, or the beginning of it"), job_ids)


def _add(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> argparse.ArgumentParser:
    command = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
    _add_common(command)
    _keep_what_stands_before(command)
    return command


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    connection.add_arguments(parser)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--live", action="store_true", help="only those that have not ended")
    parser.add_argument("--kind", default="", help="only those of one kind, for example model.pull")
    if parser.prog.endswith(" list"):
        _keep_what_stands_before(parser)


def _keep_what_stands_before(command: argparse.ArgumentParser) -> None:
    """What stands before the action's name is not undone by a default."""
    for action in command._actions:
        if action.dest != "help":
            action.default = argparse.SUPPRESS


def job_ids(prefix: str, parsed_args: argparse.Namespace, **_: object) -> Iterable[str]:
    """The jobs of the hub that the line names; none where it does not answer at once."""

    async def asked(hub: "Hub", seconds: float) -> list[str]:
        from troupe.job.v1 import ListJobsRequest

        answer = await hub.jobs.list_jobs(ListJobsRequest(), timeout=seconds)
        return [job.id for job in answer.jobs]

    return ask_hub(parsed_args, asked)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code. Raises CommandError, RpcError, SettingsError."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    async with connection.hub_of(args) as hub:
        if args.action in (None, "list"):
            return await _list(hub, args)
        job_id = await _whole(hub, args.id)
        if args.action == "follow":
            return await _follow(hub, job_id, args)
        job = await _asked(hub, job_id, args.action)
        if args.json:
            print_json(job)
        elif args.action == "show":
            for line in details(job, time.time()):
                print(clean(line))
        else:
            print(clean(f"{job.id[:SHORT]}: {state_of(job)}"))
        return OK


async def _list(hub: "Hub", args: argparse.Namespace) -> int:
    from troupe.job.v1 import ListJobsRequest

    jobs = (await hub.jobs.list_jobs(ListJobsRequest(kind=args.kind, live=args.live))).jobs
    if args.json:
        for job in jobs:
            print_json(job)
    else:
        now = time.time()
        for line in columns([head(), *(row(job, now) for job in jobs)]):
            print(clean(line))
    return OK


async def _whole(hub: "Hub", begun: str) -> str:
    """The id that begins so. Raises CommandError where none does, or several do."""
    from troupe.job.v1 import ListJobsRequest

    if len(begun) == ID:
        return begun
    known = [job.id for job in (await hub.jobs.list_jobs(ListJobsRequest(limit=MOST))).jobs]
    found = [each for each in known if each.startswith(begun.lower())]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} of your jobs begin" if found else "None of your jobs begins"
    raise CommandError(f"{what} with {begun[:40]!r}.", "`troupe jobs` lists them.", FAILED)


async def _asked(hub: "Hub", job_id: str, action: str) -> "Job":
    from troupe.job.v1 import CancelJobRequest, GetJobRequest, PauseJobRequest, ResumeJobRequest

    if action == "pause":
        return (await hub.jobs.pause_job(PauseJobRequest(id=job_id))).job
    if action == "resume":
        return (await hub.jobs.resume_job(ResumeJobRequest(id=job_id))).job
    if action == "cancel":
        return (await hub.jobs.cancel_job(CancelJobRequest(id=job_id))).job
    return (await hub.jobs.get_job(GetJobRequest(id=job_id))).job


async def _follow(hub: "Hub", job_id: str, args: argparse.Namespace) -> int:
    """Write each event once, also those that came before."""
    from troupe.job.v1 import JobState

    state = JobState.JOB_STATE_UNSPECIFIED
    async for job in watched(hub, job_id):
        state = job.state
        if args.json:
            print_json(job)
            continue
        for event in job.events:
            print(clean(event_line(event)), flush=True)
    return OK if state == JobState.JOB_STATE_SUCCEEDED else FAILED
