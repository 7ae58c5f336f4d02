"""Does jobs: takes them one by one, runs a handler for each, and says how it goes."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

import structlog
from google.protobuf.message import Message

from bus import Code, RpcError, detached
from host.jobs import rules
from host.jobs.ledger import Jobs
from host.jobs.rules import LostHold
from host.jobs.running import Running
from store import Job as Ticket
from store import Mirror, ended
from troupe.job.v1 import JobRecord, JobTicket

LOOK_SECONDS = 5.0
"""A worker that has nothing to do looks so often, also where nobody has told it to."""
BEAT_SECONDS = 10.0
"""A job that runs is told to be alive so often, also where it has no news."""
WRITE_SECONDS = 1.0
"""Between two words about one job, at least."""
AGAIN_SECONDS = 1.0
"""Until the store is tried again."""

Handler = Callable[[Running], Awaitable[Message]]
"""Does one job and returns its result.

Raises RpcError: one that may pass (UNAVAILABLE, or with `retry_after`) is tried again; any other is the job's end.
Preempted: it goes back into its queue. Anything else that it raises is logged, and is the job's end with INTERNAL.
"""

log = structlog.get_logger(__name__)


class Preempted(Exception):
    """Raised by a handler whose job gives way; its words say to what. No attempt is used up."""


class Worker:
    """Takes jobs of one lane and of the kinds that it has handlers for, `at_once` at a time.

    An async context: leaving it cancels the handlers and gives their jobs back.
    """

    def __init__(self, jobs: Jobs, lane: str, handlers: Mapping[str, Handler], at_once: int = 1) -> None:
        self._jobs = jobs
        self._lane = lane
        self._handlers = dict(handlers)
        self._at_once = at_once
        self._tasks: list[asyncio.Task[None]] = []
        self._running: set[Running] = set()
        self._leave = asyncio.Event()

    async def __aenter__(self) -> Self:
        numbers = range(self._at_once)
        self._tasks = [detached(self._work(), name=f"worker {number} of {self._lane}") for number in numbers]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave.set()
        for running in list(self._running):
            running.stop("leave")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while not self._leave.is_set():
            try:
                record = await self._next()
                if record is not None:
                    await self._do(record)
            except RpcError as error:
                log.warning("jobs.away", lane=self._lane, error=error.message)
                await asyncio.sleep(AGAIN_SECONDS)

    # ---- taking

    async def _next(self) -> JobRecord | None:
        """The job that goes first, once one waits. A ticket is the word to look, not the job itself."""
        view = await self._jobs.view()
        record = await self._claimed(view)
        if record is not None:
            return record
        ticket = await self._ticket()
        if ticket is None:
            return None if self._leave.is_set() else await self._claimed(view)
        await self._jobs.sight(ticket.value.id)  # the view may not know it yet
        record = await self._claimed(view)
        await ticket.done()
        return record

    async def _ticket(self) -> Ticket[JobTicket] | None:
        queue = await self._jobs.queue(self._lane)
        taking = asyncio.ensure_future(queue.take(LOOK_SECONDS))
        leaving = asyncio.ensure_future(self._leave.wait())
        try:
            await asyncio.wait([taking, leaving], return_when=asyncio.FIRST_COMPLETED)
            return taking.result() if taking.done() else None
        finally:
            for waiting in (taking, leaving):
                waiting.cancel()
            await asyncio.gather(taking, leaving, return_exceptions=True)

    async def _claimed(self, view: Mirror[JobRecord]) -> JobRecord | None:
        now, known = self._jobs.clock(), [each.value for each in view.entries.values()]
        running = Counter(rules.owner(record) for record in known if record.job.state == rules.RUNNING)
        waiting = [record for record in known if self._wants(record) and rules.due(record, now)]
        for record in sorted(waiting, key=lambda record: rules.order(record, running)):
            try:
                return await self._jobs.change(record.job.id, self._claim)
            except LostHold:
                continue
            except RpcError as error:
                if error.reason != "JOB_NOT_FOUND":
                    raise
        return None

    def _claim(self, record: JobRecord) -> JobRecord:
        return rules.claimed(record, self._jobs.process, self._jobs.clock())

    def _wants(self, record: JobRecord) -> bool:
        return record.lane == self._lane and record.job.kind in self._handlers

    # ---- doing

    async def _do(self, record: JobRecord) -> None:
        running = Running(self._jobs, record)
        job_id = running.job.id
        handler = self._handlers[record.job.kind]
        handling = detached(_handled(handler, running), name=f"job {job_id}", behalf=running.behalf)
        running.task = handling
        self._running.add(running)
        keeping = detached(self._keep(running), name=f"word of {job_id}")
        try:
            if self._leave.is_set():
                running.stop("leave")
            await asyncio.wait([handling])
        finally:
            handling.cancel()
            await asyncio.gather(handling, return_exceptions=True)
            await ended(keeping)
            self._running.discard(running)
        await self._end(running, self._outcome(running, handling))

    async def _keep(self, running: Running) -> None:
        """Write what the handler tells and that it lives; hear what it is asked."""
        view, job_id = await self._jobs.view(), running.job.id

        def heard(changed: str) -> None:
            if changed == job_id:
                sighted = view.entries.get(job_id)
                running.see(sighted.value if sighted else None)

        with view.heard_by(heard):
            heard(job_id)
            while True:
                try:
                    async with asyncio.timeout(BEAT_SECONDS):
                        await running.news.wait()
                except TimeoutError:
                    pass
                await self._write(running)
                await asyncio.sleep(WRITE_SECONDS)

    async def _write(self, running: Running) -> None:
        progress, now = running.take_progress(), self._jobs.clock()
        try:
            rule = running.rule(lambda record, held: rules.told(record, held, progress, now))
            running.see(await self._jobs.change(running.job.id, rule))
        except LostHold:
            running.see(None)
        except RpcError as error:
            log.warning("job.unwritten", job=running.job.id, error=error.message)
            if error.reason == "JOB_NOT_FOUND":
                running.see(None)

    async def _end(self, running: Running, rule: Callable[[JobRecord], JobRecord]) -> None:
        """Write what came of it, however long the store is away; only who leaves does not wait for that."""
        while True:
            try:
                record = await self._jobs.change(running.job.id, rule)
            except LostHold:
                log.info("job.lost", job=running.job.id)
            except RpcError as error:
                if error.code is Code.UNAVAILABLE and not self._leave.is_set():
                    await asyncio.sleep(AGAIN_SECONDS)
                    continue
                log.warning("job.unwritten", job=running.job.id, error=error.message)
            else:
                log.info("job.left", job=record.job.id, kind=record.job.kind, state=rules.word(record.job.state))
            return

    def _outcome(self, running: Running, task: "asyncio.Task[Message]") -> Callable[[JobRecord], JobRecord]:
        """What the end of a handler means for its job."""
        now = self._jobs.clock
        problem = None if task.cancelled() else task.exception()
        if task.cancelled() and running.stopping:
            return running.rule(lambda record, held: rules.given_back(record, held, "Its worker has left.", now()))
        if isinstance(problem, Preempted):
            why = str(problem) or "It gave way."
            return running.rule(lambda record, held: rules.given_back(record, held, why, now()))
        if task.cancelled() or problem is not None:
            error = problem if isinstance(problem, RpcError) else _internal(running, problem)
            return running.rule(lambda record, held: rules.failed(record, held, error, now()))
        result = task.result()
        if (size := result.ByteSize()) > rules.MAX_RESULT_BYTES:
            huge = rules.too_large("result", size, rules.MAX_RESULT_BYTES)
            return running.rule(lambda record, held: rules.failed(record, held, huge, now()))
        return running.rule(lambda record, held: rules.succeeded(record, held, result, now()))


async def _handled(handler: Handler, running: Running) -> Message:
    return await handler(running)


def _internal(running: Running, problem: BaseException | None) -> RpcError:
    error = RpcError(Code.INTERNAL, "The hub failed at this job; its log tells more under the reference.")
    log.error("job.failed", job=running.job.id, reference=error.reference, exc_info=problem)
    return error
