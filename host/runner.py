"""Runs one actor in this process: makes it, serves it, and lets it finish when asked to stop."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, get_type_hints

import msgspec
import structlog

from bus import nearest
from bus.service import ServiceInfo
from bus.transports import Transport
from host import registry
from host.member import Member
from host.registry import Registry
from host.settings import Settings, SettingsError

log = structlog.get_logger(__name__)


class UnfitActor(Exception):
    """A class cannot be run as an actor; the message says why."""


async def run(
    name: str,
    settings: Settings,
    stop: asyncio.Event,
    *,
    actors: Registry,
    transport: Transport | None = None,
) -> None:
    """Serve an actor until `stop` is set, then drain it within the settings' time.

    actors: where it is found. transport: a connection to use instead of the settings'. Raises UnknownActor, UnfitActor,
    SettingsError, RpcError UNAVAILABLE (BUS_UNREACHABLE), and what the actor raises while it starts.
    """
    kind = registry.find(name, actors)
    offered = services(kind)
    async with Member(settings, name, transport=transport) as member:
        actor = kind(**_arguments(kind, name, settings, member))
        if hasattr(actor, "trouble"):
            member.heart.trouble = actor.trouble
        async with _started(actor):
            for service in offered:
                await _serve(member, actor, service)
            await member.ready()
            await stop.wait()
            if hasattr(actor, "leave"):
                actor.leave()
            await member.drain(settings.supervisor.drain_seconds)


def check_settings(settings: Settings, actors: Registry) -> None:
    """Raises SettingsError for a section of no actor, and for a wrong key or value in one.

    Before anything runs, since an actor reads its section itself, in its own process. actors: all that there are.
    """
    for name, section in settings.actors.items():
        source = settings.source or "environment"
        if name not in actors:
            close = nearest(name, actors, limit=1)
            hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(actors)}."
            raise SettingsError(source, f"[actors.{name}]", f"there is no such actor. {hint}")
        with suppress(ImportError):  # what it lacks, its own process tells
            kind = registry.find(name, actors)
            if "settings" in inspect.signature(kind).parameters:
                settings.actor(name, settings_kind(kind))
            elif section:
                raise SettingsError(source, f"[actors.{name}]", "this actor has no settings.")


def services(kind: type[object]) -> list[ServiceInfo]:
    """What an actor serves: the generated Protocols among its bases.

    Raises UnfitActor if there are none, and for a routed one of an actor that does not say its routes.
    """
    found = [base.__dict__["INFO"] for base in kind.__mro__ if isinstance(base.__dict__.get("INFO"), ServiceInfo)]
    if not found:
        raise UnfitActor(
            f"{kind.__qualname__} serves nothing: let it inherit from the generated class of its service, "
            f"for example `class {kind.__name__}(EchoService)`."
        )
    for service in found:
        if service.routed and not hasattr(kind, "routes"):
            raise UnfitActor(_unreachable(kind, service))
    return found


def _unreachable(kind: type[object], service: ServiceInfo) -> str:
    method = next(method for method in service.methods.values() if method.policy.route_by)
    return (
        f"{kind.__qualname__} serves {service.name}, whose calls are routed by the field {method.policy.route_by!r}: "
        "without a route none would reach it. Let it say which it serves, for example "
        f'`def routes(self, service: ServiceInfo) -> list[str]: return ["small"]`; an empty list, if it serves them '
        "later by `member.serve(self, service, route)`."
    )


async def _serve(member: Member, actor: Any, service: ServiceInfo) -> None:
    """What is routed under the actor's routes, what is not for all."""
    for route in actor.routes(service) if service.routed else ():
        await member.serve(actor, service, route)
    if service.methods_under(""):
        await member.serve(actor, service)


def _arguments(kind: type[object], name: str, settings: Settings, member: Member) -> dict[str, Any]:
    """What the constructor asks for by name: settings, and what is offered here.

    events, table and queue open what lasts, as `store.Store` has them; blobs is the way to large content, jobs to work
    that outlives its call; presence hears who is there, and listens already.
    """
    offered = {
        "hub_settings": settings,
        "channel": member.channel,
        "transport": member.transport,
        "home": settings.home,
        "member": member,
        "presence": member.presence,
        "store": member.store,
        "events": member.store.events,
        "table": member.store.table,
        "queue": member.store.queue,
        "blobs": member.blobs,
        "jobs": member.jobs,
    }
    given: dict[str, Any] = {}
    for parameter in inspect.signature(kind).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name == "settings":
            given["settings"] = settings.actor(name, settings_kind(kind))
        elif parameter.name in offered:
            given[parameter.name] = offered[parameter.name]
        elif parameter.default is parameter.empty:
            names = ", ".join(["settings", *offered])
            raise UnfitActor(
                f"{kind.__qualname__} asks for {parameter.name!r}, which no one has. There are: {names}; "
                "anything else needs a default."
            )
    return given


def settings_kind(kind: type[object]) -> type[msgspec.Struct]:
    """The Struct of an actor's own section: its class attribute `Settings`, else what its constructor says."""
    found = getattr(kind, "Settings", None) or get_type_hints(kind.__init__).get("settings")
    if not (isinstance(found, type) and issubclass(found, msgspec.Struct)):
        raise UnfitActor(f"{kind.__qualname__} asks for settings; annotate the argument with its msgspec.Struct.")
    return found


@asynccontextmanager
async def _started(actor: Any) -> AsyncIterator[None]:
    """Around an actor's life: its own async context or its `start` and `stop`, where it has them."""
    async with AsyncExitStack() as stack:
        if hasattr(actor, "__aenter__"):
            await stack.enter_async_context(actor)
        if hasattr(actor, "stop"):
            stack.push_async_callback(actor.stop)
        if hasattr(actor, "start"):
            await actor.start()
        yield
