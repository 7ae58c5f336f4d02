"""The lease of a model's process: from before it loads until it has freed everything."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from actors.model.lease import Lease
from actors.model.lessor import Lessor
from actors.model.needs import work_of
from actors.model.refusals import INSUFFICIENT_MEMORY, revoked
from bus import RpcError
from host.member import Member
from troupe.family.v1 import DescribeModelRequest, FamilyServiceClient, Measured
from troupe.gpu.v1 import DeviceKind, Revoke, Work
from troupe.model.v1 import ModelState
from troupe.rpc.v1 import Progress

SHOWN = 3
"""Ways to take less that an error names; all are in its metadata."""

ASK_SECONDS = 30.0
"""How long the family may take to say what its model needs; the first time on a machine it measures."""


class Memory:
    """tell: hears what is waited for.

    leave: hears, perhaps twice, that the model has to end, why, and after how many seconds it is killed.
    work: what is asked for; None: what the family says that its model needs. welcome: hears that another process of
    this model may be started.
    """

    def __init__(
        self,
        member: Member,
        family: str,
        name: str,
        tell: Callable[[Progress], None],
        leave: Callable[[RpcError, float], None],
        work: Work | None = None,
        welcome: Callable[[], None] = lambda: None,
    ) -> None:
        self._member = member
        self._family = family
        self._name = name
        self._tell = tell
        self._leave = leave
        self._welcome = welcome
        self._replica = False
        self._wanted = work
        self._lessor = Lessor(member)
        self._stack = AsyncExitStack()
        self._lease: Lease | None = None
        self._asked = Work()
        self._begun = 0
        self._before = 0

    async def take(self) -> bool:
        """Wait until the model may be loaded; True. Cancelled, it takes nothing.

        Raises RpcError as `Lessor.lease`, and what keeps the family from saying what its model needs.
        """
        if await self._lessor.has_stage():
            self._asked = await self._work()
            self._lease = await self._stack.enter_async_context(
                self._lessor.lease(
                    self._asked,
                    tell=self._tell,
                    on_revoke=self._revoked,
                    on_welcome=self._welcome,
                    replica=self._replica,
                )
            )
        return True

    async def _work(self) -> Work:
        if self._wanted is not None:
            return self._wanted
        client = FamilyServiceClient(self._member.channel)
        request = DescribeModelRequest(family=self._family, model=self._name)
        answer = await client.describe_model(request, timeout=ASK_SECONDS)
        # Its family knows this process as one that loads: what is ready is another one.
        self._replica = answer.replicates and answer.model.state == ModelState.MODEL_STATE_READY
        work = work_of(self._family, self._name, answer.needs)
        work.replicates = answer.replicates
        return work

    def loaded(
        self, active: Callable[[], int], waiting: Callable[[], int] = lambda: 0, takes: Measured | None = None
    ) -> None:
        """The model is ready; from now on the stage hears how it is used.

        active: calls that are served; waiting: those of them that wait in its engine. takes: what this process has
        measured that it takes.
        """
        if self._lease is None:
            return
        lease = self._lease
        lease.loaded(shares_of(takes or Measured(), lease.shares, self._asked))

        def used() -> None:
            now = active()
            self._begun += max(0, now - self._before)
            self._before = now
            # One call may have several answers that wait; where one runs, its call does.
            idle = min(waiting(), max(0, now - 1))
            lease.used(now - idle, idle, self._begun)

        used()
        self._stack.callback(self._member.server.listen(used))

    def ran_out(self, problem: RpcError) -> RpcError:
        """An engine's error as callers are to hear it.

        Where it got no memory, the stage hears that what was granted was not worth its bytes, plans more for the next
        time and refuses the model for a time after several; callers hear what would do with less. Give back soon.
        """
        lease = self._lease
        if problem.reason != INSUFFICIENT_MEMORY or lease is None or not lease.shares:
            return problem
        lease.out_of_memory()
        granted = sum(lease.shares.values())
        fit = [each.note for each in self._asked.variants[1:] if 0 < sum(size.bytes for size in each.sizes) < granted]
        told = RpcError.from_status(problem.to_status())
        told.metadata = {**problem.metadata, "granted": str(granted), **({"fits": "; ".join(fit)} if fit else {})}
        if fit:
            told.message = f"{problem.message} It would take less {' or '.join(fit[:SHOWN])}."
        return told

    def _revoked(self, revoke: Revoke) -> None:
        self._leave(revoked(self._name, revoke.reason), revoke.within.ToTimedelta().total_seconds())

    async def give_back(self) -> None:
        """Everything has been freed."""
        await self._stack.aclose()


def shares_of(takes: Measured, granted: Mapping[str, int], asked: Work) -> dict[str, int]:
    """What is taken of each device that was granted; empty where nothing was measured.

    One device gives either kind of memory, a fixed one the larger of both. Of several, the main memory is the one that
    was granted as much as was asked of it, and the others give the accelerators' in parts as they were granted.
    """
    if not takes.host_bytes or not granted:
        return {}
    if len(granted) == 1:
        return dict.fromkeys(granted, max(takes.host_bytes, takes.accelerator_bytes))
    main = {size.bytes for size in asked.variants[0].sizes if size.kind == DeviceKind.DEVICE_KIND_SYSTEM}
    host = next((name for name, size in granted.items() if size in main), "")
    others = sum(size for name, size in granted.items() if name != host)
    return {
        name: takes.host_bytes if name == host else takes.accelerator_bytes * size // max(1, others)
        for name, size in granted.items()
    }
