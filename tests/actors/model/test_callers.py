"""A model that queues for memory is given up when the last who waits for it has left."""

import asyncio

from actors.model.callers import Callers
from troupe.rpc.v1 import Progress


class Life:
    def __init__(self, state: Progress.State = Progress.STATE_QUEUED) -> None:
        self.settled = False
        self.progress = Progress(state=state)
        self.stopped = 0

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.stopped += 1


async def test_the_last_who_leaves_ends_what_only_waits_for_memory() -> None:
    callers, life = Callers(()), Life()
    with callers.one("a", life):
        with callers.one("a", life):
            pass
        await callers.ended()
        assert life.stopped == 0
    await callers.ended()
    assert life.stopped == 1


async def test_what_loads_goes_on_and_so_does_what_is_wanted_whether_anybody_calls_or_not() -> None:
    loading, wanted, served = Life(Progress.STATE_LOADING), Life(), Life()
    served.settled = True
    callers = Callers(["wanted"])
    for name, life in (("loading", loading), ("wanted", wanted), ("served", served)):
        with callers.one(name, life):
            pass
    await callers.ended()
    assert [loading.stopped, wanted.stopped, served.stopped] == [0, 0, 0]
