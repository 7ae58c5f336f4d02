"""One lease as its holder has it: what it says to the stage, and says again to the one that comes after it.

What a holder has to say is kept as its state, not as messages: a call that begins anew claims with all of it, and only
what changes later is sent.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from bus import Code, RpcError
from troupe.gpu.v1 import (
    Ask,
    Claim,
    GpuServiceClient,
    Grow,
    Holder,
    LeaseRequest,
    LeaseResponse,
    Loaded,
    OutOfMemory,
    Revoke,
    Share,
    Use,
    Work,
)
from troupe.rpc.v1 import Progress

USE_SECONDS = 1.0
"""Between two words of how the work is used; that it begins to be used is told at once."""

AWAY_SECONDS = 60.0
"""How long a stage that is away is waited for by who has nothing yet."""

FIRST_AGAIN_SECONDS = 0.05
LONGEST_AGAIN_SECONDS = 1.0
"""Until a call that was lost is begun anew."""

FINAL = frozenset({Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.UNIMPLEMENTED})
"""With these codes the stage says no; others tell that it could not be asked."""

log = structlog.get_logger(__name__)


class Lease:
    """Made by `Lessor.lease`. Its methods never wait, but for `grow`."""

    def __init__(
        self,
        client: GpuServiceClient,
        machine: str,
        work: Work,
        holder: Holder,
        *,
        tell: Callable[[Progress], None],
        on_revoke: Callable[[Revoke], None],
        on_welcome: Callable[[], None] = lambda: None,
        replica: bool = False,
    ) -> None:
        self.shares: dict[str, int] = {}
        """What was granted, in bytes by device; empty: there is no stage, or not yet."""
        self.granted = asyncio.Event()
        self._client = client
        self._machine = machine
        self._work = work
        self._tell = tell
        self._on_revoke = on_revoke
        self._on_welcome = on_welcome
        self._replica = replica
        self._name = secrets.token_hex(16)
        self._holder = holder
        self._measured: dict[str, int] | None = None
        self._use = Use()
        self._growing: dict[str, int] | None = None
        self._grown: asyncio.Future[bool] | None = None
        self._out_of_memory = False
        self._closing = asyncio.Event()
        self._dirty = asyncio.Event()
        self._said_loaded = False
        self._said_use = Use()
        self._said_use_at = float("-inf")
        self._said_growing = False

    def loaded(self, measured: Mapping[str, int] | None = None) -> None:
        """The work is ready. measured: what it takes, in bytes by device, where this process can tell."""
        self._measured = dict(measured or {})
        self._dirty.set()

    def used(self, running: int, waiting: int = 0, begun: int = 0) -> None:
        """How it is used now: calls that run and wait in it, and how many have begun since it was loaded."""
        self._use = Use(running=running, waiting=waiting, begun=begun)
        if self._use != self._said_use:
            self._dirty.set()

    def out_of_memory(self) -> None:
        """What was granted was not worth its memory. Leave the block soon."""
        self._out_of_memory = True
        self._dirty.set()

    async def grow(self, more: Mapping[str, int]) -> bool:
        """Ask for so much more, in bytes by device; all of it is given, or nothing. One at a time.

        Where there is no stage it is allowed. Cancelled, it may be given nevertheless.
        """
        if not self.granted.is_set():
            return True
        self._growing, self._said_growing = dict(more), False
        self._grown = asyncio.get_running_loop().create_future()
        self._dirty.set()
        return await self._grown

    def close(self) -> None:
        """All has been given back: `keep` ends."""
        self._closing.set()
        self._dirty.set()

    async def keep(self) -> None:
        """Hold the lease until `close`, and until the stage has heard of that.

        Raises RpcError where it is refused, or the stage stays away before a grant.
        """
        loop = asyncio.get_running_loop()
        lost, pause = loop.time(), FIRST_AGAIN_SECONDS
        while self.shares or not self._closing.is_set():
            heard = False
            try:
                async with self._client.lease(self._requests()) as responses:
                    async for response in responses:
                        heard = True
                        self._take(response)
                if self._closing.is_set():
                    return
                raise RpcError(Code.UNAVAILABLE, "The stage has ended the call.")
            except RpcError as error:
                if heard:
                    lost, pause = loop.time(), FIRST_AGAIN_SECONDS
                self._check(error, loop.time() - lost)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await (asyncio.sleep(pause) if self._closing.is_set() else self._closing.wait())
            pause = min(LONGEST_AGAIN_SECONDS, 2 * pause)

    def _check(self, error: RpcError, away: float) -> None:
        """Whether to call again: raises RpcError where that is vain."""
        if error.reason == "LEASE_TAKEN" and not self.shares:
            self._name = secrets.token_hex(16)
        elif not self.shares and error.code in FINAL:
            raise error
        elif not self.shares and away > AWAY_SECONDS:
            message = f"The stage has not answered for {away:.0f} s: {error.message} `troupe status` tells how it is."
            raise RpcError(Code.UNAVAILABLE, message, reason="STAGE_UNAVAILABLE", retry_after=10.0) from error
        log.info("lease.again", work=self._work.name, error=error.message, granted=bool(self.shares))
        if not self.shares:
            note = "The memory's keeper is being started again."
            self._tell(Progress(state=Progress.STATE_QUEUED, note=note))

    # ---- what is said

    async def _requests(self) -> AsyncIterator[LeaseRequest]:
        yield self._first()
        while True:
            self._dirty.clear()
            for request in self._unsaid():
                yield request
            if self._closing.is_set():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._use_due()):
                    await self._dirty.wait()

    def _first(self) -> LeaseRequest:
        """Begins a call: with what is so now, as far as the stage need know."""
        self._said_growing = False
        self._said_use, self._said_use_at = Use(), float("-inf")
        if not self.shares:
            ask = Ask(work=self._work, lease=self._name, holder=self._holder, replica=self._replica)
            return LeaseRequest(machine=self._machine, ask=ask)
        self._said_loaded = self._measured is not None
        self._noted()
        claim = Claim(
            work=self._work,
            shares=_shares(self.shares),
            loaded=self._said_loaded,
            lease=self._name,
            holder=self._holder,
            use=self._use,
        )
        return LeaseRequest(machine=self._machine, claim=claim)

    def _unsaid(self) -> Iterator[LeaseRequest]:
        if not self.shares:
            return
        if self._measured is not None and not self._said_loaded:
            self._said_loaded = True
            yield LeaseRequest(loaded=Loaded(measured=_shares(self._measured)))
        due = self._use_due()
        if due is not None and due <= 0:
            self._noted()
            yield LeaseRequest(use=self._use)
        if self._growing is not None and not self._said_growing:
            self._said_growing = True
            yield LeaseRequest(grow=Grow(more=_shares(self._growing)))
        if self._out_of_memory:
            self._out_of_memory = False
            yield LeaseRequest(out_of_memory=OutOfMemory())

    def _noted(self) -> None:
        self._said_use, self._said_use_at = self._use, asyncio.get_running_loop().time()

    def _use_due(self) -> float | None:
        """Seconds until the stage is to hear how it is used now; None: it knows."""
        if not self.shares or self._use == self._said_use:
            return None
        if _busy(self._use) and not _busy(self._said_use):
            return 0.0
        return max(0.0, self._said_use_at + USE_SECONDS - asyncio.get_running_loop().time())

    # ---- what is heard

    def _take(self, response: LeaseResponse) -> None:
        match response.WhichOneof("step"):
            case "granted":
                self.shares = {share.device: share.bytes for share in response.granted.shares}
                self.granted.set()
                self._dirty.set()
            case "revoke":
                self._on_revoke(response.revoke)
            case "welcome":
                self._on_welcome()
            case "grown":
                self._grow(allowed=response.grown.allowed)
        if response.HasField("progress"):
            self._tell(response.progress)

    def _grow(self, *, allowed: bool) -> None:
        more, self._growing = self._growing or {}, None
        if allowed:
            for device, size in more.items():
                self.shares[device] = self.shares.get(device, 0) + size
        if self._grown is not None and not self._grown.done():
            self._grown.set_result(allowed)


def _busy(use: Use) -> bool:
    return bool(use.running or use.waiting)


def _shares(shares: Mapping[str, int]) -> list[Share]:
    return [Share(device=device, bytes=size) for device, size in shares.items()]


def own_holder() -> Holder:
    """This process, as the system knows it."""
    return holder_of(os.getpid())


def holder_of(pid: int) -> Holder:
    """A process of this one's place, as a child, as the system knows it."""
    try:
        return Holder(pid=pid, pid_namespace=str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        return Holder(pid=pid)
