"""What a family hears of its models' processes on the bus, and what it tells of them."""

import time
from collections.abc import Callable

from bus import subjects
from bus.transports import Transport
from host.driver import Driver
from host.liveness import Presence
from host.member import Member
from troupe.rpc.v1 import Heartbeat


class ProcessWatch:
    """Hands every beat to the drivers that follow. An async context, within the member's."""

    def __init__(self, member: Member) -> None:
        self._transport: Transport = member.transport
        self._presence = Presence(member.transport)
        self._followed: set[Driver] = set()
        self._started = False

    async def start(self) -> None:
        """Begin to listen. Starting twice does nothing."""
        if not self._started:
            self._started = True
            self._presence.listen(self._heard)
            await self._presence.start()

    async def stop(self) -> None:
        """Listen no longer."""
        if self._started:
            await self._presence.stop()

    def follow(self, driver: Driver) -> Callable[[], None]:
        """Let a driver hear every beat; what is returned ends it."""
        self._followed.add(driver)
        return lambda: self._followed.discard(driver)

    async def gone(self, process: str) -> None:
        """Tell everyone that a process has ended, so that nobody waits for it. Raises RpcError."""
        self._transport.publish(subjects.gone(process), b"")

    def _heard(self, beat: Heartbeat) -> None:
        for driver in list(self._followed):
            if beat.process == self._transport.process:
                driver.supervision.heard_itself(time.monotonic())
            else:
                driver.heard(beat)
