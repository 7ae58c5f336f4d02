"""Devices, processes and callers round a scheduler, and a ledger of their own that judges what it says."""

from dataclasses import dataclass, field

from actors.gpu.scheduler import Scheduler
from actors.gpu.urgency import REPLICA_LEAVES_SECONDS
from actors.gpu.words import (
    Asked,
    Claimed,
    Decision,
    Demanded,
    DemandEnded,
    DeviceLost,
    DeviceSeen,
    Effect,
    Granted,
    GrowAsked,
    Grown,
    Happening,
    Kind,
    Loaded,
    OutOfMemory,
    Overdue,
    Placed,
    Refused,
    Released,
    Revoke,
    Shares,
    Used,
    Verified,
    Welcome,
    Work,
)
from bus.priority import Priority

CAP = 0.8


@dataclass
class Holder:
    """A process with a lease, or one that waits for it (no shares)."""

    lease: str
    work: Work
    since: float
    shares: dict[str, int] = field(default_factory=dict)
    granted: bool = False
    loaded: bool = False
    running: int = 0
    begun: int = 0
    used_at: float = 0.0
    revoked_at: float | None = None
    overdue: bool = False


@dataclass
class Caller:
    """Somebody who waits for a model."""

    demand: str
    work: Work
    priority: Priority
    since: float
    placed: bool = False


class World:
    """What is true; everything goes through `say`, which judges the answers."""

    def __init__(self, totals: dict[str, tuple[Kind, int]]) -> None:
        self.now = 0.0
        self.scheduler = Scheduler()
        self.devices = totals
        self.others = dict.fromkeys(totals, 0)
        self.lost: set[str] = set()
        self.holders: dict[str, Holder] = {}
        self.leaving: dict[str, tuple[str, Shares]] = {}
        self.callers: dict[str, Caller] = {}
        self.reserved: dict[str, Shares] = {}
        self.pins: dict[str, bool] = {}
        self.names = 0
        self.placements = 0
        self.revokes = 0
        for device in totals:
            self.see(device)

    # ---- what can happen

    def see(self, device: str) -> None:
        kind, total = self.devices[device]
        self.lost.discard(device)
        self.say(DeviceSeen(device, kind, total, self.others[device], cap=CAP))

    def lose(self, device: str) -> None:
        self.lost.add(device)
        self.say(DeviceLost(device))

    def name(self) -> str:
        self.names += 1
        return f"n{self.names}"

    def demand(self, work: Work, priority: Priority, principal: str) -> str:
        caller = Caller(self.name(), work, priority, self.now)
        self.callers[caller.demand] = caller
        self.say(Demanded(caller.demand, work, priority, principal))
        return caller.demand

    def end(self, demand: str) -> None:
        del self.callers[demand]
        self.say(DemandEnded(demand))

    def start(self, work: Work, priority: Priority, principal: str, *, replica: bool = False) -> str:
        holder = Holder(self.name(), work, self.now)
        self.holders[holder.lease] = holder
        self.say(Asked(holder.lease, f"process {holder.lease}", work, priority, principal, replica))
        return holder.lease

    def claim(self, work: Work, shares: Shares, *, loaded: bool) -> None:
        holder = Holder(self.name(), work, self.now, dict(shares), granted=True, loaded=loaded, used_at=self.now)
        self.holders[holder.lease] = holder
        self.say(Claimed(holder.lease, f"process {holder.lease}", work, shares, loaded))

    def finish_load(self, lease: str, factor: float) -> None:
        """It is ready, and takes so many times what it was granted; 0: nobody can tell."""
        holder = self.holders[lease]
        holder.loaded, holder.used_at = True, self.now
        measured = {name: int(count * factor) for name, count in holder.shares.items() if factor}
        holder.shares |= measured
        self.say(Loaded(lease, measured))

    def use(self, lease: str, running: int, waiting: int = 0) -> None:
        holder = self.holders[lease]
        holder.begun += max(0, running - holder.running)
        holder.running, holder.used_at = running, self.now
        self.say(Used(lease, running, waiting, begun=holder.begun))

    def grow(self, lease: str, device: str, count: int) -> None:
        said = self.say(GrowAsked(lease, {device: count}))
        assert len([one for one in said if isinstance(one, Grown)]) == 1

    def run_out(self, lease: str) -> None:
        holder = self.holders.pop(lease)
        self.leaving[lease] = (holder.work.name, holder.shares)
        self.say(OutOfMemory(lease))

    def crash(self, lease: str, *, verified: bool) -> None:
        holder = self.holders.pop(lease)
        if holder.granted and not verified:
            self.leaving[lease] = (holder.work.name, holder.shares)
        self.say(Released(lease, verified=verified))

    def verify(self, lease: str) -> None:
        del self.leaving[lease]
        self.say(Verified(lease))

    # ---- what is judged

    def say(self, happening: Happening) -> list[Effect]:
        effects = self.scheduler.handle(happening, self.now)
        decisions = [one for one in effects if isinstance(one, Decision)]
        assert all(one.reason and one.rule for one in decisions), effects
        decided = {(one.what, one.name): one for one in decisions}
        for effect in effects:
            self._explained(effect, decided)
            self._take(effect, decided)
        assert (due := self.scheduler.next_due(self.now)) is None or due > self.now
        self._nothing_is_lost()
        return effects

    def used(self) -> dict[str, int]:
        """What is used of each device by all, by this ledger."""
        used = dict(self.others)
        holdings = [holder.shares for holder in self.holders.values()]
        holdings += [dict(shares) for _, shares in self.leaving.values()]
        holdings += [dict(shares) for shares in self.reserved.values()]
        for shares in holdings:
            for device, count in shares.items():
                used[device] += count
        return used

    def _fits(self, shares: Shares) -> None:
        """What was just given has not taken any device above its cap."""
        used = self.used()
        for device in shares:
            assert used[device] <= int(self.devices[device][1] * CAP), (device, used[device], shares)
            assert device not in self.lost

    def _work(self, name: str) -> str:
        return self.callers[name].work.name if name in self.callers else self.holders[name].work.name

    def _explained(self, effect: Effect, decided: dict[tuple[str, str], Decision]) -> None:
        match effect:
            case Placed(demand):
                whats = ("placed", "granted", "claimed")
                assert any((what, self._work(demand)) in decided for what in whats), effect
            case Granted(lease):
                assert ("granted", self._work(lease)) in decided, effect
            case Refused(waiting, _, message):
                assert ("refused", self._work(waiting)) in decided, effect
                assert message
            case Revoke(lease):
                assert ("revoked", self._work(lease)) in decided, effect
            case Overdue(lease):
                assert ("overdue", self._work(lease)) in decided, effect
            case _:
                pass

    def _take(self, effect: Effect, decided: dict[tuple[str, str], Decision]) -> None:
        match effect:
            case Placed(demand, shares):
                caller = self.callers[demand]
                assert not caller.placed, "told twice"
                caller.placed = True
                name = caller.work.name
                if name not in self.reserved and not self._there(name):
                    self.reserved[name] = shares
                    self.placements += 1
                    self._fits(shares)
            case Granted(lease, shares):
                holder = self.holders[lease]
                assert not holder.granted, "granted twice"
                self.placements += 0 if self.reserved.pop(holder.work.name, None) else 1
                holder.granted, holder.shares = True, dict(shares)
                self._fits(shares)
            case Welcome(lease):
                self._welcome(self.holders[lease], decided)
            case Grown(lease, True):
                shares = decided[("grown", self._work(lease))].shares
                for device, count in shares.items():
                    self.holders[lease].shares[device] = self.holders[lease].shares.get(device, 0) + count
                self._fits(shares)
            case Refused(waiting):
                if waiting in self.callers:
                    assert not self.callers.pop(waiting).placed
                else:
                    assert not self.holders.pop(waiting).granted
            case Revoke(lease, seconds):
                self._revoked(self.holders[lease], seconds, decided)
            case Overdue(lease):
                assert self.holders[lease].revoked_at is not None
                self.holders[lease].overdue = True
            case Decision("released", name, _, _, "4"):
                del self.reserved[name]
            case Decision("verified", name, reason, shares) if "taken for lost" in reason:
                del self.leaving[next(one for one, held in self.leaving.items() if held == (name, shares))]
            case _:
                pass

    def _there(self, name: str) -> bool:
        return any(one.work.name == name and one.granted and one.revoked_at is None for one in self.holders.values())

    def _others(self, holder: Holder) -> list[Holder]:
        """Who serves the same work beside this one, and goes on."""
        alive = [one for one in self.holders.values() if one.work.name == holder.work.name and one.revoked_at is None]
        return [one for one in alive if one is not holder and one.granted and one.loaded]

    def _welcome(self, holder: Holder, decided: dict[tuple[str, str], Decision]) -> None:
        """Another process, only of work that all its processes serve, and where nobody waits for memory."""
        name = holder.work.name
        assert holder.work.replicates and holder.loaded and holder.revoked_at is None
        assert not self.waiting() and name not in self.reserved
        assert decided[("placed", name)].rule == "15"
        self.reserved[name] = decided[("placed", name)].shares
        self._fits(self.reserved[name])

    def _revoked(self, holder: Holder, seconds: float, decided: dict[tuple[str, str], Decision]) -> None:
        assert holder.granted
        assert holder.revoked_at is None, "revoked twice"
        one_of_several = holder.work.replicates and self._others(holder)
        assert one_of_several or not self.pins.get(holder.work.name, holder.work.pinned), "pinned"
        assert seconds > 0
        rule = decided[("revoked", holder.work.name)].rule
        if rule == "2":
            assert one_of_several or holder.work.preemptible or not holder.running
        elif rule == "15":
            long_idle = not holder.running and self.now >= holder.used_at + REPLICA_LEAVES_SECONDS
            assert one_of_several or long_idle
        else:
            assert self.waiting(), "revoked for nobody"
        holder.revoked_at = self.now
        self.revokes += 1

    def waiting(self) -> list[str]:
        """The names of work that somebody waits for, one for each who does."""
        wants = [caller.work.name for caller in self.callers.values() if not caller.placed]
        return sorted(wants + [holder.work.name for holder in self.holders.values() if not holder.granted])

    def _nothing_is_lost(self) -> None:
        seen = self.scheduler.snapshot(self.now)
        held = {lease: holder.shares for lease, holder in self.holders.items() if holder.granted}
        assert {view.lease: view.shares for view in seen.leases if view.lease} == held
        assert {view.name: view.shares for view in seen.leases if not view.lease} == self.reserved
        revoked = {lease for lease, holder in self.holders.items() if holder.revoked_at is not None}
        assert {view.lease for view in seen.leases if view.state == "revoked"} == revoked
        assert sorted(wish.name for wish in seen.wishes for _ in range(wish.waiting)) == self.waiting()
        used = self.used()
        for device in seen.devices:
            assert device.others + device.leased + device.unverified == used[device.name]
