"""The stage's scheduler under a discrete clock on a real trace, beside others and one that knows the future."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from actors.gpu.scheduler import Scheduler
from actors.gpu.urgency import URGENCY
from bus.priority import Priority
from stage_offline import Offline
from stage_rivals import LeastRecentlyUsed, first_in_first_out, least_frequently_used
from stage_trace import GB, STRETCH, models, requests
from stage_world import Policy, World
from table import Table

COUNTS = (3, 6, 12)
BANDWIDTHS = (2 * GB, 9 * GB)
REQUESTS = 4000
LIGHT_STRETCH = 40.0
TROUPE, OLLAMA, SWAP, FREQUENT = "Troupe", "LRU, as Ollama", "FIFO, as llama-swap", "LFU"
OFFLINE, AHEAD = "knows the future", "and loads ahead"
POLICIES = (TROUPE, OLLAMA, SWAP, FREQUENT, OFFLINE, AHEAD)


NOTES = [
    "Asked for, at 6 models: never above the cap of 12.8 GB; p95 of interactive calls at most 0.5 of LRU's and 1.3 "
    "of the bound's. p50, p95 and p99 are those of interactive calls, from arrival until the call runs in a slot.",
    "One device of 16 GB. Models have 5, 8, 2, 9, 4, 6, 3, 7, 2.5, 8.5, 4.5, 5.5 GB, the most popular first; each "
    "call is for the one in place k with a probability in proportion to 1 / k, independently of those before "
    "(seeded). 5 % of calls are voice, 85 % interactive, 10 % batch, by ten people.",
    f"Arrivals and lengths are the first {REQUESTS:,} of the Azure LLM inference trace 2023 (tests/bench/data), "
    f"{STRETCH:g} times as slow: then calls run in about two thirds of the time, so that the device is neither idle "
    "nor overrun.",
    "Each model has 4 slots, which do not slow each other down: 270 / GB tokens a second written, 9,000 / GB read. "
    "A load takes its size over the disk's speed, one after the other, and 0.3 s to start; an end 0.3 s until "
    "memory is free.",
    "LRU is Ollama's queue: each call in its turn, also those for models that are loaded. FIFO and LFU join calls "
    "for one model, and calls for loaded models wait for nobody. None of them knows classes.",
    "The bound is the better of two that know all arrivals and lengths: for each model that is wanted they weigh "
    "every set of models that could go, at every moment at which one of their calls ends, by what the exchange and "
    "the way back cost in waiting; the second also loads before the call comes. It bounds what choosing victims and"
    " moments with foresight gives; it is no proof that no schedule is better.",
]


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one policy. waits: seconds by class, sorted. busy: share of the time in which calls ran."""

    policy: str
    models: int
    bandwidth: int
    waits: dict[Priority, list[float]]
    switches: int
    high_water: int
    busy: float

    def wait(self, share: float, priority: Priority = Priority.INTERACTIVE) -> float:
        """The wait that this share of a class does not exceed."""
        waits = self.waits[priority]
        return waits[min(len(waits) - 1, int(share * len(waits)))]


def simulate(policy: str, count: int, bandwidth: int, calls: int = REQUESTS, stretch: float = STRETCH) -> Run:
    """One run."""
    of = models(count)
    asked = requests(calls, of, stretch)
    offline = Offline(of, asked, bandwidth, ahead=policy == AHEAD)
    makers: dict[str, Callable[[], Policy]] = {
        TROUPE: Scheduler,
        OLLAMA: LeastRecentlyUsed,
        SWAP: first_in_first_out,
        FREQUENT: least_frequently_used,
    }
    world = World(makers.get(policy, lambda: offline)(), of, asked, bandwidth)
    offline.world = world
    world.run()
    waits = {
        priority: sorted(request.waited for request in asked if request.priority is priority) for priority in Priority
    }
    return Run(policy, count, bandwidth, waits, world.switches, world.high_water, world.busy_seconds / world.now)


def within(run: Run) -> bool:
    """Nobody waited longer than the bound of the class."""
    return all(waits[-1] <= URGENCY[priority].bound for priority, waits in run.waits.items() if waits)


def table(name: str, title: str, runs: Sequence[Run]) -> Table:
    """All runs, beside the LRU and the better of those that know the future."""
    columns = [
        "models, disk", "policy", "p50", "p95", "p99", "p95 / LRU", "p95 / bound",
        "longest: voice", "interactive", "batch", "loads per 100 calls", "high water", "calls run",
    ]  # fmt: skip
    made = Table(name, title, columns)
    for run in runs:
        same = {one.policy: one for one in runs if (one.models, one.bandwidth) == (run.models, run.bandwidth)}
        bound = min(same[OFFLINE].wait(0.95), same[AHEAD].wait(0.95))
        calls = sum(len(waits) for waits in run.waits.values())
        made.rows.append(
            [
                f"{run.models}, {run.bandwidth // GB} GB/s",
                run.policy,
                *[f"{run.wait(share):.1f} s" for share in (0.5, 0.95, 0.99)],
                f"{run.wait(0.95) / same[OLLAMA].wait(0.95):.2f}",
                f"{run.wait(0.95) / bound:.2f}",
                *[f"{run.waits[one][-1]:.0f} s" for one in (Priority.VOICE, Priority.INTERACTIVE, Priority.BATCH)],
                f"{100 * run.switches / calls:.0f}",
                f"{run.high_water / GB:.1f} GB",
                f"{100 * run.busy:.0f} %",
            ]
        )
    return made


async def main() -> None:
    """Runs all, and prints and keeps the tables."""
    loop = asyncio.get_running_loop()
    heavy = [(policy, count, bandwidth) for count in COUNTS for bandwidth in BANDWIDTHS for policy in POLICIES]
    light = [(policy, 6, bandwidth) for bandwidth in BANDWIDTHS for policy in POLICIES]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        runs = [loop.run_in_executor(pool, simulate, *one) for one in heavy]
        lighter = [loop.run_in_executor(pool, simulate, *one, REQUESTS, LIGHT_STRETCH) for one in light]
        found, others = await asyncio.gather(*runs), await asyncio.gather(*lighter)
    made = table("stage", f"The stage, simulated: how long {REQUESTS:,} calls wait for their model", found)
    bounds = ", ".join(f"{one.word} {URGENCY[one].bound:g} s" for one in Priority if one is not Priority.TRAINING)
    kept = "yes" if all(within(run) for run in found if run.policy == TROUPE) else "no"
    made.notes = [*NOTES, f"Nobody waits longer than the bound of the class ({bounds}): {kept}."]
    made.publish()
    made = table("stage_light", f"The same, the trace {LIGHT_STRETCH:g} times as slow", others)
    made.notes = ["The less there is to choose, the nearer all are to each other and to what knows the future."]
    made.publish()
