"""Where resumable calls live: remembered here, and written down for the other gateways."""

import asyncio
import hashlib
from collections import OrderedDict

import structlog

from bus import RpcError
from store import Locations
from troupe.rpc.v1 import Location

MAX_REMEMBERED = 4096

log = structlog.get_logger(__name__)


class RememberedLocations:
    """Writes behind: the first token does not wait for the disk.

    Each principal has its own: whoever takes the id of somebody else's call neither finds nor hides that.
    """

    def __init__(self, store: Locations) -> None:
        self._store = store
        self._known: OrderedDict[str, Location] = OrderedDict()
        self._writes: set[asyncio.Task[None]] = set()

    def remember(self, call_id: str, location: Location) -> None:
        """Keep the location of its principal's call, here at once and in the store soon."""
        place = _place(location.principal, call_id)
        self._known[place] = location
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        task = asyncio.create_task(self._write(place, location))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, place: str, location: Location) -> None:
        try:
            await self._store.put(place, location)
        except RpcError as error:  # the call itself is well; only another gateway could not resume it
            log.warning("location.not_written", place=place, error=str(error))

    async def get(self, principal: str, call_id: str) -> Location | None:
        """The location of a principal's call, or None. Raises UNAVAILABLE if the store cannot be asked."""
        place = _place(principal, call_id)
        return self._known.get(place) or await self._store.get(place)

    async def close(self) -> None:
        """Finish what is being written."""
        await asyncio.gather(*self._writes, return_exceptions=True)


def _place(principal: str, call_id: str) -> str:
    """The key of a call's location; names of principals may hold what keys may not."""
    return f"{hashlib.sha256(principal.encode()).hexdigest()[:16]}-{call_id}"
