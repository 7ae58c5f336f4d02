"""Models that are asked for before they have been fetched."""

from bus import Code, RpcError
from bus.channel import Channel
from troupe.weights.v1 import ListWeightsRequest, Weights, WeightsServiceClient, WeightsState

ASK_SECONDS = 1.0
AGAIN_SECONDS = 5.0
"""When to ask again where nobody knows how long it takes."""
LONGEST_SECONDS = 60.0
"""Clients give up on longer waits."""
ON_ITS_WAY = (WeightsState.WEIGHTS_STATE_FETCHING, WeightsState.WEIGHTS_STATE_WAITING)


async def weights_of(name: str, channel: Channel) -> Weights | None:
    """The model of this name that the hub fetches, or could; None: there is none, or nobody says."""
    try:
        answer = await WeightsServiceClient(channel).list_weights(ListWeightsRequest(), timeout=ASK_SECONDS)
    except RpcError:
        return None
    return next((each for each in answer.weights if each.services and each.name == name.rpartition("/")[2]), None)


def reworded(missing: RpcError, weights: Weights) -> RpcError:
    """What to say instead of MODEL_NOT_FOUND: MODEL_BEING_FETCHED with the share that is there, or how to get it."""
    return being_fetched(weights) if weights.state in ON_ITS_WAY else _to_be_had(missing, weights)


def being_fetched(weights: Weights) -> RpcError:
    """The model comes by itself."""
    eta = weights.eta.ToNanoseconds() / 1e9 if weights.HasField("eta") else None
    fetching = weights.state == WeightsState.WEIGHTS_STATE_FETCHING
    how_far = f"{weights.fraction:.0%} of it is there" if fetching else "it is next after another"
    when = f", about {max(1, round(eta))} s are left" if eta is not None else ""
    return RpcError(
        Code.UNAVAILABLE,
        f"The model {weights.name!r} is being fetched: {how_far}{when}. Ask again then, or ask another model.",
        reason="MODEL_BEING_FETCHED",
        metadata={"name": weights.name, "fraction": f"{weights.fraction:.3f}"},
        field="model",
        retry_after=AGAIN_SECONDS if eta is None else min(max(eta, 1.0), LONGEST_SECONDS),
    )


def _to_be_had(missing: RpcError, weights: Weights) -> RpcError:
    why = f" {weights.error}" if weights.error else ""
    return RpcError(
        missing.code,
        f"The model {weights.name!r} is not here.{why} `troupe models pull {weights.name}` brings it.",
        reason=missing.reason,
        metadata=missing.metadata,
        field=missing.field,
    )
