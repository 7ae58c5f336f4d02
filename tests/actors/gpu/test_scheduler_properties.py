"""Any order of demands, asks, cancels, crashes, wrong sizes, revokes that are obeyed late or never, and others' use."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from actors.gpu.urgency import URGENCY
from actors.gpu.words import Kind, Pinned, Ticked, Variant, Work
from bus.priority import Priority

from .world import Holder, World

GB = 10**9
DRAIN_SECONDS = 2.0
START_SECONDS = 0.5
LOAD_SECONDS = 1.0
RUN_SECONDS = 3.0

ONE = {"card": (Kind.FIXED, 16 * GB)}
TWO = {"gpu0": (Kind.NVIDIA, 16 * GB), "gpu1": (Kind.NVIDIA, 12 * GB), "system": (Kind.SYSTEM, 32 * GB)}


def works(*, two: bool) -> list[Work]:
    """Small and large, spread and not, such as give way and such as do not, such as replicate and such as do not."""

    def make(
        name: str, gigabytes: int, *, spread: bool = False, preemptible: bool = False, replicates: bool = False
    ) -> Work:
        sizes = {Kind.NVIDIA: gigabytes * GB, **({Kind.SYSTEM: GB} if two else {})}
        return Work(
            name,
            [Variant(sizes, spread)],
            key=name,
            preemptible=preemptible,
            replicates=replicates,
            load_seconds=LOAD_SECONDS,
        )

    return [
        make("small", 2, replicates=True),
        make("medium", 5, replicates=True),
        make("large", 8),
        make("wide", 15 if two else 12, spread=True),
        make("training", 6, preemptible=True),
    ]


WORK = st.integers(0, 4)
PRIORITY = st.sampled_from(Priority)
PRINCIPAL = st.sampled_from(["", "ann", "bob"])
FACTOR = st.sampled_from([0.0, 1.0, 1.0, 0.7, 1.3])


class StageMachine(RuleBasedStateMachine):
    """Everything happens at any time; at the end all obey, and then everybody has to be served."""

    world: World

    @initialize(two=st.booleans(), lasting=st.sampled_from([(), (), (1, 3), (1, 3), (1, 3), (2, 3)]))
    def begin(self, two: bool, lasting: tuple[int, ...]) -> None:
        self.world = World(TWO if two else ONE)
        self.works = works(two=two)
        self.lasting = {self.works[index].name for index in lasting}

    def holders(self, *, granted: bool) -> list[Holder]:
        return [holder for holder in self.world.holders.values() if holder.granted is granted]

    def one(self, found: list[Holder], at: int) -> Holder:
        return found[at % len(found)]

    # ---- callers and processes

    @rule(work=WORK, priority=PRIORITY, principal=PRINCIPAL)
    def somebody_wants(self, work: int, priority: Priority, principal: str) -> None:
        self.world.demand(self.works[work], priority, principal)

    @precondition(lambda self: self.world.callers)
    @rule(at=st.integers(0, 9))
    def somebody_ends(self, at: int) -> None:
        callers = list(self.world.callers)
        self.world.end(callers[at % len(callers)])

    @rule(work=WORK, priority=PRIORITY, principal=PRINCIPAL)
    def a_process_asks(self, work: int, priority: Priority, principal: str) -> None:
        self.world.start(self.works[work], priority, principal)

    @precondition(lambda self: self.world.reserved)
    @rule(at=st.integers(0, 9))
    def a_process_comes_for_its_place(self, at: int) -> None:
        names = sorted(self.world.reserved)
        name = names[at % len(names)]
        self.world.start(next(work for work in self.works if work.name == name), Priority.INTERACTIVE, "")

    @precondition(lambda self: any(not holder.loaded for holder in self.holders(granted=True)))
    @rule(at=st.integers(0, 9), factor=FACTOR)
    def a_load_ends(self, at: int, factor: float) -> None:
        loading = [holder for holder in self.holders(granted=True) if not holder.loaded]
        self.world.finish_load(self.one(loading, at).lease, factor)

    @precondition(lambda self: self.holders(granted=True))
    @rule(at=st.integers(0, 9), running=st.integers(0, 3), waiting=st.sampled_from([0, 0, 1, 5]))
    def calls_run(self, at: int, running: int, waiting: int) -> None:
        self.world.use(self.one(self.holders(granted=True), at).lease, running, waiting)

    @precondition(lambda self: self.holders(granted=True))
    @rule(seconds=st.sampled_from([5.0, 60.0, 700.0]))
    def calls_wait_everywhere(self, seconds: float) -> None:
        """For so long, in all that serve."""
        for holder in self.holders(granted=True):
            if holder.loaded:
                self.world.use(holder.lease, 2, 1)
        self.world.now += seconds
        self.world.say(Ticked())

    @rule(work=WORK)
    def a_process_comes_to_share_calls(self, work: int) -> None:
        """Whether it is welcome or not."""
        self.world.start(self.works[work], Priority.INTERACTIVE, "", replica=True)

    @precondition(lambda self: self.holders(granted=True))
    @rule(at=st.integers(0, 9), share=st.integers(0, 9), gigabytes=st.sampled_from([0, 1, 5, 20]))
    def a_holder_wants_more(self, at: int, share: int, gigabytes: int) -> None:
        devices = sorted(self.world.devices)
        device = devices[share % len(devices)]
        self.world.grow(self.one(self.holders(granted=True), at).lease, device, gigabytes * GB)

    @rule(work=WORK, gigabytes=st.integers(1, 12), loaded=st.booleans(), at=st.integers(0, 1))
    def a_holder_from_before_claims(self, work: int, gigabytes: int, loaded: bool, at: int) -> None:
        devices = sorted(self.world.devices)
        self.world.claim(self.works[work], {devices[at % len(devices)]: gigabytes * GB}, loaded=loaded)

    # ---- faults

    @precondition(lambda self: self.world.holders)
    @rule(at=st.integers(0, 9), verified=st.booleans())
    def a_process_dies(self, at: int, verified: bool) -> None:
        self.world.crash(self.one(list(self.world.holders.values()), at).lease, verified=verified)

    @precondition(lambda self: self.holders(granted=True))
    @rule(at=st.integers(0, 9))
    def a_process_runs_out_of_memory(self, at: int) -> None:
        self.world.run_out(self.one(self.holders(granted=True), at).lease)

    @precondition(lambda self: self.world.leaving)
    @rule(at=st.integers(0, 9))
    def memory_is_seen_to_be_free(self, at: int) -> None:
        leaving = sorted(self.world.leaving)
        self.world.verify(leaving[at % len(leaving)])

    @rule(at=st.integers(0, 9), gigabytes=st.sampled_from([0, 0, 1, 4, 9, 16]))
    def others_use(self, at: int, gigabytes: int) -> None:
        devices = sorted(self.world.devices)
        device = devices[at % len(devices)]
        self.world.others[device] = gigabytes * GB
        self.world.see(device)

    @rule(at=st.integers(0, 9))
    def a_device_is_lost(self, at: int) -> None:
        devices = sorted(self.world.devices)
        self.world.lose(devices[at % len(devices)])

    @rule(work=WORK, pinned=st.booleans())
    def somebody_pins(self, work: int, pinned: bool) -> None:
        self.world.pins[self.works[work].name] = pinned
        self.world.say(Pinned(self.works[work].name, pinned))

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 11.0, 40.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        self.world.say(Ticked())

    # ---- the end

    def teardown(self) -> None:
        if hasattr(self, "world"):
            Obedience(self.world, self.works, self.lasting).run()


class Obedience:
    """From now on everybody obeys, nobody else uses the devices, and calls for what is lasting never end.

    What is lasting does not fit beside each other: each is wanted again as soon as it has made room.

    Then every want is served within the bound of its class, and switches are bounded by what is served.
    """

    def __init__(self, world: World, every: list[Work], lasting: set[str]) -> None:
        self.world = world
        self.works = {work.name: work for work in every}
        self.lasting = lasting
        self.began = world.now
        self.since: dict[str, float] = {}
        self.wanted = 0

    def run(self) -> None:
        world = self.world
        self._clear()
        for name in self.lasting:
            world.demand(self.works[name], Priority.INTERACTIVE, "ann")
        world.demand(self.works["training"], Priority.BATCH, "bob")
        self.wanted = len(world.waiting())
        before = len(world.holders) + len(world.reserved)
        world.placements = world.revokes = 0
        first = self._wanting()
        while first & self._wanting():
            self._within_bounds()
            self._act()
            dues = [at for at in (self._next(), world.scheduler.next_due(world.now)) if at is not None]
            assert dues, f"nothing will ever happen for {world.waiting()}"
            world.now = max(world.now, min(dues))
            world.say(Ticked())
        assert world.placements <= self.wanted + before
        assert world.revokes <= 5 * (world.placements + 1) + before

    def _wanting(self) -> set[str]:
        """Who has not been given a place yet; what happens to it later is another want's story."""
        callers = {caller.demand for caller in self.world.callers.values() if not caller.placed}
        return callers | {holder.lease for holder in self.world.holders.values() if not holder.granted}

    def _clear(self) -> None:
        for device in self.world.devices:
            self.world.others[device] = 0
            self.world.see(device)
        for name in self.works:
            self.world.pins[name] = False
            self.world.say(Pinned(name, pinned=False))
        for lease in list(self.world.leaving):
            self.world.verify(lease)
        for demand in [one.demand for one in self.world.callers.values() if one.placed]:
            self.world.end(demand)

    def _within_bounds(self) -> None:
        for caller in self.world.callers.values():
            if not caller.placed:
                waited = self.world.now - max(self.began, caller.since)
                assert waited <= URGENCY[caller.priority].bound, (caller, self.world.scheduler.snapshot(self.world.now))

    def _at(self, holder: Holder) -> float | None:
        """When this process does what it has to do next."""
        since = self.since.setdefault(f"{holder.lease} {holder.granted} {holder.loaded}", self.world.now)
        if not holder.granted:
            return None
        if holder.revoked_at is not None:
            return max(self.began, holder.revoked_at) + (DRAIN_SECONDS if holder.running else 0.1)
        if not holder.loaded:
            return since + LOAD_SECONDS
        if holder.running and holder.work.name not in self.lasting:
            return since + RUN_SECONDS
        return None

    def _places(self) -> list[tuple[float, str]]:
        """When processes come for their places."""
        found = []
        for name, shares in self.world.reserved.items():
            began = self.since.setdefault(f"{name} {id(shares)}", self.world.now)
            found.append((began + START_SECONDS, name))
        return found

    def _next(self) -> float | None:
        ats = [self._at(holder) for holder in self.world.holders.values()]
        return min([at for at in ats if at is not None] + [at for at, _ in self._places()], default=None)

    def _act(self) -> None:
        for due, name in self._places():
            if due <= self.world.now:
                self.world.start(self.works[name], Priority.INTERACTIVE, "")
                self.wanted += 1
        for holder in list(self.world.holders.values()):
            at = self._at(holder)
            if at is None or at > self.world.now or holder.lease not in self.world.holders:
                continue
            if holder.revoked_at is not None:
                self._leave(holder)
            elif not holder.loaded:
                self.world.finish_load(holder.lease, 1.0)
                self.world.use(holder.lease, 1)
                self._arrive(holder.work.name)
            else:
                self.world.use(holder.lease, 0)

    def _arrive(self, name: str) -> None:
        """Calls go to their model once it is ready."""
        for demand in [one.demand for one in self.world.callers.values() if one.placed and one.work.name == name]:
            self.world.end(demand)

    def _leave(self, holder: Holder) -> None:
        self.world.crash(holder.lease, verified=True)
        if holder.work.name in self.lasting:
            self.world.demand(holder.work, Priority.INTERACTIVE, "ann")
            self.wanted += 1


TestStage = StageMachine.TestCase


def test_work_in_the_background_is_placed_though_two_that_do_not_fit_together_are_wanted_all_the_time() -> None:
    world, every = World(ONE), works(two=False)
    Obedience(world, every, {"large", "wide"}).run()
    batch = URGENCY[Priority.BATCH]
    assert batch.bound / 2 <= world.now <= batch.bound
    assert world.placements > 10
