"""A work queue: each job is done by one worker at a time until it is done, given up, or has failed too often."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from urllib.parse import quote, unquote

from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.client import JetStreamContext

from bus.errors import Code, RpcError
from store.events import encoded
from store.jetstream import JetStream

MAX_JOBS = 100_000
MAX_DEAD = 10_000
MAX_DEAD_BYTES = 64 * 1024 * 1024
ATTEMPTS = 5
BUSY_SECONDS = 30.0
"""A worker that says nothing for so long has lost its job to another."""

REPEATED_SECONDS = 120.0
"""The same id within this time is the same job, done or not."""

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that nobody could do: its bytes, why, and after how many attempts."""

    data: bytes
    reason: str
    attempts: int


class Job(Protocol[M]):
    """A job that this worker has. Exactly one of `done`, `retry` and `give_up` ends it."""

    value: M
    attempt: int
    """Counts from 1."""

    async def done(self) -> None:
        """It is done and forgotten. Once this returns it never comes again."""

    async def retry(self, delay: float = 0.0) -> None:
        """Let it be tried again after `delay` seconds; after the last attempt it becomes a dead letter."""

    async def give_up(self, reason: str) -> None:
        """It can never be done: make it a dead letter now."""

    async def busy(self) -> None:
        """Still at it: call this more often than every 30 s."""


class WorkQueue(Protocol[M]):
    """Everything raises UNAVAILABLE (STORE_UNAVAILABLE) if the store does not answer in time."""

    async def publish(self, job: M, job_id: str = "") -> None:
        """Add a job. The same id within two minutes is one job, also one that is done.

        Raises RESOURCE_EXHAUSTED (STORE_FULL).
        """

    async def take(self, timeout: float = 5.0) -> Job[M] | None:
        """The next job; None if there is none within `timeout` seconds."""

    async def dead_letters(self) -> list[DeadLetter]:
        """What nobody could do, oldest first."""

    async def close(self) -> None:
        """Take no more jobs here; those that this worker has are still its own."""


class _JetStreamJob(Generic[M]):
    def __init__(self, queue: "JetStreamWorkQueue[M]", jetstream: JetStream, message: Msg, value: M) -> None:
        self.value = value
        self.attempt = message.metadata.num_delivered
        self._queue = queue
        self._jetstream = jetstream
        self._message = message

    async def done(self) -> None:
        await self._jetstream.repeat(lambda: self._message.ack_sync(timeout=2.0))

    async def retry(self, delay: float = 0.0) -> None:
        if self.attempt >= self._queue.attempts:
            await self._queue.bury(self._message, "It failed in every attempt.")
        else:
            await self._jetstream.repeat(lambda: self._message.nak(delay=delay or None))

    async def give_up(self, reason: str) -> None:
        await self._queue.bury(self._message, reason)

    async def busy(self) -> None:
        await self._jetstream.repeat(self._message.in_progress)


class JetStreamWorkQueue(Generic[M]):
    """A queue in a JetStream stream, for any number of workers. Made by `open`."""

    def __init__(
        self, jetstream: JetStream, kind: type[M], name: str, attempts: int, pull: JetStreamContext.PullSubscription
    ) -> None:
        self.attempts = attempts
        self._jetstream = jetstream
        self._kind = kind
        self._name = name
        self._pull = pull

    @classmethod
    async def open(
        cls,
        jetstream: JetStream,
        name: str,
        kind: type[M],
        *,
        attempts: int = ATTEMPTS,
        max_jobs: int = MAX_JOBS,
        busy_seconds: float = BUSY_SECONDS,
        repeated_seconds: float = REPEATED_SECONDS,
    ) -> "JetStreamWorkQueue[M]":
        """The queue of this name, made if there is none.

        attempts: after so many a job becomes a dead letter. busy_seconds: a worker that says nothing for so long has
        lost its job. repeated_seconds: for so long the same id is the same job. Raises FAILED_PRECONDITION
        (STORED_TYPE_DIFFERS) if its jobs are of another type.
        """
        stream = f"WORK_{name}"
        await jetstream.ensure(
            StreamConfig(
                name=stream,
                subjects=[f"work.{name}"],
                retention=RetentionPolicy.WORK_QUEUE,
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                max_msgs=max_jobs,
                duplicate_window=repeated_seconds,
            ),
            kind,
        )
        await jetstream.ensure(
            StreamConfig(
                name=f"DEAD_{name}",
                subjects=[f"dead.{name}"],
                storage=StorageType.FILE,
                max_msgs=MAX_DEAD,
                max_bytes=MAX_DEAD_BYTES,
            )
        )
        # The attempts are counted here and not by the server, whose own limit drops a job without a dead letter.
        consumer = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=busy_seconds, max_deliver=-1)
        pull = await jetstream.repeat(
            lambda: jetstream.context.pull_subscribe(f"work.{name}", durable="workers", stream=stream, config=consumer)
        )
        return cls(jetstream, kind, name, attempts, pull)

    async def publish(self, job: M, job_id: str = "") -> None:
        await self._jetstream.publish(f"work.{self._name}", encoded(job), None, job_id)

    async def take(self, timeout: float = 5.0) -> Job[M] | None:
        ends = time.monotonic() + timeout
        while True:
            left = max(0.05, ends - time.monotonic())
            for message in await self._jetstream.next_batch(self._pull, 1, left):
                job = await self._job(message)
                if job is not None:
                    return job
            if time.monotonic() >= ends:
                return None

    async def _job(self, message: Msg) -> Job[M] | None:
        try:
            value = self._kind.FromString(message.data)
        except DecodeError:
            await self.bury(message, f"It is no {self._kind.DESCRIPTOR.full_name}.")
            return None
        if message.metadata.num_delivered > self.attempts:
            await self.bury(message, "Its workers ended without a word in every attempt.")
            return None
        return _JetStreamJob(self, self._jetstream, message, value)

    async def bury(self, message: Msg, reason: str) -> None:
        """Make a dead letter of it; first the letter, then the end of the job, so that it cannot vanish."""
        sequence = message.metadata.sequence.stream
        headers = {
            "Troupe-Reason": quote(reason[:500]),
            "Troupe-Attempts": str(message.metadata.num_delivered),
        }
        await self._jetstream.publish(f"dead.{self._name}", message.data, headers, f"{self._name}-{sequence}")
        await self._jetstream.repeat(lambda: message.ack_sync(timeout=2.0))

    async def dead_letters(self) -> list[DeadLetter]:
        context = self._jetstream.context
        stream = f"DEAD_{self._name}"

        async def letters() -> list[DeadLetter]:
            state = (await context.stream_info(stream)).state
            if not state.messages:
                return []
            found = [await context.get_msg(stream, seq=number) for number in range(state.first_seq, state.last_seq + 1)]
            return [_letter(letter.data or b"", letter.headers or {}) for letter in found]

        return await self._jetstream.repeat(letters)

    async def close(self) -> None:
        """Take no more jobs; those that this worker has are still its own."""
        await self._jetstream.leave(self._pull)


def _letter(data: bytes, headers: Mapping[str, str]) -> DeadLetter:
    return DeadLetter(data, unquote(headers.get("Troupe-Reason", "")), int(headers.get("Troupe-Attempts", "0")))


@dataclass(slots=True)
class _Waiting:
    data: bytes
    attempts: int = 0
    due: float = 0.0


class _MemoryJob(Generic[M]):
    def __init__(self, queue: "MemoryWorkQueue[M]", waiting: _Waiting, value: M) -> None:
        self.value = value
        self.attempt = waiting.attempts
        self._queue = queue
        self._waiting = waiting

    async def done(self) -> None:
        self._queue.end(self._waiting)

    async def retry(self, delay: float = 0.0) -> None:
        if self.attempt >= self._queue.attempts:
            await self.give_up("It failed in every attempt.")
        else:
            self._queue.put_back(self._waiting, delay)

    async def give_up(self, reason: str) -> None:
        self._queue.end(self._waiting)
        self._queue.bury(self._waiting, reason)

    async def busy(self) -> None:
        self._queue.touch(self._waiting)


class MemoryWorkQueue(Generic[M]):
    """The same in this process, gone with it."""

    def __init__(
        self,
        kind: type[M],
        *,
        attempts: int = ATTEMPTS,
        max_jobs: int = MAX_JOBS,
        busy_seconds: float = BUSY_SECONDS,
        repeated_seconds: float = REPEATED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.attempts = attempts
        self._kind = kind
        self._max_jobs = max_jobs
        self._busy_seconds = busy_seconds
        self._clock = clock
        self._jobs: deque[_Waiting] = deque()
        self._repeated_seconds = repeated_seconds
        self._ids: dict[str, float] = {}
        self._dead: list[DeadLetter] = []
        self._added = asyncio.Event()

    async def publish(self, job: M, job_id: str = "") -> None:
        await self.publish_bytes(encoded(job), job_id)

    async def publish_bytes(self, data: bytes, job_id: str = "") -> None:
        """Add bytes that may be no job, as another version of the program might."""
        if self._is_repeated(job_id):
            return
        if len(self._jobs) >= self._max_jobs:
            raise RpcError(
                Code.RESOURCE_EXHAUSTED, f"The queue holds {self._max_jobs:,} jobs already.", reason="STORE_FULL"
            )
        if job_id:
            self._ids[job_id] = self._clock()
        self._jobs.append(_Waiting(data))
        self._added.set()

    def _is_repeated(self, job_id: str) -> bool:
        """Ids are in the order of their publishing, and forgotten after their time."""
        limit = self._clock() - self._repeated_seconds
        while self._ids and next(iter(self._ids.values())) <= limit:
            del self._ids[next(iter(self._ids))]
        return job_id in self._ids

    async def take(self, timeout: float = 5.0) -> Job[M] | None:
        ends = self._clock() + timeout
        while True:
            self._added.clear()
            job = self._due()
            if job is not None:
                return job
            now = self._clock()
            if now >= ends:
                return None
            soonest = min([ends, *(waiting.due for waiting in self._jobs)])
            try:
                async with asyncio.timeout(max(0.0, soonest - now)):
                    await self._added.wait()
            except TimeoutError:
                continue

    def _due(self) -> Job[M] | None:
        for waiting in list(self._jobs):
            if waiting.due > self._clock():
                continue
            waiting.attempts += 1
            self.touch(waiting)
            try:
                value = self._kind.FromString(waiting.data)
            except DecodeError:
                self.end(waiting)
                self.bury(waiting, f"It is no {self._kind.DESCRIPTOR.full_name}.")
                continue
            if waiting.attempts > self.attempts:
                self.end(waiting)
                self.bury(waiting, "Its workers ended without a word in every attempt.")
                continue
            return _MemoryJob(self, waiting, value)
        return None

    def touch(self, waiting: _Waiting) -> None:
        """It belongs to a worker for another while."""
        waiting.due = self._clock() + self._busy_seconds

    def put_back(self, waiting: _Waiting, delay: float) -> None:
        """It may be taken again after `delay` seconds."""
        waiting.due = self._clock() + delay
        self._added.set()

    def end(self, waiting: _Waiting) -> None:
        """It is not to be done again."""
        if waiting in self._jobs:
            self._jobs.remove(waiting)

    def bury(self, waiting: _Waiting, reason: str) -> None:
        """Make a dead letter of it."""
        self._dead.append(DeadLetter(waiting.data, reason, waiting.attempts))

    async def dead_letters(self) -> list[DeadLetter]:
        return list(self._dead)

    async def close(self) -> None:
        self._added.set()
