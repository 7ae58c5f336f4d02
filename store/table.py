"""A table: one protobuf message per key, with revisions, expiry and change events."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import Message
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, Header, StorageType, StreamConfig
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KV_DEL, KV_PURGE, KeyValue

from bus import errors, subjects
from bus.errors import Code, RpcError
from store.jetstream import JetStream, WrongRevisionError, decoded, unavailable

MAX_KEY_BYTES = 200
MAX_VALUE_BYTES = 512 * 1024
MAX_TABLE_BYTES = 64 * 1024 * 1024
REPEATED_SECONDS = 120.0
LOOK_SECONDS = 1.0
"""A watch that hears nothing looks so often whether its connection was another meanwhile."""
WATCH_EVENTS = 1024
"""Changes that wait for a watcher; one that is slower is told so with an error, never skipped in silence."""

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Entry(Generic[M]):
    """A value and its revision, which grows with every change of the table."""

    value: M
    revision: int


@dataclass(frozen=True, slots=True)
class Change(Generic[M]):
    """What happened to a key; `value` is None if it was deleted."""

    key: str
    value: M | None
    revision: int


class Table(Protocol[M]):
    """Keys are any text of 1 to 200 bytes; values at most 512 KiB.

    Everything raises UNAVAILABLE (STORE_UNAVAILABLE) if the store does not answer in time.
    """

    async def get(self, key: str) -> Entry[M] | None:
        """The newest value; None if there is none. Raises DATA_LOSS if it cannot be read."""

    async def put(self, key: str, value: M) -> int:
        """Set it, whatever it was; returns the revision."""

    async def create(self, key: str, value: M) -> int:
        """Set it if there is none. Raises ALREADY_EXISTS (KEY_EXISTS)."""

    async def replace(self, key: str, value: M, revision: int) -> int:
        """Set it if it still has this revision. Raises ABORTED (REVISION_CHANGED): read it again and decide anew."""

    async def delete(self, key: str) -> None:
        """Remove it; removing what is not there does nothing."""

    async def keys(self) -> list[str]:
        """All keys, in no order."""

    def watch(self) -> AsyncGenerator[Change[M] | None, None]:
        """What is there now, then None, then every change as it comes. Values that cannot be read are left out.

        Raises UNAVAILABLE (STORE_UNAVAILABLE) after an interruption: watch again.
        """


class JetStreamTable(Generic[M]):
    """A table in a JetStream KV bucket. Made by `open`."""

    def __init__(self, jetstream: JetStream, bucket: KeyValue, name: str, kind: type[M]) -> None:
        self._jetstream = jetstream
        self._bucket = bucket
        self._name = name
        self._kind = kind

    @classmethod
    async def open(
        cls,
        jetstream: JetStream,
        name: str,
        kind: type[M],
        *,
        ttl: float | None = None,
        max_bytes: int = MAX_TABLE_BYTES,
        in_memory: bool = False,
    ) -> "JetStreamTable[M]":
        """The table of this name, made if there is none.

        ttl: seconds after which a value that was not set again disappears; None: never. in_memory: it does not
        outlive the server. Raises FAILED_PRECONDITION (STORED_TYPE_DIFFERS) if it holds another type.
        """
        if not await jetstream.holds(f"KV_{name}", kind):
            await jetstream.ensure(_stream(name, ttl, max_bytes, in_memory=in_memory), kind)
        return cls(jetstream, await jetstream.repeat(lambda: jetstream.context.key_value(name)), name, kind)

    async def get(self, key: str) -> Entry[M] | None:
        escaped = _escaped(key)
        found = await self._jetstream.repeat(lambda: self._found(escaped))
        if found is None:
            return None
        return Entry(decoded(self._kind, found.value, f"{self._name}/{key}"), found.revision or 0)

    async def _found(self, escaped: str) -> KeyValue.Entry | None:
        try:
            return await self._bucket.get(escaped)
        except KeyNotFoundError:
            return None

    async def put(self, key: str, value: M) -> int:
        return await self._write(key, value, {})

    async def create(self, key: str, value: M) -> int:
        try:
            return await self._write(key, value, _expecting(0))
        except WrongRevisionError:
            pass
        # A deleted key leaves a marker with a revision of its own.
        marker = await self._marker(_escaped(key))
        if marker is None:
            raise key_exists(self._name, key)
        try:
            return await self._write(key, value, _expecting(marker))
        except WrongRevisionError as error:
            raise key_exists(self._name, key) from error

    async def _marker(self, escaped: str) -> int | None:
        async def last() -> int | None:
            found = await self._jetstream.context.get_last_msg(f"KV_{self._name}", f"$KV.{self._name}.{escaped}")
            deleted = (found.headers or {}).get("KV-Operation") in (KV_DEL, KV_PURGE)
            return found.seq if deleted else None

        return await self._jetstream.repeat(last)

    async def replace(self, key: str, value: M, revision: int) -> int:
        try:
            return await self._write(key, value, _expecting(revision))
        except WrongRevisionError as error:
            raise revision_changed(self._name, key) from error

    async def _write(self, key: str, value: M, headers: dict[str, str]) -> int:
        subject = f"$KV.{self._name}.{_escaped(key)}"
        revision, _ = await self._jetstream.publish(subject, _encoded(value), headers)
        return revision

    async def delete(self, key: str) -> None:
        await self._jetstream.publish(f"$KV.{self._name}.{_escaped(key)}", b"", {"KV-Operation": KV_DEL})

    async def keys(self) -> list[str]:
        found = []
        async with aclosing(self._changes(meta_only=True)) as changes:
            async for change in changes:
                if change is None:
                    break
                if change.operation not in (KV_DEL, KV_PURGE):
                    found.append(subjects.unescape(change.key))
        return found

    async def watch(self) -> AsyncGenerator[Change[M] | None, None]:
        async with aclosing(self._changes(meta_only=False)) as changes:
            async for change in changes:
                if change is None:
                    yield None
                    continue
                try:
                    value = None if change.operation in (KV_DEL, KV_PURGE) else decoded(self._kind, change.value, "")
                except RpcError:
                    continue
                yield Change(subjects.unescape(change.key), value, change.revision or 0)

    async def _changes(self, *, meta_only: bool) -> AsyncGenerator[KeyValue.Entry | None, None]:
        watcher = await self._jetstream.repeat(lambda: self._bucket.watchall(meta_only=meta_only))
        first, held, reconnects = True, False, self._jetstream.reconnects
        try:
            while True:
                try:
                    # Not `watcher.updates`: its wait_for may keep a cancelling to itself.
                    async with asyncio.timeout(LOOK_SECONDS):
                        change = await anext(watcher)
                except TimeoutError as error:
                    # The server may have lost this watch with its connection, which nats-py would notice in 20 s.
                    if self._jetstream.reconnects != reconnects:
                        raise unavailable(error) from error
                    continue
                # nats-py takes a value that is still under way for an empty bucket, and says None before it.
                if first and change is None and (await self._jetstream.repeat(self._bucket.status)).values:
                    first, held = False, True
                    continue
                first = False
                yield change
                if held and change is not None and change.delta == 0:
                    held = False
                    yield None
        finally:
            with suppress(NatsError):  # the connection may be gone, and the watcher with it
                await watcher.stop()  # type: ignore[no-untyped-call]  # nats-py leaves it unannotated


class MemoryTable(Generic[M]):
    """The same in this process, gone with it."""

    def __init__(
        self,
        name: str,
        kind: type[M],
        *,
        ttl: float | None = None,
        max_bytes: int = MAX_TABLE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._kind = kind
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: dict[str, tuple[bytes, int, float]] = {}
        self._revision = 0
        self._watchers: list[asyncio.Queue[Change[M]]] = []

    async def get(self, key: str) -> Entry[M] | None:
        _escaped(key)
        self._expire()
        found = self._entries.get(key)
        return Entry(decoded(self._kind, found[0], f"{self._name}/{key}"), found[1]) if found else None

    async def put(self, key: str, value: M) -> int:
        _escaped(key)
        data = _encoded(value)
        self._expire()
        held = sum(len(entry[0]) for other, entry in self._entries.items() if other != key)
        if held + len(data) > self._max_bytes:
            raise RpcError(Code.RESOURCE_EXHAUSTED, f"The table {self._name} is full.", reason="STORE_FULL")
        self._revision += 1
        self._entries.pop(key, None)
        self._entries[key] = (data, self._revision, self._clock())
        self._tell(Change(key, self._kind.FromString(data), self._revision))
        return self._revision

    async def create(self, key: str, value: M) -> int:
        if await self.get(key) is not None:
            raise key_exists(self._name, key)
        return await self.put(key, value)

    async def replace(self, key: str, value: M, revision: int) -> int:
        found = await self.get(key)
        if found is None or found.revision != revision:
            raise revision_changed(self._name, key)
        return await self.put(key, value)

    async def delete(self, key: str) -> None:
        _escaped(key)
        if self._entries.pop(key, None) is not None:
            self._revision += 1
            self._tell(Change(key, None, self._revision))

    async def keys(self) -> list[str]:
        self._expire()
        return list(self._entries)

    async def watch(self) -> AsyncGenerator[Change[M] | None, None]:
        self._expire()
        changes: asyncio.Queue[Change[M]] = asyncio.Queue(WATCH_EVENTS)
        present = [
            Change(key, self._kind.FromString(data), revision) for key, (data, revision, _) in self._entries.items()
        ]
        self._watchers.append(changes)
        try:
            for change in present:
                yield change
            yield None
            while changes in self._watchers or not changes.empty():
                yield await changes.get()
        finally:
            if changes in self._watchers:
                self._watchers.remove(changes)
        raise RpcError(Code.RESOURCE_EXHAUSTED, f"More than {WATCH_EVENTS} changes of {self._name} were waiting.")

    def _tell(self, change: Change[M]) -> None:
        for watcher in list(self._watchers):
            if watcher.full():
                self._watchers.remove(watcher)
            else:
                watcher.put_nowait(change)

    def _expire(self) -> None:
        """Entries are in the order of their last setting."""
        if self._ttl is None:
            return
        limit = self._clock() - self._ttl
        while self._entries:
            key, (_, _, since) = next(iter(self._entries.items()))
            if since > limit:
                return
            del self._entries[key]


def _stream(name: str, ttl: float | None, max_bytes: int, *, in_memory: bool) -> StreamConfig:
    """A KV bucket as NATS's own tools make it; they cannot say what its values are."""
    return StreamConfig(
        name=f"KV_{name}",
        subjects=[f"$KV.{name}.>"],
        max_msgs_per_subject=1,
        max_bytes=max_bytes,
        max_msg_size=MAX_VALUE_BYTES,
        max_age=ttl,
        storage=StorageType.MEMORY if in_memory else StorageType.FILE,
        discard=DiscardPolicy.NEW,
        duplicate_window=min(ttl or REPEATED_SECONDS, REPEATED_SECONDS),
        allow_direct=True,
        allow_rollup_hdrs=True,
        deny_delete=True,
    )


def key_exists(table: str, key: str) -> RpcError:
    """There is a value already."""
    return RpcError(Code.ALREADY_EXISTS, f"{table} has an entry {key!r} already.", reason="KEY_EXISTS")


def revision_changed(table: str, key: str) -> RpcError:
    """Somebody else was faster."""
    return RpcError(
        Code.ABORTED,
        f"{key!r} in {table} was changed meanwhile; read it again.",
        reason="REVISION_CHANGED",
        retry_after=0.0,
    )


def _expecting(revision: int) -> dict[str, str]:
    return {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(revision)}


def _escaped(key: str) -> str:
    if not 1 <= len(key.encode()) <= MAX_KEY_BYTES:
        raise errors.invalid(f"A key is 1 to {MAX_KEY_BYTES} bytes long, this one {len(key.encode())}.", "key")
    return subjects.escape(key)


def _encoded(value: Message) -> bytes:
    data = value.SerializeToString()
    if len(data) > MAX_VALUE_BYTES:
        raise RpcError(
            Code.RESOURCE_EXHAUSTED,
            f"A value of {len(data):,} bytes is over a table's limit of {MAX_VALUE_BYTES:,}; use the blob store.",
            reason="MESSAGE_TOO_LARGE",
            metadata={"size": str(len(data)), "limit": str(MAX_VALUE_BYTES)},
        )
    return data
