"""Where each resumable call lives, so that any door can continue it."""

from typing import Protocol

from bus import subjects
from store.stores import Store
from store.table import MemoryTable, Table
from troupe.rpc.v1 import Location

LOCATION_SECONDS = 15 * 60.0
"""The longest grace period, and some time for the call before it was interrupted."""

MAX_LOCATIONS_BYTES = 64 * 1024 * 1024


class Locations(Protocol):
    """Call id -> where it lives. Entries disappear by themselves after 15 minutes."""

    async def put(self, call_id: str, location: Location) -> None:
        """Remember. Raises UNAVAILABLE if the store does not answer."""

    async def get(self, call_id: str) -> Location | None:
        """None: nothing is known of the call (any more)."""


class TableLocations:
    """Locations in a table."""

    def __init__(self, table: Table[Location]) -> None:
        self._table = table

    @classmethod
    async def open(cls, store: Store) -> "TableLocations":
        """Known to whoever opens the same store."""
        table = await store.table(subjects.CALLS_BUCKET, Location, ttl=LOCATION_SECONDS, max_bytes=MAX_LOCATIONS_BYTES)
        return cls(table)

    async def put(self, call_id: str, location: Location) -> None:
        await self._table.put(call_id, location)

    async def get(self, call_id: str) -> Location | None:
        found = await self._table.get(call_id)
        return found.value if found else None


class MemoryLocations(TableLocations):
    """Known to this process only."""

    def __init__(self) -> None:
        super().__init__(MemoryTable(subjects.CALLS_BUCKET, Location, ttl=LOCATION_SECONDS))
