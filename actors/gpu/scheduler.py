"""Who gets which memory of which device, and when. Decides only; actors/gpu/actor.py does it.

Happenings (actors/gpu/words.py) go in with the time, effects come out. The rules, with their numbers at the branches:

1.  The ceiling first: what fits on no device below its cap is refused at once, with what would fit.
2.  Never above the cap, what others use counted. Above it nothing is placed; when that lasts, places that nobody has
    taken up, then idle leases, then preemptible ones are given up until it fits.
3.  A wish becomes a lease only when it was chosen: wants queue, joined by name, and hear position and ETA. What is
    there already is joined at once.
4.  A place that no process takes up in its time, or that nobody waits for any more, is freed.
5.  Order: the overdue first, then the classes, then age; who was given places lately comes later in its class. Who is
    behind takes only what nobody ahead needs.
6.  Room is made by revoking: idle leases first, of those the ones that are worth least; preemptible ones at once for
    any higher class; busy ones once a want has used up its patience, and with time to finish. All victims of a place or
    none. Never for its own name.
7.  What was loaded stays for a time; what is pinned stays; an idle lease of a more urgent class is left alone for a
    time.
8.  A revoked holder that has not ended in its time is to be killed.
9.  Freed memory is granted again once it was seen to be free; after a bound it counts as lost, and what the device
    shows decides.
10. Out of memory: planned anew with a larger estimate; after several failures refused for a time, which doubles.
11. Claimed leases are adopted as they are.
12. What was measured is charged, remembered, and preferred over the estimate.
13. A holder that wants more gets all of it or nothing.
14. What only others or pins keep from its place is refused when its class's bound is over.
15. Where calls wait in each process of work that replicates, another process of it is welcome, if nobody waits for
    memory and there is room, or would be without what nobody has used for long. It is the first that makes room for
    others, and is given back when the rest could do its work for a time.

Why it is so, and what else was tried: actors/gpu/design.md.
"""

from collections.abc import Mapping

from actors.gpu.deadlines import Deadlines
from actors.gpu.effects import Effects
from actors.gpu.lease import Lease, State
from actors.gpu.leases import Leases
from actors.gpu.ledger import Ledger, fits, summed
from actors.gpu.over_cap import OverCap
from actors.gpu.places import Places
from actors.gpu.plan import PLAN_AHEAD, Planner, Step
from actors.gpu.refusing import Refusing
from actors.gpu.replicas import MOST, Replicas
from actors.gpu.sentences import placed_at
from actors.gpu.sizes import Sizes
from actors.gpu.snapshot import Snapshot
from actors.gpu.telling import Telling
from actors.gpu.urgency import (
    HANDOVER_SECONDS,
    OUT_OF_MEMORY_LIMIT,
    SETTLE_SECONDS,
)
from actors.gpu.usage import Usage
from actors.gpu.wants import Want, Wants
from actors.gpu.words import (
    Asked,
    Claimed,
    Demanded,
    DemandEnded,
    DeviceLost,
    DeviceSeen,
    Effect,
    GrowAsked,
    Grown,
    Happening,
    Kind,
    Loaded,
    OutOfMemory,
    Pinned,
    Released,
    Shares,
    Used,
    Verified,
    Work,
)
from bus.priority import Priority


class Scheduler:
    """The memory of one machine's devices and all who want some. Never awaits.

    remembered: bytes by key and kind, as they were told by `Measured` before. replicas: the most processes of one work
    by the kind of device on which most of it lies. Time is any clock in seconds; one that
    goes back stands still here. Names of demands and of leases are unique for ever and share one set of names.
    """

    def __init__(
        self, remembered: Mapping[str, Mapping[Kind, int]] | None = None, replicas: Mapping[Kind, int] = MOST
    ) -> None:
        self._now = float("-inf")
        self._ledger = Ledger()
        self._leases = Leases(self._ledger)
        self._sizes = Sizes(remembered or {})
        self._usage = Usage()
        self._wants = Wants()
        self._telling = Telling()
        self._effects = Effects()
        self._places = Places(self._leases, self._wants, self._effects)
        self._refusing = Refusing(self._ledger, self._leases, self._wants, self._sizes, self._effects)
        self._replicas = Replicas(self._ledger, self._leases, self._sizes, self._usage, self._places, replicas)
        self._deadlines = Deadlines(self._leases, self._places, self._effects)
        self._over_cap = OverCap(self._ledger, self._leases, self._usage, self._places)
        self._plan_due: float | None = None

    def handle(self, happening: Happening, now: float) -> list[Effect]:
        """Something has happened: what is to be done, in this order. What is unknown or out of turn does nothing."""
        self._now = now = max(self._now, now)
        self._take(happening, now)
        self._deadlines.end(now)  # 4, 8, 9
        self._over_cap.give_up(now)  # 2
        self._plan(now)
        self._replicas.follow(now, waited_for=self._wants.waited_for)  # 15
        return self._effects.taken()

    def next_due(self, now: float) -> float | None:
        """When a `Ticked` may change something, if nothing happens before; None: never."""
        dues = [self._plan_due, self._replicas.due(), *self._deadlines.dues(), *self._over_cap.dues()]
        dues += [lease.expected_until for lease in self._leases.all.values()]
        return min((due for due in dues if due is not None and due > now), default=None)

    def snapshot(self, now: float) -> Snapshot:
        """Everything there is."""
        order = enumerate(self._wants.order(now), 1)
        wishes = [self._telling.wish(position, entry, now) for position, entry in order]
        return Snapshot(self._leases.device_views(), self._leases.views(now), wishes)

    # ---- what happens

    def _take(self, happening: Happening, now: float) -> None:  # noqa: C901, PLR0912 - one line for each word
        match happening:
            case DeviceSeen():
                self._ledger.seen(happening)
            case DeviceLost(device):
                self._ledger.lost(device)
            case Demanded():
                self._demanded(happening, now)
            case DemandEnded(demand):
                self._demand_ended(demand, now)
            case Asked():
                self._asked(happening, now)
            case Claimed():
                self._claimed(happening, now)
            case Loaded():
                self._loaded(happening, now)
            case Used():
                self._used(happening, now)
            case GrowAsked():
                self._grow_asked(happening)
            case OutOfMemory(lease):
                self._out_of_memory(lease, now)
            case Released(lease, verified):
                self._released(lease, verified=verified, now=now)
            case Verified(lease):
                self._verified(lease)
            case Pinned(name, pinned):
                self._leases.pin(name, pinned=pinned)

    def _demanded(self, demanded: Demanded, now: float) -> None:
        want = Want(demanded.demand, demanded.work, demanded.priority, demanded.principal, now)
        if want.id in self._wants or self._leases.has(want.id) or self._refusing.at_once(want, now):
            return
        there = self._leases.there(want.work.name)
        if there is None:
            self._wants.add(want)  # 3
            return
        self._places.attach(there, want, now)
        self._effects.decide("placed", there.name, f"{there.name} is there already.", there.shares, "3")

    def _demand_ended(self, demand: str, now: float) -> None:
        self._wants.remove(demand)
        lease = self._leases.end_demand(demand)
        if lease is None or lease.demands:
            return
        lease.expected_until = min(lease.expected_until, now + SETTLE_SECONDS)
        if lease.state is State.PLACED:  # 4
            self._places.give_up(lease, "nobody waits for it any more")

    def _asked(self, asked: Asked, now: float) -> None:
        want = Want(asked.lease, asked.work, asked.priority, asked.principal, now, asked.holder)
        if want.id in self._wants or want.id in self._leases.all or self._refusing.at_once(want, now):
            return
        reserved = self._leases.reserved(want.work.name)
        replica = asked.replica and self._leases.there(want.work.name) is not None
        shares = None if reserved is None else self._taken_up(reserved, want.work, now)
        if reserved is None or shares is None:
            self._refusing.replica(want) if replica else self._wants.add(want)  # 15, 3
            return
        self._leases.take_up(reserved, want.id, asked.holder)
        reserved.work, reserved.shares = want.work, dict(shares)
        self._places.load(reserved, "its place was kept", "3", now)

    def _taken_up(self, reserved: Lease, work: Work, now: float) -> Shares | None:
        """With which shares a process may load where a place was kept; None: with none, and the place is given up."""
        need, room = self._sizes.need(work, now), self._leases.room()
        if all(room.get(name, -1) >= 0 for name in reserved.shares):  # 2
            shares = self._ledger.place(need, dict(reserved.shares))
            shares = shares or self._ledger.place(need, summed(room, [reserved.shares]))
            if shares is not None:
                return shares
        self._places.give_up(reserved, "its process needs more, or others have taken the memory")
        return None

    def _claimed(self, claimed: Claimed, now: float) -> None:
        self._wants.remove(claimed.lease)
        known = self._leases.held(claimed.lease)
        if known is not None:
            known.holder = claimed.holder
            if claimed.loaded:
                self._loaded(Loaded(known.id), now)
            return
        # Its class is not told; preemptible work has to give way to those that have one.
        priority = Priority.TRAINING if claimed.work.preemptible else Priority.INTERACTIVE
        shares = {name: count for name, count in claimed.shares.items() if count > 0}
        lease = Lease(claimed.lease, claimed.holder, claimed.work, priority, "", shares, State.LOADING, now, None)
        lease.used_at = now
        if claimed.loaded:
            lease.state, lease.loaded_at = State.READY, now
        self._leases.add(lease)  # 11
        self._effects.decide("claimed", lease.name, f"{claimed.holder} has it from before.", lease.shares, "11")
        self._places.attach_all(lease, now)

    def _loaded(self, loaded: Loaded, now: float) -> None:
        lease = self._leases.held(loaded.lease)
        if lease is None:
            return
        lease.measured |= {name: count for name, count in loaded.measured.items() if count > 0}
        lease.shares |= lease.measured  # 12
        self._effects.add(*self._sizes.measured(lease.work, lease.measured, self._ledger.devices))
        if lease.loaded_at is not None:
            return
        if lease.placed_at is not None:
            # The start of the process counts, too: whoever waits has to wait for it.
            self._usage.loaded(lease.work, lease.size, now - lease.placed_at)
        lease.loaded_at = lease.used_at = now
        lease.expected_until = now + HANDOVER_SECONDS if lease.demands else now
        if lease.state is State.LOADING:
            lease.enter(State.READY, now)

    def _used(self, used: Used, now: float) -> None:
        lease = self._leases.held(used.lease)
        if lease is None:
            return
        self._usage.used(lease.name, max(0, used.begun - lease.begun), now)
        was = lease.busy(now)
        lease.use(used.running, used.waiting, used.begun, now)
        if not lease.demands:
            lease.expected_until = min(lease.expected_until, now)
        if lease.state is State.READY and was != lease.busy(now):
            lease.since = now

    def _grow_asked(self, asked: GrowAsked) -> None:
        lease = self._leases.held(asked.lease)
        if lease is None:
            return
        sound = lease.alive and all(count >= 0 for count in asked.more.values())
        allowed = sound and fits(asked.more, self._leases.room())  # 13
        if allowed:
            for name, count in asked.more.items():
                lease.shares[name] = lease.shares.get(name, 0) + count
        self._effects.add(Grown(lease.id, allowed))
        reason = f"It asked for {placed_at(asked.more)} more, and there is {'' if allowed else 'no '}room for that."
        self._effects.decide("grown" if allowed else "refused", lease.name, reason, asked.more if allowed else {}, "13")

    def _out_of_memory(self, name: str, now: float) -> None:
        lease = self._leases.held(name)
        if lease is None:
            return
        count = self._sizes.failed(lease.work, lease.shares, self._ledger.devices, now)  # 10
        self._places.end(lease, now)
        often = "once" if count == 1 else f"{count} times"
        reason = f"{placed_at(lease.shares)} were too little, or not really free; it has failed {often} in a row."
        self._effects.decide("quarantined", lease.name, reason, lease.shares, "10")
        if count >= OUT_OF_MEMORY_LIMIT:
            self._refusing.quarantined(self._wants.entries.get(lease.name), now)

    def _released(self, name: str, *, verified: bool, now: float) -> None:
        self._wants.remove(name)
        lease = self._leases.held(name)
        if lease is not None:
            if lease.state is State.REVOKED:
                self._usage.gave_back(now - lease.since, busy=lease.revoked_busy)
            self._places.end(lease, now)
            self._effects.decide("released", lease.name, "Its holder has ended.", lease.shares, "9")
        if verified:
            self._verified(name)

    def _verified(self, name: str) -> None:
        lease = self._leases.all.get(name)
        if lease is None or lease.state is not State.RELEASED:
            return
        self._leases.remove(lease)  # 9
        self._ledger.given_back(lease.shares)
        self._effects.decide("verified", lease.name, "Its memory was seen to be free.", lease.shares, "9")

    # ---- the queue

    def _plan(self, now: float) -> None:
        self._plan_due = None
        order = self._wants.order(now)
        if not order:
            return
        self._replicas.make_way()  # 15
        leases, surplus = self._leases.all.values(), self._leases.surplus()
        planner = Planner(self._ledger, leases, self._leases.room(), self._usage, self._leases.pinned, surplus, now)
        steps: dict[str, Step | None] = {}
        for number, unit in enumerate(self._wants.units(order)):
            if number >= PLAN_AHEAD:
                break
            if self._wants.wants(unit):
                step = planner.step(unit, self._sizes.need(unit.work, now))
                self._follow(step, now)
                steps.setdefault(unit.entry.name, step)
        order = [entry for entry in order if entry.waiting]
        self._telling.stand(order, steps, self._leases.all_pinned())
        self._effects.add(*self._telling.news(order, now))
        dues = [planner.due, self._wants.next_change(now), *(entry.bound_at for entry in order)]
        self._plan_due = min((due for due in dues if due is not None and due > now), default=None)

    def _follow(self, step: Step, now: float) -> None:
        unit, entry = step.unit, step.unit.entry
        if step.placed:
            self._places.place(unit, step.shares, now)
        elif not step.shares:
            self._refusing.unplaceable(entry, now)
        elif step.revoke:  # 6
            for one in step.victims:
                assert one.lease is not None
                self._places.revoke(one.lease, one.tier, f"{entry.name} waits for its memory", "6", now)
