"""A model's services on the bus under the names that its family wants, also when these change."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

import structlog

from actors.model.interface import Engine
from actors.model.names import qualified
from actors.model.service import AdapterSource, ServedModel
from actors.model.trial import Trial
from bus import RpcError, ServiceInfo
from host.member import Member
from troupe.chat.v1 import ChatService
from troupe.embedding.v1 import EmbeddingService
from troupe.family.v1 import AttendModelRequest, FamilyServiceClient, TrialService

FIRST_SECONDS = 3.0
"""How long the family may take to say the first names; without it, a model serves under both of its own."""
AGAIN_SECONDS = 1.0
"""Until a family that is away is asked again."""

log = structlog.get_logger(__name__)

Offer = tuple[object, ServiceInfo]
"""What serves, and the service."""


def offers(engine: Engine, adapters: AdapterSource) -> list[Offer]:
    """The services of an engine's model. Raises RpcError MODEL_LOAD_FAILED if its chat template cannot be used."""
    model = ServedModel(engine, adapters)
    embeds, generates = engine.info.embeds and engine.info.embedding_dimensions > 0, engine.info.generates
    return [
        *([(model, EmbeddingService.INFO)] if embeds else []),
        *([(model, ChatService.INFO)] if generates else []),
    ]


class Attendance:
    """Serves a model while it is entered; leaving withdraws it.

    grace: says how many seconds running calls have when names are withdrawn.
    """

    def __init__(
        self, member: Member, family: str, model: str, offers: Sequence[Offer], grace: Callable[[], float]
    ) -> None:
        self.names: tuple[str, ...] = ()
        self._member = member
        self._family = family
        self._model = model
        self._offers = offers
        self._grace = grace
        self._client = FamilyServiceClient(member.channel)
        self._full = qualified(family, model)
        served = {service.name: actor for actor, service in offers}
        self._trial = Trial(served, lambda: self.active() > 0)
        self._following: asyncio.Task[None] | None = None

    def active(self) -> int:
        """Calls of others that are served under these names; that it is tried is no use of it."""
        server = self._member.server
        return server.active_under(self.names) - server.active_of(TrialService.INFO, self.names)

    async def __aenter__(self) -> Self:
        try:
            names = await self._ask(FIRST_SECONDS)
        except RpcError as problem:
            log.warning("model.unattended", model=self._model, family=self._family, error=problem.message)
            names = (qualified(self._family, self._model), self._model)
        await self._serve(names)
        await self._member.serve(self._trial, TrialService.INFO, route=self._full)
        self._following = asyncio.create_task(self._follow(), name=f"names of {self._model}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        with suppress(RpcError):  # as `_left`; what is tried is given up
            await self._member.withdraw(TrialService.INFO, self._full, 0)
        await self._serve(())

    async def _follow(self) -> None:
        while True:
            try:
                await self._serve(await self._ask())
            except RpcError as problem:
                log.debug("family.away", family=self._family, error=problem.message)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _ask(self, timeout: float | None = None) -> tuple[str, ...]:
        request = AttendModelRequest(family=self._family, model=self._model, names=self.names)
        return tuple((await self._client.attend_model(request, timeout=timeout)).names)

    async def _serve(self, names: Sequence[str]) -> None:
        """Serve under these names and no others; new ones come first, so that none is missed in between."""
        before, self.names = self.names, tuple(names)
        for name in [each for each in names if each not in before]:
            for actor, service in self._offers:
                await self._member.serve(actor, service, route=name)
        left = [self._left(service, name) for name in before if name not in names for _, service in self._offers]
        await asyncio.gather(*left)

    async def _left(self, service: ServiceInfo, name: str) -> None:
        with suppress(RpcError):  # the bus is away, and the route with it
            await self._member.withdraw(service, name, self._grace())
