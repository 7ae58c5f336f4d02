"""Tasks that are to end, whatever keeps their cancelling."""

import asyncio

from bus.testing.clock import run_at_once
from store import ended


def test_a_task_that_keeps_a_cancelling_to_itself_ends_all_the_same() -> None:
    async def main() -> int:
        kept = 0

        async def deaf() -> None:
            nonlocal kept
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    kept += 1
                    if kept == 3:
                        raise

        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await ended(task)
        assert task.cancelled()
        await ended(task)  # over already
        return kept

    assert run_at_once(main()) == 3
