"""GET /v1/models and GET /v1/models/{id}."""

from gateway.http.exchange import Exchange
from gateway.http.stream import unless_gone
from gateway.openai.responses import ModelList, ModelOut
from troupe.model.v1 import GetModelRequest, ListModelsRequest, Model, ModelServiceClient, ModelState

LIST_SECONDS = 10.0
FAILED = ModelState.MODEL_STATE_FAILED


async def list_models(exchange: Exchange) -> None:
    """Every model that can be called: files that cannot be loaded are left out, what is away for a moment is not."""
    client = ModelServiceClient(exchange.hub.channel)
    work = client.list_models(ListModelsRequest(), timeout=LIST_SECONDS, metadata=exchange.metadata)
    found = await unless_gone(exchange.receive, work)
    await exchange.answer(ModelList(data=[_model(model) for model in found.models if model.state != FAILED]))


async def get_model(exchange: Exchange) -> None:
    """One model. Unknown names are 404 with the nearest ones."""
    client = ModelServiceClient(exchange.hub.channel)
    request = GetModelRequest(name=exchange.path_parameter("model"))
    work = client.get_model(request, timeout=LIST_SECONDS, metadata=exchange.metadata)
    found = await unless_gone(exchange.receive, work)
    await exchange.answer(_model(found.model))


def _model(model: Model) -> ModelOut:
    return ModelOut(id=model.name, created=model.modified.seconds, owned_by=model.owner or "user")
