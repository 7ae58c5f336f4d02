"""The only owner of device memory: serves GpuService for one machine.

What is decided is in actors/gpu/scheduler.py; here happenings are told to it and its effects are done. A lease is in a
table before its holder hears of it, so that the service that comes after this one counts it from its first moment.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

import structlog

from actors.gpu.accounts import Accounts
from actors.gpu.book import Book
from actors.gpu.counts import Counts
from actors.gpu.devices import DeviceSource, found
from actors.gpu.leasing import Leasing
from actors.gpu.measuring import Measuring
from actors.gpu.picture import picture
from actors.gpu.record import Record
from actors.gpu.scheduler import Scheduler
from actors.gpu.settings import GpuSettings
from actors.gpu.snapshot import Snapshot
from actors.gpu.spelling import progress, refusal, share_messages, size_messages, work_of
from actors.gpu.stage import Stage
from actors.gpu.stage_metrics import StageMetrics
from actors.gpu.tenure import Tenures
from actors.gpu.words import Demanded, DemandEnded, Kind, Overdue, Pinned, Placed, Refused, Told
from bus import Code, Context, RpcError, ServiceInfo, invalid
from host.member import Member
from store import Events, Tables
from troupe.gpu.v1 import (
    DemandRequest,
    DemandResponse,
    GpuService,
    LeaseRequest,
    LeaseResponse,
    PinRequest,
    PinResponse,
    Recalled,
    RecallRequest,
    RecallResponse,
    WatchRequest,
    WatchResponse,
)

WATCH_SECONDS = 0.2
"""Between two answers of one Watch; what happens meanwhile is joined."""

MAX_NAME = 200
MAX_KEYS = 100
"""Of work, whose sizes are asked for at once."""
MAX_MACHINES = 100
"""Of one bus that are told."""

log = structlog.get_logger(__name__)


class GpuActor(GpuService):
    """One per machine. sources: of the devices, instead of those that the settings name or the machine has."""

    def __init__(
        self,
        settings: GpuSettings,
        member: Member,
        table: Tables,
        events: Events,
        *,
        sources: Sequence[DeviceSource] | None = None,
    ) -> None:
        self._settings = settings
        self._member = member
        self._given = sources
        self._book = Book(settings.machine, table, events)
        self._record = Record()
        self._counts = Counts()
        self._tenures = Tenures()
        self._watchers = 0
        self._leaving = False
        self._opened = False
        self._stage: Stage
        self._scheduler: Scheduler
        self._measuring: Measuring
        self._leases: Leasing

    def routes(self, service: ServiceInfo) -> list[str]:
        """Served under the machine's name."""
        return [self._settings.machine]

    def trouble(self) -> str:
        """Devices that do not answer, and what else is not right, in sentences; empty: nothing."""
        if not self._opened:  # beats begin before the start
            return ""
        return " ".join(filter(None, [self._stage.failure, self._measuring.failure, *self._measuring.lost.values()]))

    async def start(self) -> None:
        """Find the devices and those who hold leases of an earlier service. Raises RpcError STORE_UNAVAILABLE."""
        kept = await self._book.open()
        self._record.written = self._book.decided
        most, beside = self._settings.replicas, self._settings.replicas_on_processors
        replicas = {Kind.NVIDIA: most, Kind.FIXED: most, Kind.SYSTEM: beside}
        self._scheduler = Scheduler(self._book.remembered(), replicas)
        self._stage = Stage(
            self._scheduler,
            self._record,
            self._counts,
            on_overdue=self._overdue,
            on_measured=self._book.measured,
        )
        sources = self._given if self._given is not None else await asyncio.to_thread(found, self._settings.devices)
        self._measuring = Measuring(
            sources,
            Accounts(self._settings.cap),
            self._stage,
            self._tenures,
            freed=lambda tenure: self._book.ended(tenure.lease),
            active=self._active,
        )
        presence = self._member.presence
        self._leases = Leasing(self._stage, self._tenures, self._measuring, self._book, presence, self._counts)
        self._opened = True
        # Before the first look, so that what they use is not taken for others'.
        self._leases.adopt(kept)
        await self._measuring.start()
        self._leases.start()
        metrics = StageMetrics(self._snapshot, self._measuring.readings, self._counts)
        self._member.metrics.collect(metrics.families)
        log.info("stage.open", machine=self._settings.machine, devices=list(self._measuring.readings), kept=len(kept))

    def leave(self) -> None:
        """End the calls that would last as long as their callers: holders keep what they have, and claim it again."""
        self._leaving = True
        self._leases.leave()
        for mailbox in self._stage.mailboxes():
            mailbox.fail(_restarts())
        self._stage.close()

    async def stop(self) -> None:
        """Let go of everything but the leases."""
        if not self._opened:
            await self._book.close()
            return
        self.leave()
        await self._leases.stop()
        await self._measuring.stop()
        await self._book.close()

    async def demand(self, request: DemandRequest, ctx: Context) -> AsyncIterator[DemandResponse]:
        """See the contract."""
        self._check_open()
        work = work_of(request.work)
        name = f"{ctx.call_id}:demand"  # no lease has such a name
        mailbox = self._stage.attend(name, ctx.priority)
        ended = False
        try:
            await self._measuring.fresh()
            self._stage.tell(Demanded(name, work, ctx.priority, ctx.principal))
            async for effect in mailbox:
                if isinstance(effect, Told):
                    yield DemandResponse(progress=progress(effect))
                elif isinstance(effect, Placed):
                    yield DemandResponse(placed=share_messages(effect.shares))
                elif isinstance(effect, Refused):
                    ended = True
                    raise refusal(effect)
        finally:
            self._stage.leave(name, mailbox)
            if not ended and not self._leaving:
                self._stage.tell(DemandEnded(name))

    async def lease(self, requests: AsyncIterator[LeaseRequest], ctx: Context) -> AsyncIterator[LeaseResponse]:
        """See the contract."""
        self._check_open()
        async for response in self._leases.serve(requests, ctx):
            yield response

    async def pin(self, request: PinRequest, ctx: Context) -> PinResponse:
        """See the contract."""
        self._check_open()
        if not 1 <= len(request.name) <= MAX_NAME:
            raise invalid(f"name is 1 to {MAX_NAME} characters long.", "name")
        self._stage.tell(Pinned(request.name, request.pinned))
        return PinResponse()

    async def recall(self, request: RecallRequest, ctx: Context) -> RecallResponse:
        """See the contract."""
        self._check_open()
        if len(request.keys) > MAX_KEYS:
            raise invalid(f"keys are {len(request.keys)}; at most {MAX_KEYS} can be asked for.", "keys")
        sizes = [size_messages(self._book.recalled(key)) for key in request.keys]
        return RecallResponse(recalled=[Recalled(sizes=each) for each in sizes])

    async def watch(self, request: WatchRequest, ctx: Context) -> AsyncIterator[WatchResponse]:
        """See the contract."""
        self._check_open()
        number = self._record.first()
        self._watchers += 1
        self._measuring.poke()
        try:
            while not self._leaving:
                changed = asyncio.ensure_future(self._stage.changed())
                try:
                    decisions, number = self._record.after(number)
                    shown = picture(self._snapshot(), self._stage.clock(), self._measuring.readings, decisions)
                    shown.machines.extend(self._machines())
                    yield shown
                    if request.once:
                        return
                    await asyncio.sleep(WATCH_SECONDS)
                    await changed
                finally:
                    changed.cancel()
            raise _restarts()
        finally:
            self._watchers -= 1

    def _machines(self) -> list[str]:
        heard = self._member.presence.routes(GpuService.INFO.name)
        return sorted({self._settings.machine, *heard})[:MAX_MACHINES]

    def _snapshot(self) -> Snapshot:
        return self._scheduler.snapshot(self._stage.clock())

    def _overdue(self, overdue: Overdue) -> None:
        self._leases.overdue(overdue)

    def _active(self) -> bool:
        return bool(len(self._tenures) or self._watchers or self._stage.mailboxes())

    def _check_open(self) -> None:
        if self._leaving:
            raise _restarts()


def _restarts() -> RpcError:
    message = "The stage is being started again; what was granted stays granted. Ask again in a moment."
    return RpcError(Code.UNAVAILABLE, message, reason="STAGE_RESTARTS", retry_after=0.2)
