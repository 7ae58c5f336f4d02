"""Takes leases of a machine's memory for a process, and keeps them whatever becomes of the stage meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from actors.model.lease import Lease, own_holder
from actors.model.stage_watch import StageWatch, machine_of
from bus.behalf import Behalf
from bus.context import detached
from bus.priority import Priority
from host.member import Member
from troupe.gpu.v1 import GpuServiceClient, Holder, Revoke, Work
from troupe.rpc.v1 import Progress

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
        self._holder = holder if holder is not None else own_holder()
        self._client = GpuServiceClient(member.channel)
        self._watch = StageWatch(member.settings, member.presence, self.machine)

    @asynccontextmanager
    async def lease(
        self,
        work: Work,
        *,
        tell: Callable[[Progress], None] = lambda _: None,
        on_revoke: Callable[[Revoke], None] = lambda _: None,
        on_welcome: Callable[[], None] = lambda: None,
        priority: Priority | None = None,
        replica: bool = False,
    ) -> AsyncIterator[Lease]:
        """Memory for this work, from when it is granted until the block is left, when all has to be given back.

        Entering waits for the grant. tell: hears what is waited for. on_revoke: hears that the memory has to be given
        back, perhaps twice. on_welcome: hears that another process of this work may be started. priority: how urgent it
        is; None: as interactive work. replica: another process serves this work already, whose calls this one would
        share. In a hub without a stage nothing is waited for, and the lease has no shares. Raises RpcError
        INSUFFICIENT_MEMORY, QUARANTINED and REPLICA_NOT_WANTED (RESOURCE_EXHAUSTED) as the stage tells them, and
        STAGE_UNAVAILABLE (UNAVAILABLE) where it stays away. Cancelled, it takes nothing.
        """
        lease = Lease(
            self._client,
            self.machine,
            work,
            self._holder,
            tell=tell,
            on_revoke=on_revoke,
            on_welcome=on_welcome,
            replica=replica,
        )
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
        """Whether memory is to be asked for at all; see `StageWatch`."""
        return await self._watch.has_stage()
