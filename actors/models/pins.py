"""Models that are pinned: kept in a table, told to whoever owns the devices' memory."""

import time
from collections.abc import Callable

import structlog

from actors.models.aliases import stamp
from bus import Code, RpcError
from bus.channel import Channel
from host.liveness import Presence
from store import Mirror
from troupe.gpu.v1 import GpuService, GpuServiceClient, PinRequest
from troupe.model.v1 import Pin

TELL_SECONDS = 2.0
MAX_PINS = 1000

log = structlog.get_logger(__name__)


class Pins:
    """The table of pins. `mirror` is to be run by whoever has this.

    presence: says which machines have a stage.
    """

    def __init__(
        self, mirror: Mirror[Pin], channel: Channel, presence: Presence, clock: Callable[[], float] = time.time
    ) -> None:
        self._mirror = mirror
        self._client = GpuServiceClient(channel)
        self._presence = presence
        self._clock = clock

    @property
    def models(self) -> list[str]:
        """Those that are pinned, by qualified name."""
        return sorted(self._mirror.entries)

    async def set(self, model: str, by: str, *, pinned: bool) -> None:
        """Pin a model ("family/name"), or no longer. Raises RESOURCE_EXHAUSTED (PINS_FULL)."""
        if pinned and model not in self._mirror.entries:
            if len(self._mirror.entries) >= MAX_PINS:
                message = f"{MAX_PINS:,} models are pinned, which is all that the hub keeps; unpin some."
                raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="PINS_FULL")
            pin = Pin(model=model, set_at=stamp(self._clock()), set_by=by)
            self._mirror.note(model, pin, await self._mirror.table.put(model, pin))
        elif not pinned:
            await self._mirror.table.delete(model)
            self._mirror.forget(model)
        for machine in self._machines():
            await self._tell(machine, model, pinned=pinned)

    async def tell_all(self) -> None:
        """Tell every stage of all pins: one that was started anew knows none."""
        for machine in self._machines():
            for model in self.models:
                await self._tell(machine, model, pinned=True)

    def _machines(self) -> list[str]:
        return self._presence.routes(GpuService.INFO.name)

    async def _tell(self, machine: str, model: str, *, pinned: bool) -> None:
        try:
            await self._client.pin(PinRequest(machine=machine, name=model, pinned=pinned), timeout=TELL_SECONDS)
        except RpcError as error:
            log.warning("model.unpinned", model=model, machine=machine, error=error.message)
