"""Where resumable calls live: remembered here, and written down for the other gateways."""

import asyncio
from collections import OrderedDict

import structlog

from bus import RpcError
from store import Locations
from troupe.rpc.v1 import Location

MAX_REMEMBERED = 4096

log = structlog.get_logger(__name__)


class RememberedLocations:
    """Writes behind: the first token does not wait for the disk."""

    def __init__(self, store: Locations) -> None:
        self._store = store
        self._known: OrderedDict[str, Location] = OrderedDict()
        self._writes: set[asyncio.Task[None]] = set()

    def remember(self, call_id: str, location: Location) -> None:
        """Keep the location, here at once and in the store soon."""
        self._known[call_id] = location
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        task = asyncio.create_task(self._write(call_id, location))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, call_id: str, location: Location) -> None:
        try:
            await self._store.put(call_id, location)
        except RpcError as error:  # the call itself is well; only another gateway could not resume it
            log.warning("location.not_written", call_id=call_id, error=str(error))

    async def get(self, call_id: str) -> Location | None:
        """The location, or None. Raises UNAVAILABLE if the store cannot be asked."""
        return self._known.get(call_id) or await self._store.get(call_id)

    async def close(self) -> None:
        """Finish what is being written."""
        await asyncio.gather(*self._writes, return_exceptions=True)
