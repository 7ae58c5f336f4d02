"""The stage is killed again and again while processes come, load, work, leave and die: what is granted always fits."""

import asyncio
import os
import random
from contextlib import suppress

import pytest

from actors.gpu import actor as module
from actors.gpu.scheduler import Scheduler
from actors.gpu.words import Effect, Happening
from bus import RpcError

from .house import DEVICE, Holding, House, house, work

KILLS = int(os.environ.get("STAGE_KILLS", "50"))
SEED = int(os.environ.get("STAGE_SEED", "1"))
TOTAL = 100
SIZES = (20, 35, 45, 60)


class Taken:
    """What holders have, as they themselves know it: from their grant until they have given it back."""

    def __init__(self) -> None:
        self.now: dict[object, int] = {}
        self.most = 0
        self.granted = asyncio.Semaphore(0)

    def take(self, holder: object, size: int) -> None:
        self.granted.release()
        self.now[holder] = size
        self.most = max(self.most, sum(self.now.values()))

    def give_back(self, holder: object) -> None:
        self.now.pop(holder, None)


async def live(holder: Holding, name: str, luck: random.Random, taken: Taken) -> None:
    """A process that takes its memory again and again, uses it, and leaves when it is told or has enough."""
    while True:
        holder.revoked.clear()
        with suppress(RpcError):
            async with holder.lease(work(name, luck.choice(SIZES), load=None)) as lease:
                taken.take(holder, lease.shares[DEVICE])
                try:
                    await asyncio.sleep(luck.uniform(0, 0.02))
                    lease.loaded()
                    for step in range(luck.randint(1, 5)):
                        lease.used(running=step % 2, begun=step)
                        with suppress(TimeoutError):
                            async with asyncio.timeout(luck.uniform(0, 0.05)):
                                await holder.revoked.wait()
                finally:
                    taken.give_back(holder)


@pytest.mark.parametrize(("seed", "kills"), [(SEED, 5), pytest.param(SEED + 1, KILLS, marks=pytest.mark.long)])
async def test_leases_are_rebuilt_after_every_kill_and_nothing_is_granted_twice(
    seed: int, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    over: list[str] = []

    class Watched(Scheduler):
        """Notes when more is charged than there is."""

        def handle(self, happening: Happening, now: float) -> list[Effect]:
            effects = super().handle(happening, now)
            over.extend(
                f"{device.leased + device.unverified} after {happening}"
                for device in self.snapshot(now).devices
                if device.leased + device.unverified > TOTAL
            )
            return effects

    monkeypatch.setattr(module, "Scheduler", Watched)
    luck, taken = random.Random(seed), Taken()
    async with house(total=TOTAL, seconds=240) as place:
        holders = [await place.holder() for _ in range(6)]
        lives = [
            asyncio.create_task(live(holder, f"work-{number % 4}", random.Random(seed * 100 + number), taken))
            for number, holder in enumerate(holders)
        ]
        for _ in range(kills):
            await asyncio.sleep(luck.uniform(0, 0.1))
            held = dict(taken.now)
            await place.kill_stage()
            await place.open_stage()
            await _all_known(place, held, taken)
        taken.granted = asyncio.Semaphore(0)
        for _ in holders:  # it goes on
            await taken.granted.acquire()
        for task in lives:
            task.cancel()
        ends = await asyncio.gather(*lives, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError] * len(lives)
        await place.until(lambda picture: not picture.leases and not picture.devices[0].unverified_bytes)
    assert over == []
    assert taken.most <= TOTAL


async def _all_known(place: House, held: dict[object, int], taken: Taken) -> None:
    """Whoever had memory before the kill, and has it now, is known to the stage that came after it."""
    picture = await place.picture()
    known = {lease.holder for lease in picture.leases}
    still = {
        holder.process.transport.process for holder in held.keys() & taken.now.keys() if isinstance(holder, Holding)
    }
    assert still <= known
