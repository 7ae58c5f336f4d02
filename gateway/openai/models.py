"""GET /v1/models and GET /v1/models/{id}."""

from collections.abc import Mapping
from typing import Literal

from gateway.http.exchange import Exchange
from gateway.http.stream import unless_gone
from gateway.openai.responses import ModelList, ModelOut
from troupe.model.v1 import GetModelRequest, HealthState, ListModelsRequest, Model, ModelServiceClient, ModelState

LIST_SECONDS = 10.0

UNUSABLE = frozenset({ModelState.MODEL_STATE_FAILED})
Status = Literal["loaded", "loading", "available", "unavailable"]
STATUSES: Mapping[ModelState, Status] = {
    ModelState.MODEL_STATE_READY: "loaded",
    ModelState.MODEL_STATE_LOADING: "loading",
    ModelState.MODEL_STATE_UNAVAILABLE: "unavailable",
}
"""All others are "available": the first call loads them."""
HEALTH: Mapping[HealthState, Literal["healthy", "failing"]] = {
    HealthState.HEALTH_STATE_HEALTHY: "healthy",
    HealthState.HEALTH_STATE_FAILING: "failing",
}


async def list_models(exchange: Exchange) -> None:
    """Every model that can be called, and every alias of one; what cannot be loaded is not among them."""
    client = ModelServiceClient(exchange.hub.channel)
    work = client.list_models(ListModelsRequest(), timeout=LIST_SECONDS, metadata=exchange.metadata)
    found = await unless_gone(exchange.receive, work)
    usable = {model.name: model for model in found.models if model.state not in UNUSABLE}
    names = exchange.hub.names
    default = names.default
    shown = [_model(name, model, default) for name, model in usable.items()]
    aliases = {alias: model.name for model in usable.values() for alias in model.aliases} | names.aliases
    for alias, name in aliases.items():
        if name in usable and alias not in usable:
            shown.append(_model(alias, usable[name], default))
    await exchange.answer(ModelList(data=shown))


async def get_model(exchange: Exchange) -> None:
    """One model. Unknown names are 404 with the nearest ones."""
    client = ModelServiceClient(exchange.hub.channel)
    asked = exchange.path_parameter("model")
    names = exchange.hub.names
    work = client.get_model(GetModelRequest(name=names.model(asked)), timeout=LIST_SECONDS, metadata=exchange.metadata)
    found = await unless_gone(exchange.receive, work)
    await exchange.answer(_model(asked, found.model, names.default))


def _model(name: str, model: Model, default: str) -> ModelOut:
    return ModelOut(
        id=name,
        created=model.modified.seconds,
        owned_by=model.owner or "user",
        context_length=model.context_tokens or None,
        default=model.name == default,
        alias_of=model.name if name != model.name else None,
        status=STATUSES.get(model.state, "available"),
        health=HEALTH.get(model.health.state),
        quantization=model.quantization or None,
        license=model.license or None,
        languages=list(model.languages),
        input_modalities=list(model.input_modalities),
        output_modalities=list(model.output_modalities),
        specialties=list(model.specialties),
    )
