"""What a family hears of its models' processes on the bus, and what it tells of them."""

import time
from collections.abc import Callable

from bus import subjects
from bus.transports import Transport
from host.driver import Driver
from host.member import Member
from troupe.rpc.v1 import Heartbeat


class ProcessWatch:
    """Hands every beat that a member hears to the drivers that follow."""

    def __init__(self, member: Member) -> None:
        self._transport: Transport = member.transport
        self._presence = member.presence
        self._followed: set[Driver] = set()
        self._leave: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to listen. Starting twice does nothing."""
        if self._leave is None:
            self._leave = self._presence.listen(self._heard)

    def stop(self) -> None:
        """Listen no longer. Stopping twice does nothing."""
        if self._leave is not None:
            self._leave()
            self._leave = None

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
