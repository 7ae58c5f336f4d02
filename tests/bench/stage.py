"""The stage's scheduler under a discrete clock on a real trace, beside others and one that knows the future."""

import asyncio
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from actors.gpu.scheduler import Scheduler
from actors.gpu.urgency import URGENCY
from bus.priority import Priority
from stage_offline import Offline
from stage_rivals import LeastRecentlyUsed, first_in_first_out, least_frequently_used
from stage_trace import GB, STRETCH, Request, models, requests
from stage_world import Policy, World
from table import Table

COUNTS = (3, 6, 12)
BANDWIDTHS = (2 * GB, 9 * GB)
REQUESTS = 4000
POLICIES = ("troupe", "lru", "fifo", "lfu", "offline", "offline, ahead")


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one policy. waits: seconds by class, sorted."""

    policy: str
    models: int
    bandwidth: int
    waits: dict[Priority, list[float]]
    switches: int
    high_water: int
    busy: float
    seconds: float

    def wait(self, share: float, priority: Priority = Priority.INTERACTIVE) -> float:
        """The wait that this share of a class does not exceed."""
        waits = self.waits[priority]
        return waits[min(len(waits) - 1, int(share * len(waits)))]


def simulate(policy: str, count: int, bandwidth: int, calls: int = REQUESTS, stretch: float = STRETCH) -> Run:
    """One run."""
    of = models(count)
    asked = requests(calls, of, stretch)
    offline = Offline(of, asked, bandwidth, ahead="ahead" in policy)
    chosen: Policy = {
        "troupe": Scheduler,
        "lru": LeastRecentlyUsed,
        "fifo": first_in_first_out,
        "lfu": least_frequently_used,
    }.get(policy, lambda: offline)()
    world = World(chosen, of, asked, bandwidth)
    offline.world = world
    began = time.perf_counter()
    world.run()
    waits = {
        priority: sorted(request.waited for request in asked if request.priority is priority) for priority in Priority
    }
    seconds = time.perf_counter() - began
    return Run(
        policy, count, bandwidth, waits, world.switches, world.high_water, world.busy_seconds / world.now, seconds
    )


if __name__ == "__main__":
    for policy in sys.argv[1].split(";"):
        for count in map(int, sys.argv[2].split(",")):
            for bandwidth in map(int, sys.argv[3].split(",")):
                run = simulate(policy, count, bandwidth * GB, int(sys.argv[4]), float(sys.argv[5]))
                i = Priority.INTERACTIVE
                mx = {p.word: round(w[-1], 1) for p, w in run.waits.items() if w}
                mean = sum(run.waits[i]) / len(run.waits[i])
                print(f"{policy:15} {count:2} {bandwidth} p50 {run.wait(.5):6.2f} p95 {run.wait(.95):6.2f} p99 {run.wait(.99):6.2f} mean {mean:5.2f} voice95 {run.wait(.95, Priority.VOICE):5.1f} batch95 {run.wait(.95, Priority.BATCH):5.1f} max {mx} sw {run.switches} hw {run.high_water/GB:.1f} busy {run.busy:.2f} t {run.seconds:.1f}", flush=True)
