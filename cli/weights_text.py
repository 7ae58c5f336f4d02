"""Models that the hub fetches, as text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.model_text import offer
from cli.plain_text import size_text

if TYPE_CHECKING:
    from troupe.weights.v1 import Weights
    from troupe_client import Hub

ASK_SECONDS = 1.0
"""A hub that fetches nothing, and so has nobody who answers, must keep nobody waiting."""


async def known_weights(hub: "Hub") -> "list[Weights]":
    """What the hub can fetch or has fetched; none where it fetches nothing, or does not tell."""
    from bus import RpcError
    from troupe.weights.v1 import ListWeightsRequest

    try:
        return list((await hub.weights.list_weights(ListWeightsRequest(), timeout=ASK_SECONDS)).weights)
    except RpcError:
        return []


def missing(weights: "Sequence[Weights]") -> "list[Weights]":
    """Those that are not there yet."""
    from troupe.weights.v1 import WeightsState

    return [each for each in weights if each.state != WeightsState.WEIGHTS_STATE_PRESENT]


def coming(weights: "Sequence[Weights]", service: str = "") -> "list[Weights]":
    """Those that come by themselves, and offer the service if one is named."""
    from troupe.weights.v1 import WeightsState

    on_its_way = (WeightsState.WEIGHTS_STATE_WAITING, WeightsState.WEIGHTS_STATE_FETCHING)
    return [each for each in weights if each.state in on_its_way and (not service or service in each.services)]


def state_text(weights: "Weights") -> str:
    """How far weights have come, in a word or two."""
    from troupe.weights.v1 import WeightsState

    return {
        WeightsState.WEIGHTS_STATE_ABSENT: "to be had",
        WeightsState.WEIGHTS_STATE_WAITING: "will be fetched",
        WeightsState.WEIGHTS_STATE_FETCHING: f"fetching {weights.fraction:.0%}",
        WeightsState.WEIGHTS_STATE_PRESENT: "fetched",
        WeightsState.WEIGHTS_STATE_FAILED: "not fetched",
    }.get(weights.state, "unknown")


def row(weights: "Weights") -> tuple[str, ...]:
    """One line of the list of models."""
    offers = ", ".join(map(offer, weights.services))
    return weights.name, state_text(weights), "", size_text(weights.size_bytes), "", offers or "no model"


def notes(weights: "Sequence[Weights]") -> list[str]:
    """Lines below the list: what could not be fetched and why, and how to have what is to be had."""
    from troupe.weights.v1 import WeightsState

    lines = [f"{each.name}: {each.error}" for each in weights if each.error]
    absent = [each.name for each in weights if each.state == WeightsState.WEIGHTS_STATE_ABSENT]
    return [*lines, f"`troupe models pull {absent[0]}` brings it."] if absent else lines


def details(weights: "Weights") -> list[tuple[str, str]]:
    """Where a model is from and on which terms; of one that is not there, what it is, too."""
    from troupe.weights.v1 import WeightsState

    there = weights.state == WeightsState.WEIGHTS_STATE_PRESENT
    return [
        ("about", "" if there else weights.description),
        ("fetched", "" if there else state_text(weights)),
        ("licence", weights.license),
        ("source", weights.source),
        ("package", f"{weights.package} ({size_text(weights.download_bytes)})"),
        ("sha256", weights.sha256),
    ]
