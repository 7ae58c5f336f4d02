"""Says again what a call waits for, so that nobody waits long without a word."""

import asyncio
from collections.abc import Callable

from bus.waiting import SAY_AGAIN_SECONDS
from troupe.rpc.v1 import Progress


class Reminder:
    """Tells the last Progress again whenever nothing new was told for SAY_AGAIN_SECONDS. Ends with `stop`."""

    def __init__(self, tell: Callable[[Progress], None]) -> None:
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, progress: Progress) -> None:
        """Something new."""
        self.stop()
        self._tell(progress)
        self._timer = asyncio.get_running_loop().call_later(SAY_AGAIN_SECONDS, self.tell, progress)

    def stop(self) -> None:
        """Say nothing more. May be called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
