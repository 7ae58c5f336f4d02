import asyncio
from typing import Any

from bus import Context
from bus.server import Server
from bus.transports.memory import MemoryTransport
from gateway.names import Names
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
    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def list_models(self, request: ListModelsRequest, ctx: Context) -> ListModelsResponse:
        self.asked.set()
        return ListModelsResponse(models=[Model(name="a"), Model(name="b", default=True)])


async def test_without_a_setting_the_hubs_own_default_is_followed(stage: Any, gateway: Any) -> None:
    listing = Listing()
    transport = MemoryTransport(stage.broker)
    server = Server(transport)
    await server.add(listing, ModelService.INFO)
    names = Names(ModelSettings())
    watching = asyncio.create_task(names.watch(gateway.channel))
    await listing.asked.wait()
    while names.default != "b":
        await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await server.drain(grace=0.1)
    await transport.close()


async def test_a_default_of_the_settings_is_asked_of_nobody(gateway: Any) -> None:
    await Names(ModelSettings(default="small")).watch(gateway.channel)
