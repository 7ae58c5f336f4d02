"""Whether somebody who serves a method may come, by what is heard of a hub's processes; see bus.channel.Outlook."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from bus.channel import Channel
from bus.service import MethodInfo
from host.liveness import Change, Lost, Presence, Seen

REMEMBER_SECONDS = 180.0
"""Who was lost so lately may be started again; the supervisor's longest pause is shorter."""

MAX_REMEMBERED = 4096

LISTEN_SECONDS = 1.5
"""By then everyone who is alive was heard."""

START_SECONDS = 20.0
"""Where no supervisor is heard, as in containers, the rest of a hub may take so long to start."""

SUPERVISOR = "supervisor"


class Expectation:
    """Knows what is served, what was until lately, and whether something is being started. Ask it as an Outlook.

    presence: may be started later. Time is any clock in seconds.
    """

    def __init__(self, presence: Presence, clock: Callable[[], float] = time.monotonic) -> None:
        self._presence = presence
        self._clock = clock
        self._since = clock()
        self._lost: OrderedDict[str, float] = OrderedDict()
        presence.subscribe(self._changed)

    def __call__(self, method: MethodInfo, route: str) -> bool | None:
        service = f"{method.service}[{route}]" if route else method.service
        now, heard = self._clock(), self._presence.processes.values()
        if any(service in seen.services for seen in heard) or self._lately(service, now):
            return True
        if any(seen.awaits for seen in heard):
            return True
        return None if self._unsure(heard, now) else False

    def lacks(self, method: MethodInfo, route: str) -> str:
        """The part that would serve this and is not installed, as the supervisor tells; empty: none."""
        wanted = (method.service, f"{method.service}[{route}]")
        told = (absence for seen in self._presence.processes.values() for absence in seen.absent)
        return next((part for service, part in told if service in wanted), "")

    def _lately(self, service: str, now: float) -> bool:
        return now - self._lost.get(service, -REMEMBER_SECONDS) < REMEMBER_SECONDS

    def _unsure(self, heard: Iterable[Seen], now: float) -> bool:
        """Who was just started has not told yet what it serves."""
        supervised = False
        for seen in heard:
            if seen.state == "starting":
                return True
            supervised = supervised or seen.actor == SUPERVISOR
        return now - self._since < (LISTEN_SECONDS if supervised else START_SECONDS)

    def _changed(self, change: Change) -> None:
        if not isinstance(change, Lost):
            return
        now = self._clock()
        for service in change.seen.services:
            self._lost[service] = now
            self._lost.move_to_end(service)
        while len(self._lost) > MAX_REMEMBERED:
            self._lost.popitem(last=False)


def watch(channel: Channel, presence: Presence) -> None:
    """Let a channel know by what is heard here whom its calls wait for."""
    expectation = Expectation(presence)
    channel.outlook, channel.lacking = expectation, expectation.lacks
