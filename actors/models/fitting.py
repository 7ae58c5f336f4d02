"""Whether models can run on the devices that there are, so that none that cannot answers who names none."""

import asyncio
from collections.abc import Sequence

import structlog

from actors.model.needs import work_of
from actors.models.directory import Directory
from bus import RpcError, detached
from bus.channel import Channel
from host.liveness import Presence
from troupe.family.v1 import DescribeModelRequest, FamilyServiceClient
from troupe.gpu.v1 import Device, DeviceKind, GpuService, GpuServiceClient, WatchRequest, Work
from troupe.model.v1 import Model

DESCRIBE_SECONDS = 30.0
"""How long a family may take to say what a model needs; the first time on a machine it measures."""
WATCH_SECONDS = 5.0
"""How long the stage may take to say which devices there are."""

log = structlog.get_logger(__name__)


class Fitting:
    """Looks, in the background, whether those that may become a default can run, and tells the directory.

    It looks whenever a family has told what it has, at what is not known yet; what fails is looked at again then.
    machine: where models run whose family names none.
    """

    def __init__(self, directory: Directory, channel: Channel, presence: Presence, machine: str) -> None:
        self._directory = directory
        self._families = FamilyServiceClient(channel)
        self._gpu = GpuServiceClient(channel)
        self._presence = presence
        self._machine = machine
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._directory.on_told.append(self._look)
        self._look()

    async def stop(self) -> None:
        """Look no longer."""
        self._directory.on_told.remove(self._look)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _look(self) -> None:
        busy = self._task is not None and not self._task.done()
        if not busy and self._presence.routes(GpuService.INFO.name) and self._directory.unsure():
            self._task = detached(self._look_once(), name="which defaults fit")

    async def _look_once(self) -> None:
        for family, model in self._directory.unsure():
            try:
                fits = await self._fits(family, model)
            except RpcError as error:
                log.info("default.unsure", model=model.name, error=error.message)
                continue
            if fits is not None:
                self._directory.fits(family, model, fits=fits)
                log.info("default.looked", model=model.name, family=family, fits=fits)

    async def _fits(self, family: str, model: Model) -> bool | None:
        """None: its machine has no stage that says so now."""
        asked = DescribeModelRequest(family=family, model=model.name)
        answer = await self._families.describe_model(asked, timeout=DESCRIBE_SECONDS)
        machine = answer.machine or self._machine
        if not answer.needs.weights_bytes or not self._presence.serving(GpuService.INFO.name, machine):
            return None
        request = WatchRequest(machine=machine, once=True)
        async for picture in self._gpu.watch(request, timeout=WATCH_SECONDS):
            if picture.devices:
                return fits_ever(work_of(family, model.name, answer.needs), picture.devices)
        return None


def fits_ever(work: Work, devices: Sequence[Device]) -> bool:
    """Whether the first choice of the work is below the caps, if nobody else had anything of them.

    A fixed device gives the largest share, others what is asked of their kind.
    """
    first = work.variants[0]
    asked = {size.kind: size.bytes for size in first.sizes if size.bytes}
    caps: dict[DeviceKind, list[int]] = {}
    for device in devices:
        caps.setdefault(device.kind, []).append(device.cap_bytes)
    if max(asked.values(), default=0) <= max(caps.get(DeviceKind.DEVICE_KIND_FIXED, []), default=-1):
        return True
    return all(_has(sorted(caps.get(kind, []), reverse=True), size, first.spread) for kind, size in asked.items())


def _has(caps: Sequence[int], size: int, spread: bool) -> bool:
    """Whether one of these has room for it, or several for equal parts."""
    most = len(caps) if spread else 1
    return any(len(caps) >= count and caps[count - 1] * count >= size for count in range(1, most + 1))
