"""The life of a model's process between loading and leaving, for any engine."""

import asyncio
from collections.abc import Callable

from actors.model.attendance import Attendance, Offer
from actors.model.interface import Engine
from actors.model.service import AdapterSource, ServedModel
from host.member import Member
from troupe.chat.v1 import ChatService
from troupe.embedding.v1 import EmbeddingService


def offers(engine: Engine, adapters: AdapterSource) -> list[Offer]:
    """The services of an engine's model. Raises RpcError MODEL_LOAD_FAILED if its chat template cannot be used."""
    model = ServedModel(engine, adapters)
    embeds = engine.info.embedding_dimensions > 0
    return [
        *([(model, EmbeddingService.INFO)] if embeds else []),
        *([(model, ChatService.INFO)] if engine.info.generates else []),
    ]


async def serve(
    member: Member,
    family: str,
    name: str,
    offered: list[Offer],
    *,
    ready: Callable[[], None],
    stop: asyncio.Event,
    grace: float,
) -> None:
    """Serve a model under the names that its family wants until `stop` is set.

    ready: called once it serves. When this returns, running calls have ended within `grace` seconds or were cancelled.
    """
    async with Attendance(member, family, name, offered, grace):
        await member.ready()
        ready()
        await stop.wait()
        await member.drain(grace)
