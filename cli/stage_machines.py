"""The stages of several machines as one picture."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING

from bus import RpcError

if TYPE_CHECKING:
    from troupe.gpu.v1 import Share, WatchResponse

MAX_PICTURES = 16
"""That wait to be shown; then their stages wait."""

Watch = Callable[[str], "AsyncIterator[WatchResponse]"]
"""What the stage of a machine answers."""


async def together(watch: Watch, machine: str, *, once: bool) -> "AsyncGenerator[WatchResponse, None]":
    """What this machine's stage answers, with those of the machines that it tells of. Raises as the first one does.

    Where there are several, what is of another machine is called "machine: name". One that ends is left out.
    """
    others = _Others(watch)
    try:
        async for own in watch(machine):
            others.follow(name for name in own.machines if name != machine)
            await others.take(all_of_them=once)
            yield merged({machine: own, **others.newest}, machine)
            others.shown()
    finally:
        await others.end()


class _Others:
    """The newest pictures of other machines, with what was decided since they were shown."""

    def __init__(self, watch: Watch) -> None:
        self.newest: dict[str, WatchResponse] = {}
        self._watch = watch
        self._coming: asyncio.Queue[tuple[str, WatchResponse | None]] = asyncio.Queue(MAX_PICTURES)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def follow(self, names: Iterable[str]) -> None:
        """From now on these, too."""
        for name in names:
            if name not in self._tasks or self._tasks[name].done():
                self._tasks[name] = asyncio.create_task(self._read(name), name=f"stage of {name}")

    async def take(self, *, all_of_them: bool) -> None:
        """Take what has come; all_of_them: until each has ended."""
        left = len(self._tasks) if all_of_them else 0
        while left or not self._coming.empty():
            name, picture = await self._coming.get()
            if picture is not None:
                self.newest[name] = _with_decisions(picture, self.newest.get(name))
            else:
                left = max(0, left - 1)
                self.newest.pop(name, None)

    def shown(self) -> None:
        """What was decided so far has been shown."""
        for picture in self.newest.values():
            del picture.decisions[:]

    async def end(self) -> None:
        """Follow nobody any more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _read(self, name: str) -> None:
        try:
            async for picture in self._watch(name):
                await self._coming.put((name, picture))
        except RpcError:
            await self._coming.put((name, None))  # it is away
        else:
            await self._coming.put(("", None))


def _with_decisions(picture: "WatchResponse", before: "WatchResponse | None") -> "WatchResponse":
    """The newer picture, with what was decided before it and was not shown."""
    if before is None or not before.decisions:
        return picture
    from troupe.gpu.v1 import WatchResponse

    joined = WatchResponse(decisions=before.decisions)
    joined.MergeFrom(picture)
    return joined


def merged(pictures: "dict[str, WatchResponse]", own: str) -> "WatchResponse":
    """All pictures as one; names of other machines' things begin with the machine's."""
    from troupe.gpu.v1 import WatchResponse

    whole = WatchResponse()
    for machine, picture in sorted(pictures.items(), key=lambda each: (each[0] != own, each[0])):
        part = WatchResponse()
        part.CopyFrom(picture)
        if machine != own:
            _name_all(part, f"{machine}: ")
            del part.machines[:]
        whole.MergeFrom(part)
    decisions = sorted(whole.decisions, key=lambda decision: decision.at.ToNanoseconds())
    del whole.decisions[:]
    whole.decisions.extend(decisions)
    return whole


def _name_all(part: "WatchResponse", prefix: str) -> None:
    for device in part.devices:
        device.name = prefix + device.name
    for lease in part.leases:
        lease.name = prefix + lease.name
        _name_shares([*lease.shares, *lease.measured], prefix)
    for wish in part.wishes:
        wish.name = prefix + wish.name
    for decision in part.decisions:
        decision.name = prefix + decision.name
        _name_shares(decision.shares, prefix)


def _name_shares(shares: "Iterable[Share]", prefix: str) -> None:
    for share in shares:
        share.device = prefix + share.device
