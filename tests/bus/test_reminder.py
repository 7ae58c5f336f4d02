"""What is said while nothing new is."""

import asyncio

from bus.reminder import Reminder
from bus.testing import run_at_once
from bus.waiting import SAY_AGAIN_SECONDS
from troupe.rpc.v1 import Progress

LOADING, LOADED = Progress(note="loading"), Progress(note="nearly loaded")


def test_the_last_word_is_said_again_until_there_is_a_new_one_and_never_after_the_end() -> None:
    async def wait() -> list[tuple[float, str]]:
        loop, told = asyncio.get_running_loop(), list[tuple[float, str]]()
        began = loop.time()
        reminder = Reminder(lambda progress: told.append((round(loop.time() - began, 3), progress.note)))
        await asyncio.sleep(10 * SAY_AGAIN_SECONDS)
        began = loop.time()
        reminder.tell(LOADING)
        await asyncio.sleep(2.5 * SAY_AGAIN_SECONDS)
        reminder.tell(LOADED)
        await asyncio.sleep(1.5 * SAY_AGAIN_SECONDS)
        reminder.stop()
        reminder.stop()
        await asyncio.sleep(10 * SAY_AGAIN_SECONDS)
        return told

    every = SAY_AGAIN_SECONDS
    assert run_at_once(wait()) == [
        (0.0, "loading"),
        (every, "loading"),
        (2 * every, "loading"),
        (2.5 * every, "nearly loaded"),
        (3.5 * every, "nearly loaded"),
    ]
