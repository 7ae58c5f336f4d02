"""One device, processes and callers under a discrete clock, round whatever hears and answers as the scheduler does."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from actors.gpu.words import (
    Asked,
    Demanded,
    DemandEnded,
    DeviceSeen,
    Effect,
    Granted,
    Happening,
    Kind,
    Loaded,
    Overdue,
    Placed,
    Refused,
    Released,
    Revoke,
    Ticked,
    Used,
    Variant,
    Work,
)
from stage_trace import GB, Model, Request

TOTAL = 16 * GB
CAP = 0.8
LIMIT = int(TOTAL * CAP)
SLOTS = 4
START_SECONDS = 0.3
"""From a place to the process's ask: a warm spare process."""
EXIT_SECONDS = 0.3
"""From the end of a process's last call until its memory is seen to be free."""


class Policy(Protocol):
    """Who gets the memory: the scheduler, or one of its rivals.

    One with a true `gates` is asked for every call, also where the model is loaded.
    """

    def handle(self, happening: Happening, now: float) -> list[Effect]: ...

    def next_due(self, now: float) -> float | None: ...


@dataclass(slots=True)
class Process:
    """A model's process. runs: when each running call ends."""

    lease: str
    model: Model
    granted: bool = False
    loaded: bool = False
    leaving: bool = False
    running: int = 0
    begun: int = 0
    queue: deque[Request] = field(default_factory=deque)
    runs: dict[int, float] = field(default_factory=dict)


class World:
    """A run. bandwidth: bytes per second of the disk, which loads one after the other."""

    def __init__(self, policy: Policy, of: Sequence[Model], requests: Sequence[Request], bandwidth: float) -> None:
        self.policy = policy
        self.gates = getattr(policy, "gates", False)
        self.now = 0.0
        self.bandwidth = bandwidth
        self.processes: dict[str, Process] = {}
        self.pending: dict[str, dict[str, Request]] = {model.name: {} for model in of}
        self.switches = 0
        self.high_water = 0
        self.busy_seconds = 0.0
        self._busy_since = 0.0
        self._running = 0
        self._works = {
            model.name: Work(
                model.name, [Variant({Kind.NVIDIA: model.size})], key=model.name, load_seconds=model.size / bandwidth
            )
            for model in of
        }
        self._models = {model.name: model for model in of}
        self._starting: set[str] = set()
        self._names: dict[str, str] = {}
        self._placed: set[str] = set()
        self._disk_free = 0.0
        self._ticks: set[float] = set()
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        for request in requests:
            self._at(request.at, lambda request=request: self._arrive(request))  # type: ignore[misc]  # bound early
        self._say(DeviceSeen("card", Kind.FIXED, TOTAL, cap=CAP))

    def run(self) -> None:
        """Until everybody has been served."""
        while self._events:
            self.now, _, happen = heapq.heappop(self._events)
            happen()

    # ---- callers

    def _arrive(self, request: Request) -> None:
        process = self._serving(request.model.name)
        if process is None or self.gates:
            name = f"d{request.number}.{next(self._numbers)}"
            self.pending[request.model.name][name] = request
            self._names[name] = request.model.name
            work = self._works[request.model.name]
            self._say(Demanded(name, work, request.priority, request.principal))
        else:
            process.queue.append(request)
            self._fill(process)

    def _serving(self, name: str) -> Process | None:
        """A process that takes calls; of several the one with the fewest."""
        found = [one for one in self.processes.values() if one.model.name == name and one.loaded and not one.leaving]
        return min(found, key=lambda one: one.running + len(one.queue), default=None)

    def _fill(self, process: Process, *, tell: bool = True) -> None:
        before = process.running
        while process.queue and process.running < SLOTS:
            request = process.queue.popleft()
            request.began = self.now
            if not self._running:
                self._busy_since = self.now
            self._running += 1
            process.running += 1
            process.begun += 1
            process.runs[request.number] = self.now + request.seconds
            self._at(self.now + request.seconds, lambda request=request: self._done(process, request))  # type: ignore[misc]  # bound early
        if tell and process.running and not before:
            self._use(process)

    def _done(self, process: Process, request: Request) -> None:
        process.running -= 1
        del process.runs[request.number]
        self._running -= 1
        if not self._running:
            self.busy_seconds += self.now - self._busy_since
        self._fill(process)
        if not process.running:
            self._use(process)
            if process.leaving:
                self._at(self.now + EXIT_SECONDS, lambda: self._gone(process))

    def _use(self, process: Process) -> None:
        self._say(Used(process.lease, process.running, len(process.queue), process.begun))

    # ---- processes

    def _start(self, name: str) -> None:
        self._starting.discard(name)
        process = Process(f"l{next(self._numbers)}", self._models[name])
        self.processes[process.lease] = process
        self._say(Asked(process.lease, process.lease, self._works[name]))

    def _load(self, process: Process) -> None:
        process.granted = True
        self.switches += 1
        self.high_water = max(self.high_water, sum(one.model.size for one in self.processes.values() if one.granted))
        assert self.high_water <= LIMIT, "above the cap"
        self._disk_free = max(self.now, self._disk_free) + process.model.size / self.bandwidth
        self._at(self._disk_free, lambda: self._loaded(process))

    def _loaded(self, process: Process) -> None:
        process.loaded = True
        come = [name for name in self.pending[process.model.name] if name in self._placed]
        process.queue.extend(self._come(name) for name in come)
        self._fill(process, tell=False)
        self._say(Loaded(process.lease, {"card": process.model.size}))
        self._use(process)
        for name in come:
            self._say(DemandEnded(name))

    def _come(self, demand: str) -> Request:
        """A caller who was told the place goes to the model."""
        self._placed.discard(demand)
        return self.pending[self._names[demand]].pop(demand)

    def _revoke(self, process: Process) -> None:
        process.leaving = True
        again, process.queue = process.queue, deque()
        if process.loaded:
            self._ask_again(process.model.name)
        for request in again:
            self._at(self.now, lambda request=request: self._arrive(request))  # type: ignore[misc]  # bound early
        if not process.running:
            self._at(self.now + EXIT_SECONDS, lambda: self._gone(process))

    def _ask_again(self, name: str) -> None:
        """Callers whose model leaves before they have come to it find nobody, and ask again."""
        for demand in [one for one in self.pending[name] if one in self._placed]:
            request = self._come(demand)
            self._at(self.now, lambda demand=demand: self._say(DemandEnded(demand)))  # type: ignore[misc]  # bound early
            self._at(self.now, lambda request=request: self._arrive(request))  # type: ignore[misc]  # bound early

    def _gone(self, process: Process) -> None:
        if process.lease in self.processes:
            del self.processes[process.lease]
            self._say(Released(process.lease, verified=True))

    # ---- the policy

    def _say(self, happening: Happening) -> None:
        for effect in self.policy.handle(happening, self.now):
            self._follow(effect)
        due = self.policy.next_due(self.now)
        if due is not None and due not in self._ticks:
            self._ticks.add(due)
            self._at(due, lambda: self._tick(due))

    def _tick(self, due: float) -> None:
        self._ticks.discard(due)
        self._say(Ticked())

    def _follow(self, effect: Effect) -> None:
        match effect:
            case Placed(demand):
                self._place(demand)
            case Granted(lease):
                self._load(self.processes[lease])
            case Revoke(lease):
                self._revoke(self.processes[lease])
            case Refused() | Overdue():
                raise AssertionError(effect)
            case _:
                pass

    def _place(self, demand: str) -> None:
        name = self._names[demand]
        self._placed.add(demand)
        serving = self._serving(name)
        if serving is not None:
            self._at(self.now, lambda: self._late(serving, demand))
        elif name not in self._starting and not any(
            one.model.name == name and not one.leaving for one in self.processes.values()
        ):
            self._starting.add(name)
            self._at(self.now + START_SECONDS, lambda: self._start(name))

    def _late(self, process: Process, demand: str) -> None:
        """The model was there when its place was told."""
        if demand in self.pending[process.model.name]:
            request = self._come(demand)
            self._say(DemandEnded(demand))
            if process.leaving:
                self._arrive(request)
            else:
                process.queue.append(request)
                self._fill(process)

    def prefetch(self, name: str) -> str:
        """The name of a demand that nobody made, for a policy that loads ahead."""
        demand = f"ahead {next(self._numbers)}"
        self._names[demand] = name
        return demand

    def _at(self, at: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), happen))
