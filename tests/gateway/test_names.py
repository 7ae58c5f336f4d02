import asyncio
from typing import Any

import pytest

from bus import Context
from bus.server import Server
from bus.transports.memory import MemoryTransport
from gateway.names import CHAT, EMBEDDING, Names
from host.settings import ModelSettings
from troupe.model.v1 import ListModelsRequest, ListModelsResponse, Model, ModelService


def test_an_alias_means_its_model_and_no_name_means_the_default() -> None:
    names = Names(ModelSettings(default="small", aliases={"gpt-4o": "big"}))
    assert [names.model(name) for name in ("gpt-4o", "", "default", "other")] == ["big", "small", "small", "other"]


def test_the_default_may_be_an_alias_and_a_model_may_be_called_default() -> None:
    assert Names(ModelSettings(default="usual", aliases={"usual": "big"})).default == "big"
    assert Names(ModelSettings(aliases={"default": "big"})).model("default") == "big"


def test_until_the_hub_has_said_who_answers_the_model_does_that_every_hub_has() -> None:
    assert Names(ModelSettings()).model("") == "troupe-tiny"


class Listing(ModelService):
    """Says of each service which of its models is the default."""

    async def list_models(self, request: ListModelsRequest, ctx: Context) -> ListModelsResponse:
        default = {CHAT: "b", EMBEDDING: "vectors"}[request.service]
        return ListModelsResponse(models=[Model(name="a"), Model(name=default, default=True)])


@pytest.mark.parametrize(("chosen", "chat"), [("", "b"), ("small", "small")])
async def test_what_the_settings_leave_open_the_hub_says_for_each_service(
    hall: Any, gateway: Any, chosen: str, chat: str
) -> None:
    transport = MemoryTransport(hall.broker)
    server = Server(transport)
    await server.add(Listing(), ModelService.INFO)
    names = Names(ModelSettings(default=chosen))
    watching = asyncio.create_task(names.watch(gateway.channel))
    async with asyncio.timeout(10):
        while names.model("", EMBEDDING) != "vectors":
            await asyncio.sleep(0)
    assert [names.model("default"), names.model("", EMBEDDING)] == [chat, "vectors"]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await server.drain(grace=0.1)
    await transport.close()
