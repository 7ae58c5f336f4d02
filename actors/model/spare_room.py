"""Whether main memory has room for a process that nobody has asked for, as the stage sees it."""

from actors.model.stage_watch import StageWatch, machine_of
from bus import RpcError
from host.member import Member
from troupe.gpu.v1 import DeviceKind, GpuServiceClient, WatchRequest

ASK_SECONDS = 2.0
UNBOUNDED = 1 << 62


class SpareRoom:
    """member: the process that asks. Made while it begins to listen, as `StageWatch`."""

    def __init__(self, member: Member) -> None:
        self._machine = machine_of(member.settings)
        self._client = GpuServiceClient(member.channel)
        self._watch = StageWatch(member.settings, member.presence, self._machine)

    async def bytes(self) -> int | None:
        """Bytes of main memory below the cap that nobody has; 0: somebody waits for what others use; None: not known.

        A hub without a stage, or whose stage has no main memory, sets no bound.
        """
        if not await self._watch.has_stage():
            return UNBOUNDED
        try:
            request = WatchRequest(machine=self._machine, once=True)
            async for seen in self._client.watch(request, timeout=ASK_SECONDS):
                if any(wish.others for wish in seen.wishes):
                    return 0
                main = [each for each in seen.devices if each.kind == DeviceKind.DEVICE_KIND_SYSTEM]
                left = (d.cap_bytes - d.leased_bytes - d.others_bytes - d.unverified_bytes for d in main)
                return max(1, min(left, default=UNBOUNDED))
        except RpcError:
            return None
        return None
