"""The way to what lasts: opens tables, queues and the event log where a process's bus keeps them."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

from google.protobuf.message import Message

from bus.errors import Code, RpcError
from bus.transports import Transport
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport
from store.event_log import JetStreamEventLog
from store.events import EventLog, name_of
from store.jetstream import JetStream, other_type
from store.memory_events import MemoryEventLog, MemoryEventStream
from store.table import MAX_TABLE_BYTES, JetStreamTable, MemoryTable, Table
from store.work_queue import ATTEMPTS, BUSY_SECONDS, MAX_JOBS, JetStreamWorkQueue, MemoryWorkQueue, WorkQueue

M = TypeVar("M", bound=Message)


class Store(Protocol):
    """Nothing is opened before it is asked for. The same name opened twice is the same thing, by whomever.

    Everything raises UNAVAILABLE (STORE_UNAVAILABLE) if the store does not answer in time, and FAILED_PRECONDITION
    (STORED_TYPE_DIFFERS) where somebody keeps another type under the name.
    """

    async def events(self, kinds: Mapping[str, type[M]]) -> EventLog[M]:
        """The hub's event log, for these kinds and the message that each carries."""

    async def table(
        self,
        name: str,
        kind: type[M],
        *,
        ttl: float | None = None,
        max_bytes: int = MAX_TABLE_BYTES,
        in_memory: bool = False,
    ) -> Table[M]:
        """The table of this name, made if there is none.

        ttl: seconds after which a value that was not set again disappears; None: never. in_memory: it does not
        outlive the server.
        """

    async def queue(
        self,
        name: str,
        kind: type[M],
        *,
        attempts: int = ATTEMPTS,
        max_jobs: int = MAX_JOBS,
        busy_seconds: float = BUSY_SECONDS,
    ) -> WorkQueue[M]:
        """The work queue of this name, made if there is none.

        attempts: after so many a job becomes a dead letter. busy_seconds: a worker that says nothing for so long has
        lost its job.
        """

    @property
    def quarantined(self) -> int:
        """Events that readers of this process have set aside."""

    async def close(self) -> None:
        """Take no more jobs from its queues."""


class Events(Protocol):
    """`Store.events`, as the runner hands it to an actor under the name `events`."""

    async def __call__(self, kinds: Mapping[str, type[M]]) -> EventLog[M]:
        """Open the hub's log."""


class Tables(Protocol):
    """`Store.table`, as the runner hands it to an actor under the name `table`."""

    async def __call__(
        self,
        name: str,
        kind: type[M],
        *,
        ttl: float | None = None,
        max_bytes: int = MAX_TABLE_BYTES,
        in_memory: bool = False,
    ) -> Table[M]:
        """Open a table."""


class Queues(Protocol):
    """`Store.queue`, as the runner hands it to an actor under the name `queue`."""

    async def __call__(
        self,
        name: str,
        kind: type[M],
        *,
        attempts: int = ATTEMPTS,
        max_jobs: int = MAX_JOBS,
        busy_seconds: float = BUSY_SECONDS,
    ) -> WorkQueue[M]:
        """Open a work queue."""


class JetStreamStore:
    """Kept by the NATS server; known to every process on the bus."""

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream
        self._queues: list[WorkQueue[Any]] = []

    async def events(self, kinds: Mapping[str, type[M]]) -> EventLog[M]:
        return await JetStreamEventLog.open(self._jetstream, kinds)

    async def table(
        self,
        name: str,
        kind: type[M],
        *,
        ttl: float | None = None,
        max_bytes: int = MAX_TABLE_BYTES,
        in_memory: bool = False,
    ) -> Table[M]:
        return await JetStreamTable.open(self._jetstream, name, kind, ttl=ttl, max_bytes=max_bytes, in_memory=in_memory)

    async def queue(
        self,
        name: str,
        kind: type[M],
        *,
        attempts: int = ATTEMPTS,
        max_jobs: int = MAX_JOBS,
        busy_seconds: float = BUSY_SECONDS,
    ) -> WorkQueue[M]:
        queue = await JetStreamWorkQueue.open(
            self._jetstream, name, kind, attempts=attempts, max_jobs=max_jobs, busy_seconds=busy_seconds
        )
        self._queues.append(queue)
        return queue

    @property
    def quarantined(self) -> int:
        return self._jetstream.quarantined

    async def close(self) -> None:
        for queue in self._queues:
            await queue.close()
        self._queues.clear()


class MemoryStore:
    """Kept by this process, gone with it; shared by whoever has the same MemoryBroker."""

    def __init__(self) -> None:
        self.stream = MemoryEventStream()
        self._tables: dict[str, tuple[type[Message], MemoryTable[Any]]] = {}
        self._queues: dict[str, tuple[type[Message], MemoryWorkQueue[Any]]] = {}

    async def events(self, kinds: Mapping[str, type[M]]) -> EventLog[M]:
        return MemoryEventLog(kinds, self.stream)

    async def table(
        self,
        name: str,
        kind: type[M],
        *,
        ttl: float | None = None,
        max_bytes: int = MAX_TABLE_BYTES,
        in_memory: bool = False,
    ) -> Table[M]:
        held, table = self._tables.setdefault(name, (kind, MemoryTable(name, kind, ttl=ttl, max_bytes=max_bytes)))
        if held.DESCRIPTOR is not kind.DESCRIPTOR:
            raise other_type(f"The table {name}", name_of(held), kind)
        return cast("Table[M]", table)

    async def queue(
        self,
        name: str,
        kind: type[M],
        *,
        attempts: int = ATTEMPTS,
        max_jobs: int = MAX_JOBS,
        busy_seconds: float = BUSY_SECONDS,
    ) -> WorkQueue[M]:
        made = MemoryWorkQueue(kind, attempts=attempts, max_jobs=max_jobs, busy_seconds=busy_seconds)
        held, queue = self._queues.setdefault(name, (kind, made))
        if held.DESCRIPTOR is not kind.DESCRIPTOR:
            raise other_type(f"The queue {name}", name_of(held), kind)
        return cast("WorkQueue[M]", queue)

    @property
    def quarantined(self) -> int:
        return self.stream.quarantined

    async def close(self) -> None:
        """Others may still take from its queues."""


_of_brokers: "WeakKeyDictionary[MemoryBroker, MemoryStore]" = WeakKeyDictionary()


def store_of(transport: Transport) -> Store:
    """Where the processes on this transport's bus keep what lasts.

    Raises FAILED_PRECONDITION (STORE_MISSING) for a transport that has none.
    """
    while (inner := getattr(transport, "inner", None)) is not None:  # a wrapper, as those of bus.testing.faults
        transport = inner
    if isinstance(transport, NatsTransport):
        return JetStreamStore(JetStream(transport.client))
    if isinstance(transport, MemoryTransport):
        return _of_brokers.setdefault(transport.broker, MemoryStore())
    raise RpcError(
        Code.FAILED_PRECONDITION,
        f"{type(transport).__name__} has no store; run on NATS or on the memory transport.",
        reason="STORE_MISSING",
    )
