"""When nobody serves a model, have it loaded."""

from collections.abc import AsyncIterator

from bus import MethodInfo
from bus.channel import Channel, Resolver
from troupe.model.v1 import LoadModelRequest, ModelServiceClient
from troupe.rpc.v1 import Progress


def load_on_demand(channel: Channel) -> Resolver:
    """A resolver that asks ModelService for the model that the route names. Its errors become the call's."""
    models = ModelServiceClient(channel)

    async def resolve(method: MethodInfo, route: str) -> AsyncIterator[Progress]:
        async for response in models.load_model(LoadModelRequest(name=route)):
            if response.HasField("progress"):
                yield response.progress

    return resolve
