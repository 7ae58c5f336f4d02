"""Leases and those who hold them: asked for, claimed again after a restart, used, given back, or left behind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import suppress

import structlog

from actors.gpu.book import Book
from actors.gpu.counts import Counts
from actors.gpu.mailbox import Addressed, Mailbox
from actors.gpu.measuring import Measuring
from actors.gpu.spelling import lease_id, progress, refusal, share_messages, shares_of
from actors.gpu.stage import Stage
from actors.gpu.tenure import MAX_TENURES, Tenure, Tenures, kept, known
from actors.gpu.words import (
    Asked,
    Claimed,
    Granted,
    GrowAsked,
    Grown,
    Kind,
    Loaded,
    OutOfMemory,
    Overdue,
    Refused,
    Released,
    Revoke,
    Told,
    Used,
    Verified,
    Welcome,
)
from bus import Code, Context, RpcError, invalid
from bus.context import duration
from host.liveness import Change, Lost, Presence
from troupe.gpu import v1

HEAR_SECONDS = 1.5
"""By then every process that lives was heard; who holds a lease and was not has ended."""

CLAIM_SECONDS = 10.0
"""A process that lives and does not claim its lease within this time after a start holds it no more."""

log = structlog.get_logger(__name__)


class Leasing:
    """Serves the calls of holders. `adopt`, then `start`; `leave` and `stop` keep what is held."""

    def __init__(
        self, stage: Stage, tenures: Tenures, measuring: Measuring, book: Book, presence: Presence, counts: Counts
    ) -> None:
        self._stage = stage
        self._tenures = tenures
        self._measuring = measuring
        self._book = book
        self._presence = presence
        self._counts = counts
        self._unclaimed: set[str] = set()
        self._growing: dict[str, Mapping[str, int]] = {}
        self._leaving = False
        self._task: asyncio.Task[None] | None = None

    def adopt(self, records: Mapping[str, v1.LeaseRecord]) -> None:
        """Leases of an earlier service are taken over as they are, and are busy until their holders have spoken."""
        for lease, record in records.items():
            try:
                tenure = kept(lease, record)
            except RpcError as error:
                log.warning("lease.unreadable", lease=lease, error=error.message)
                self._book.ended(lease)
                continue
            if tenure.gone():  # the machine's own word; no need to wait for who may claim it
                log.info("lease.lost", lease=lease, work=tenure.work.name, why="its process has ended meanwhile")
                self._book.ended(lease)
                continue
            self._tenures.add(tenure)
            self._unclaimed.add(lease)
            self._stage.tell(
                Claimed(lease, tenure.process, tenure.work, tenure.shares, tenure.loaded), Used(lease, running=1)
            )

    def start(self) -> None:
        """Hear who is lost, and wait for those who were adopted."""
        self._presence.subscribe(self._noticed)
        self._task = asyncio.create_task(self._await_claims(), name="claims")

    def leave(self) -> None:
        """From now on whoever leaves keeps what they have."""
        self._leaving = True

    async def stop(self) -> None:
        """Wait for nobody any more."""
        self.leave()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def serve(self, requests: AsyncIterator[v1.LeaseRequest], ctx: Context) -> AsyncIterator[v1.LeaseResponse]:
        """One call of a holder. Cancelled, the lease has ended without a word: its memory is free once seen so."""
        first = await anext(aiter(requests), v1.LeaseRequest())
        if first.WhichOneof("step") not in ("ask", "claim"):
            raise invalid("The first request of a lease is its ask or its claim.", "step")
        await self._measuring.fresh()
        tenure, mailbox = self._enter(first, ctx)
        hearing = asyncio.create_task(self._hear(tenure, mailbox, requests), name=f"lease {tenure.lease}")
        orderly = False
        try:
            async for effect in mailbox:
                yield await self._answer(tenure, effect)
            orderly = True
        except RpcError as error:
            orderly = not tenure.granted or error.reason == "INSUFFICIENT_MEMORY"
            raise
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            if self._stage.leave(tenure.lease, mailbox):
                self._leave(tenure, orderly=orderly)

    # ---- begin

    def _enter(self, first: v1.LeaseRequest, ctx: Context) -> tuple[Tenure, Mailbox]:
        said = first.ask if first.HasField("ask") else first.claim
        lease = lease_id(said.lease)
        before = self._tenures.get(lease)
        if before is not None and before.left is not None and first.HasField("claim") and before.process == ctx.peer:
            # Its call was taken for lost, and it still has what it had.
            self._stage.tell(Verified(lease))
            self._tenures.drop(lease)
            before = None
        if before is not None and (before.process != ctx.peer or before.left is not None):
            message = f"The lease {lease} is another process's, or has ended; make up a new name."
            raise RpcError(Code.ALREADY_EXISTS, message, reason="LEASE_TAKEN", field="lease")
        if before is None and len(self._tenures) >= MAX_TENURES:
            raise RpcError(Code.RESOURCE_EXHAUSTED, f"There are {MAX_TENURES:,} leases.", reason="TOO_MANY_LEASES")
        tenure = before or known(lease, ctx.peer, said.work, said.holder)
        claimed = {} if first.HasField("ask") else shares_of(first.claim.shares)
        mailbox = self._stage.attend(lease, ctx.priority)
        self._tenures.add(tenure)
        self._unclaimed.discard(lease)
        if before is None:
            self._begin(tenure, claimed, first, ctx)
        elif before.granted:
            self._go_on(before, first, mailbox)
        return tenure, mailbox

    def _begin(self, tenure: Tenure, claimed: dict[str, int], first: v1.LeaseRequest, ctx: Context) -> None:
        lease, process = tenure.lease, tenure.process
        if not claimed:
            replica = first.ask.replica
            self._stage.tell(Asked(lease, process, tenure.work, ctx.priority, ctx.principal, replica))
            return
        tenure.shares, tenure.loaded = claimed, first.claim.loaded
        self._stage.tell(Claimed(lease, process, tenure.work, claimed, tenure.loaded), _used(lease, first.claim.use))

    def _go_on(self, tenure: Tenure, first: v1.LeaseRequest, mailbox: Mailbox) -> None:
        """Its holder calls again: after a restart of this service, or because its first call was interrupted."""
        if first.HasField("ask"):
            mailbox.put(Granted(tenure.lease, tenure.shares))
            self._stage.tell(Used(tenure.lease, running=0))
            return
        if first.claim.loaded and not tenure.loaded:
            tenure.loaded = True
            self._stage.tell(Loaded(tenure.lease))
        self._stage.tell(_used(tenure.lease, first.claim.use))

    # ---- what a holder says

    async def _hear(self, tenure: Tenure, mailbox: Mailbox, requests: AsyncIterator[v1.LeaseRequest]) -> None:
        try:
            async for request in requests:
                await self._heard(tenure, request)
        except RpcError as error:
            mailbox.fail(error)
        else:
            mailbox.close()

    async def _heard(self, tenure: Tenure, request: v1.LeaseRequest) -> None:
        lease, step = tenure.lease, request.WhichOneof("step")
        if step != "out_of_memory" and not tenure.granted:
            raise invalid("A lease that was not granted yet is asked for, and nothing else.", "step")
        match step:
            case "loaded":
                await self._loaded(tenure, shares_of(request.loaded.measured))
            case "use":
                self._stage.tell(_used(lease, request.use))
            case "grow":
                if lease in self._growing:
                    raise invalid("One Grow is asked for at a time.", "grow")
                self._growing[lease] = shares_of(request.grow.more)
                self._stage.tell(GrowAsked(lease, self._growing[lease]))
            case "out_of_memory":
                self._stage.tell(OutOfMemory(lease))
            case _:
                raise invalid("A lease begins once; then it is loaded, used, grows, or fails.", "step")

    async def _loaded(self, tenure: Tenure, measured: dict[str, int]) -> None:
        """What the holder cannot tell is measured here, where all that its process has is this lease's."""
        if not measured and tenure.pid and self._tenures.alone(tenure):
            await self._measuring.look()
            for device in tenure.shares:
                reading = self._measuring.readings.get(device)
                size = (reading.held or {}).get(tenure.pid) if reading is not None else None
                if reading is not None and size is not None:
                    # Main memory is taken as it is touched: what it was granted may still come.
                    least = tenure.shares[device] if reading.kind is Kind.SYSTEM else 0
                    measured[device] = max(least, size.whole)
        self._counts.loads += not tenure.loaded
        tenure.loaded = True
        tenure.shares |= {device: size for device, size in measured.items() if size}
        self._stage.tell(Loaded(tenure.lease, measured))
        await self._book.granted(tenure.lease, tenure.record(tenure.shares))

    # ---- what a holder hears

    async def _answer(self, tenure: Tenure, effect: Addressed) -> v1.LeaseResponse:
        match effect:
            case Told():
                return v1.LeaseResponse(progress=progress(effect))
            case Granted(shares=shares):
                tenure.kept = True
                await self._book.granted(tenure.lease, tenure.record(shares))
                tenure.shares = dict(shares)
                return v1.LeaseResponse(granted=v1.Grant(shares=share_messages(shares)))
            case Grown(allowed=allowed):
                more = self._growing.pop(tenure.lease, {})
                if allowed:
                    grown = {**tenure.shares}
                    for device, size in more.items():
                        grown[device] = grown.get(device, 0) + size
                    await self._book.granted(tenure.lease, tenure.record(grown))
                    tenure.shares = grown
                return v1.LeaseResponse(grown=v1.Grown(allowed=allowed))
            case Revoke(seconds=seconds, reason=reason):
                tenure.revoked = True
                return v1.LeaseResponse(revoke=v1.Revoke(within=duration(seconds), reason=reason))
            case Welcome(seconds=seconds):
                return v1.LeaseResponse(welcome=v1.Welcome(within=duration(seconds)))
            case Refused():
                raise refusal(effect)
        raise AssertionError(effect)

    # ---- end

    def _leave(self, tenure: Tenure, *, orderly: bool) -> None:
        """The call of its holder has ended. Where this service ends, the lease does not."""
        if self._leaving or tenure.left is not None or self._tenures.get(tenure.lease) is not tenure:
            return
        self._growing.pop(tenure.lease, None)
        self._unclaimed.discard(tenure.lease)
        if not tenure.granted:
            if tenure.kept:  # its grant was being written down
                self._book.ended(tenure.lease)
            self._tenures.drop(tenure.lease)
            self._stage.tell(Released(tenure.lease, verified=True))
            return
        self._counts.evictions += tenure.revoked
        if orderly:  # a service that comes now finds by its first look what is still used
            self._book.ended(tenure.lease)
        tenure.left, tenure.orderly = asyncio.get_running_loop().time(), orderly
        self._stage.tell(Released(tenure.lease))
        self._measuring.poke()

    def _noticed(self, change: Change) -> None:
        if isinstance(change, Lost):
            for tenure in self._tenures:
                if tenure.process == change.seen.process:
                    self._lose(tenure, "its process has ended")

    def _lose(self, tenure: Tenure, why: str) -> None:
        if tenure.left is None:
            log.info("lease.lost", lease=tenure.lease, work=tenure.work.name, process=tenure.process, why=why)
        mailbox = self._stage.mailbox(tenure.lease)
        self._stage.leave(tenure.lease)
        self._leave(tenure, orderly=False)
        if mailbox is not None:
            mailbox.fail(RpcError(Code.ABORTED, f"The lease has ended: {why}.", reason="LEASE_LOST"))

    async def _await_claims(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(HEAR_SECONDS)
        self._drop_unclaimed("its process was not heard", spared=self._presence.processes)
        await asyncio.sleep(max(0.0, began + CLAIM_SECONDS - loop.time()))
        self._drop_unclaimed("its process lives and has not claimed it", spared=())

    def _drop_unclaimed(self, why: str, spared: Collection[str]) -> None:
        for lease in list(self._unclaimed):
            tenure = self._tenures.get(lease)
            if tenure is None:
                self._unclaimed.discard(lease)
            elif tenure.process not in spared:
                self._lose(tenure, why)

    def overdue(self, overdue: Overdue) -> None:
        """A holder does not leave: end its process; one that cannot be ended from here loses its lease."""
        tenure = self._tenures.get(overdue.lease)
        if tenure is None or tenure.left is not None:
            return
        if tenure.pid and not tenure.ended() and tenure.pid not in (1, os.getpid()):
            log.warning("holder.killed", lease=tenure.lease, work=tenure.work.name, pid=tenure.pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(tenure.pid, signal.SIGKILL)
        self._lose(tenure, "it was revoked and not given back in time")


def _used(lease: str, use: v1.Use) -> Used:
    return Used(lease, use.running, use.waiting, use.begun)
