"""How the hub is, and what it offers: health, readiness, metrics, version, the OpenAPI document."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from msgspec import Struct

from gateway.health import ActorHealth, DependencyHealth, Health, Probe, Readiness
from gateway.http.document import openapi
from gateway.http.exchange import Exchange
from gateway.http.routes import Answer, Route
from host.metrics import gather

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_STORE = [(b"cache-control", b"no-store")]


class Version(Struct, frozen=True):
    """What runs."""

    version: str


def own_version() -> str:
    """Of Troupe; "0" where it is run from sources that were not installed."""
    try:
        return version("troupe-hub")
    except PackageNotFoundError:
        return "0"


def state_routes(probe: Probe) -> tuple[Route, ...]:
    """Routes that answer however busy the hub is, and what scrapers ask for."""

    async def healthz(exchange: Exchange) -> None:
        await exchange.answer(Health(), headers=NO_STORE)

    async def readyz(exchange: Exchange) -> None:
        found = await probe.readiness()
        if not await exchange.known():
            found = Readiness(ready=found.ready, dependencies={}, actors={})
        await exchange.answer(found, status=200 if found.ready else 503, headers=NO_STORE)

    async def metrics(exchange: Exchange) -> None:
        text = await gather(probe.hub.transport, expected=len(probe.presence.processes))
        await exchange.respond(200, [(b"content-type", METRICS_TYPE.encode()), *NO_STORE], text)

    async def own(exchange: Exchange) -> None:
        await exchange.answer(Version(own_version()), headers=NO_STORE)

    unready = Answer(Readiness, status=503, description="Not yet.", example=_example(False))
    alive = (Answer(Health, description="It runs.", example=Health()),)
    return (
        Route(
            verb="GET",
            path="/healthz",
            name="health",
            summary="The process runs.",
            handle=healthz,
            answers=alive,
            key=False,
            always=True,
            quiet=True,
        ),
        Route(
            verb="GET",
            path="/health",
            name="healthAlias",
            summary="The same, as other hubs call it.",
            handle=healthz,
            answers=alive,
            key=False,
            always=True,
            quiet=True,
        ),
        Route(
            verb="GET",
            path="/readyz",
            name="readiness",
            summary="Everything that is needed is there.",
            handle=readyz,
            answers=(Answer(Readiness, description="Yes.", example=_example(True)), unready),
            key=False,
            always=True,
            quiet=True,
        ),
        Route(
            verb="GET",
            path="/metrics",
            name="metrics",
            summary="Metrics of all processes in Prometheus' text form.",
            handle=metrics,
            answers=(Answer(None, "text/plain", description="Metrics."),),
            key=not probe.hub.settings.http.open_metrics,
            quiet=True,
        ),
        Route(
            verb="GET",
            path="/version",
            name="version",
            summary="What runs.",
            handle=own,
            answers=(Answer(Version, example=Version("0.2.0")),),
            key=False,
            quiet=True,
        ),
    )


def _example(ready: bool) -> Readiness:
    """A hub with one actor."""
    state = "serving" if ready else "starting"
    return Readiness(
        ready=ready,
        dependencies={"bus": DependencyHealth(ready=True, seconds=0.0006)},
        actors={"llama": ActorHealth(ready=ready, state=state, processes=1 if ready else 0)},
    )


def document_route(routes: Sequence[Route]) -> Route:
    """The OpenAPI document of these routes, and of itself."""

    async def document(exchange: Exchange) -> None:
        await exchange.respond(200, [(b"content-type", b"application/json")], encoded)

    own = Route(
        verb="GET",
        path="/openapi.json",
        name="openapi",
        summary="This document.",
        handle=document,
        answers=(Answer(dict[str, Any], description="The document."),),
        quiet=True,
    )
    encoded = msgspec.json.encode(openapi([*routes, own], own_version()))
    return own
