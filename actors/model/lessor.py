"""Takes leases of a machine's memory for a process, and keeps them whatever becomes of the stage meanwhile."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from actors.model.lease import Lease, own_holder
from bus.behalf import Behalf
from bus.context import detached
from bus.priority import Priority
from host.member import Member
from host.settings import SUPERVISED, Settings
from troupe.gpu.v1 import GpuService, GpuServiceClient, Holder, Revoke, Work
from troupe.rpc.v1 import Progress

ACTOR = "gpu"
"""Who serves the stage, by its name in the registry."""

HEAR_SECONDS = 1.5
"""Who has listened for so long has heard everybody who lives."""

LOOK_SECONDS = 0.1

LEAVE_SECONDS = 2.0
"""For the word that a lease has ended; after it the stage sees by itself that its holder is gone."""

log = structlog.get_logger(__name__)


class Lessor:
    """The way of one process to the stage of one machine.

    member: the process. machine: whose stage; that of the settings unless given. holder: the process that uses the
    memory, this one unless given; the empty one is none that the stage could look at.
    """

    def __init__(self, member: Member, machine: str = "", *, holder: Holder | None = None) -> None:
        self.machine = machine or machine_of(member.settings)
        self._member = member
        self._holder = holder if holder is not None else own_holder()
        self._client = GpuServiceClient(member.channel)
        self._began = asyncio.get_running_loop().time()

    @asynccontextmanager
    async def lease(
        self,
        work: Work,
        *,
        tell: Callable[[Progress], None] = lambda _: None,
        on_revoke: Callable[[Revoke], None] = lambda _: None,
        priority: Priority | None = None,
    ) -> AsyncIterator[Lease]:
        """Memory for this work, from when it is granted until the block is left, when all has to be given back.

        Entering waits for the grant. tell: hears what is waited for. on_revoke: hears that the memory has to be given
        back, perhaps twice. priority: how urgent it is; None: as interactive work. In a hub without a stage nothing is
        waited for, and the lease has no shares. Raises RpcError INSUFFICIENT_MEMORY and QUARANTINED
        (RESOURCE_EXHAUSTED) as the stage tells them, and STAGE_UNAVAILABLE (UNAVAILABLE) where it stays away.
        Cancelled, it takes nothing.
        """
        lease = Lease(self._client, self.machine, work, self._holder, tell=tell, on_revoke=on_revoke)
        if not await self.has_stage():
            yield lease
            return
        keeping = detached(lease.keep(), name=f"lease of {work.name}", behalf=Behalf(priority=priority))
        try:
            granted = asyncio.ensure_future(lease.granted.wait())
            try:
                await asyncio.wait([granted, keeping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                granted.cancel()
            if keeping.done():
                await keeping
            yield lease
        finally:
            lease.close()
            await asyncio.wait([keeping], timeout=LEAVE_SECONDS)
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def has_stage(self) -> bool:
        """Whether memory is to be asked for in this hub, be the stage there now or away for the moment.

        A supervisor's settings say which actors run. Without one, whoever was heard decides, within HEAR_SECONDS of
        this lessor's start.
        """
        method = GpuService.INFO.methods["Lease"]
        loop = asyncio.get_running_loop()
        while True:
            expected = self._member.channel.outlook(method, self.machine) if self._member.channel.outlook else None
            if expected:
                return True
            if os.environ.get(SUPERVISED):
                wanted = self._member.settings.supervisor.actors
                return not wanted or ACTOR in wanted
            if loop.time() - self._began >= HEAR_SECONDS:
                return False
            await asyncio.sleep(LOOK_SECONDS)


def machine_of(settings: Settings) -> str:
    """The name of this hub's machine, as the section [actors.gpu] has it."""
    return str(settings.actors.get(ACTOR, {}).get("machine", "local"))
