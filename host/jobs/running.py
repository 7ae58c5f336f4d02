"""A job as its handler has it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from bus import Behalf, Code, RpcError
from host.jobs import rules
from host.jobs.ledger import Jobs
from host.jobs.rules import Hold
from troupe.job.v1 import Job, JobRecord
from troupe.rpc.v1 import Progress

M = TypeVar("M", bound=Message)


class Running:
    """One attempt at a job.

    The handler is cancelled when the job is to stop, for whatever reason (`stopping`), and may use some seconds to keep
    what it has. What it makes on the disk belongs to the next attempt; after "cancel" there is none.
    """

    def __init__(self, jobs: Jobs, record: JobRecord) -> None:
        self.stopping = ""
        """Why the handler was cancelled: "pause", "cancel", "leave" or "lost"; empty: it was not."""
        self.task: asyncio.Task[Message] | None = None
        self.news = asyncio.Event()
        """Something was told that is not written yet."""
        self._jobs = jobs
        self._record = record
        self._hold = rules.hold(record)
        self._progress: Progress | None = None

    @property
    def job(self) -> Job:
        """What is known of it; its id names it."""
        return self._record.job

    @property
    def behalf(self) -> Behalf:
        """In whose name it is done; calls of the handler are made on this behalf by themselves."""
        return Behalf.of(self._record.behalf)

    def request(self, kind: type[M]) -> M:
        """What is to be done. Raises INVALID_ARGUMENT (JOB_TYPE_DIFFERS) if it is of another type."""
        return _unpacked(self._record.job.request, kind)

    def kept(self, kind: type[M]) -> M | None:
        """What an earlier attempt has kept; None: nothing. Raises as `request`."""
        return _unpacked(self._record.kept, kind) if self._record.HasField("kept") else None

    async def keep(self, value: Message) -> None:
        """Keep something for the next attempt, at most 64 KiB, instead of what was kept before.

        Raises RpcError, and LostHold if the job is not this attempt's any more.
        """
        now = self._jobs.clock()
        rule = self.rule(lambda record, held: rules.kept(record, held, value, now))
        self._record = await self._jobs.change(self.job.id, rule)

    def tell(self, progress: Progress) -> None:
        """Say how far it is; of what is said within a second the last counts."""
        self._progress = progress
        self.news.set()

    # ---- for its worker

    def take_progress(self) -> Progress | None:
        """What is to be written; None: nothing new."""
        progress, self._progress = self._progress, None
        self.news.clear()
        return progress

    def rule(self, rule: Callable[[JobRecord, Hold], JobRecord]) -> Callable[[JobRecord], JobRecord]:
        """A rule of whoever holds this job."""
        return lambda record: rule(record, self._hold)

    def see(self, record: JobRecord | None) -> None:
        """This is what is known of the job now; stop if it is somebody else's or was asked to. None: it is lost."""
        if record is None or record.job.state != rules.RUNNING or rules.hold(record) != self._hold:
            self.stop("lost")
        elif record.job.asked:
            self.stop("cancel" if record.job.asked == rules.CANCEL else "pause")

    def stop(self, why: str) -> None:
        """Cancel the handler, once."""
        if self.task is not None and not self.task.done() and not self.stopping:
            self.stopping = why
            self.task.cancel()


def _unpacked(value: Any, kind: type[M]) -> M:
    found = kind()
    if not value.Unpack(found):
        message = f"The job carries {value.TypeName() or 'nothing'}, not {kind.DESCRIPTOR.full_name}."
        raise RpcError(Code.INVALID_ARGUMENT, message, reason="JOB_TYPE_DIFFERS")
    return found
