"""Families as they come and go: what each has, and under which names it is told to serve that."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from actors.models.directory import Directory
from bus import Code, RpcError
from bus.channel import Channel
from host.liveness import Change, Lost, Presence
from troupe.family import v1 as families

LIST_SECONDS = 2.0
"""A family that has not said within this time what it has does not hold up the list of the others."""
AGAIN_SECONDS = 1.0
"""Until a family that is away is tried again, unless it is heard before."""
ROUTE = f"{families.FamilyService.INFO.name}["

log = structlog.get_logger(__name__)


class Following:
    """Keeps a directory as families tell. followed: called when one has told what it has."""

    def __init__(
        self, directory: Directory, channel: Channel, presence: Presence, followed: Callable[[], None]
    ) -> None:
        self._directory = directory
        self._client = families.FamilyServiceClient(channel)
        self._presence = presence
        self._followed = followed
        self._following: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, families.NameModelsRequest] = {}
        self._naming = asyncio.Lock()
        self._heard = asyncio.Event()

    def start(self, known: Iterable[str]) -> None:
        """Begin to hear families; those of these names are there or will be."""
        self._presence.subscribe(self._noticed)
        for family in known:
            self._meet(family)

    async def stop(self) -> None:
        """Follow nobody any more."""
        following, self._following = list(self._following.values()), {}
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)

    async def refresh(self) -> None:
        """Ask what every family has now, except for those that are away: their return is noticed by itself."""
        asked = [family for family in self._directory.families if not self._directory.missing(family)]
        await asyncio.gather(*(self._ask(family) for family in asked))
        await self.tell_names()

    async def tell_names(self) -> None:
        """Tell the families whose bare names are theirs, where that has changed."""
        async with self._naming:
            await asyncio.gather(*(self._tell(family) for family in self._directory.families))

    async def _ask(self, family: str) -> None:
        try:
            found = await self._client.list_models(families.ListModelsRequest(family=family), timeout=LIST_SECONDS)
        except RpcError as error:
            self._directory.lost(family, _why(family, error))
            self._begin_to_follow(family)  # a watch that it holds open may be as dead
        else:
            self._directory.replace(family, found.models)

    def _noticed(self, change: Change) -> None:
        served = [name for name in change.seen.services if name.startswith(ROUTE)]
        if served and not isinstance(change, Lost) and change.seen.state == "serving":
            for name in served:
                self._meet(name[len(ROUTE) : -1])
            self._heard.set()

    def _meet(self, family: str) -> None:
        self._directory.meet(family)
        if family not in self._following:
            self._begin_to_follow(family)

    def _begin_to_follow(self, family: str) -> None:
        before = self._following.get(family)
        if before is not None:
            before.cancel()
        self._following[family] = asyncio.create_task(self._follow(family), name=f"family {family}")

    async def _follow(self, family: str) -> None:
        while True:
            try:
                async for change in self._client.watch_models(families.WatchModelsRequest(family=family)):
                    if change.whole:
                        self._told.pop(family, None)  # it may have been started anew
                    self._directory.change(family, change)
                    self._followed()
                    await self.tell_names()
            except RpcError as error:
                self._directory.lost(family, _why(family, error))
                log.info("family.lost", family=family, error=error.message)
            self._heard.clear()
            try:
                async with asyncio.timeout(AGAIN_SECONDS):
                    await self._heard.wait()
            except TimeoutError:
                continue

    async def _tell(self, family: str) -> None:
        names = self._directory.other_names(family)
        request = families.NameModelsRequest(
            family=family,
            withheld=self._directory.withheld(family),
            others=[families.OtherNames(model=model, names=others) for model, others in sorted(names.items())],
        )
        if self._directory.away(family) or self._told.get(family) == request:
            return
        try:
            await self._client.name_models(request, timeout=LIST_SECONDS)
        except RpcError as error:
            log.warning("family.unnamed", family=family, error=error.message)
        else:
            self._told[family] = request


def _why(family: str, error: RpcError) -> str:
    if error.reason == "FAMILY_UNAVAILABLE":
        return error.message
    late = error.code is Code.DEADLINE_EXCEEDED
    why = f"it did not answer within {LIST_SECONDS:g} s" if late else "its process does not answer"
    return f"The family {family} is away ({why})."
