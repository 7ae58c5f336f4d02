"""What was measured of models: kept in a table by the hash of the file, and put on models that are told."""

import asyncio
import hashlib
from typing import Self

import structlog

from bus import Code, RpcError
from store import Mirror, Table, Tables, ended
from troupe.model.v1 import Figures, FiguresRecord, Model

TABLE = "model_figures"
MOST = 10_000
"""Rows; over that, the one that was measured longest ago is forgotten."""
SHOWN = 200
"""Of one model."""
OPEN_SECONDS = 5.0
AGAIN_SECONDS = 1.0

log = structlog.get_logger(__name__)


class FiguresBook:
    """The table; an async context."""

    def __init__(self, table: Tables) -> None:
        self._open = table
        self._mirror: Mirror[FiguresRecord] | None = None
        self._opened = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="figures of models")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await ended(self._task)

    def of(self, model: Model) -> list[Figures]:
        """All that was measured of a model's file, by context and slots; at most SHOWN."""
        rows = self._mirror.entries.values() if self._mirror is not None else ()
        found = [row.value.figures for row in rows if row.value.digest == digest_of(model)]
        return sorted(found, key=lambda each: (each.context_tokens, each.slots))[:SHOWN]

    def put_on(self, model: Model) -> Model:
        """Tell with a model what was measured of it: under its present context, or else what was measured last."""
        found = [each for each in self.of(model) if not each.error]
        if found:
            best = max(
                found, key=lambda each: (each.context_tokens == model.context_tokens, each.measured.ToNanoseconds())
            )
            model.figures.CopyFrom(best)
        return model

    async def add(self, model: Model, figures: Figures) -> None:
        """Keep them, instead of what was measured before under the same settings. Raises STORE_UNAVAILABLE."""
        mirror = await self._ready()
        record = FiguresRecord(digest=digest_of(model), figures=figures)
        key = key_of(record)
        mirror.note(key, record, await mirror.table.put(key, record))
        if len(mirror.entries) > MOST:
            oldest = min(mirror.entries, key=lambda each: mirror.entries[each].value.figures.measured.ToNanoseconds())
            await mirror.table.delete(oldest)
            mirror.forget(oldest)

    async def _ready(self) -> Mirror[FiguresRecord]:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._opened.wait()
        except TimeoutError:
            message = "The table of figures does not answer; see whether the NATS server runs with JetStream."
            raise RpcError(Code.UNAVAILABLE, message, reason="STORE_UNAVAILABLE", retry_after=1.0) from None
        assert self._mirror is not None
        return self._mirror

    async def _run(self) -> None:
        mirror = self._mirror = Mirror(await self._table())
        following = asyncio.create_task(mirror.run(), name="table of figures")
        try:
            await mirror.ready.wait()
            self._opened.set()
            await following
        finally:
            await ended(following)

    async def _table(self) -> Table[FiguresRecord]:
        while True:
            try:
                return await self._open(TABLE, FiguresRecord)
            except RpcError as error:
                log.warning("figures.unread", error=error.message)
                await asyncio.sleep(AGAIN_SECONDS)


def digest_of(model: Model) -> str:
    """By which a model's figures are kept; where its family tells no hash, its full name and when it was changed."""
    return model.digest or f"{model.family}/{model.name}@{model.modified.ToNanoseconds()}"


def key_of(record: FiguresRecord) -> str:
    """The key of a row."""
    said = record.figures
    parts = (record.digest, str(said.context_tokens), str(said.slots), said.engine, said.device)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()
