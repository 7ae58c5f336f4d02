"""A process on the bus with everything that belongs around it: heartbeats, who else is there, metrics, traces."""

import asyncio
from typing import Self

import structlog

import troupe
from bus.channel import Channel
from bus.errors import RpcError
from bus.resolver import resolver
from bus.server import Server
from bus.service import MethodInfo, ServiceInfo
from bus.transports import Transport
from host.announcement import Announcement
from host.blobs import Blobs
from host.embedded import connect
from host.jobs import Jobs
from host.liveness import Change, Heart, Lost, Presence
from host.metrics import Metrics
from host.outlook import watch
from host.settings import Settings
from host.telemetry import Telemetry
from store import store_of

LEAVE_SECONDS = 2.0
"""For the last words, if the bus is away."""

log = structlog.get_logger(__name__)


class Member:
    """One process's place on the bus; an async context that joins and leaves.

    actor: as in the registry, or "gateway". process: first part of its name on the bus, the actor's unless given.
    transport: a connection to use instead of the settings'; it is closed at the end as well. Joining raises RpcError
    with the reasons of `NatsTransport.connect`. Leaving drains within the settings' time. store: the way to what lasts,
    where the transport's bus keeps it. jobs: work that outlives its call. presence: who is there; by it calls know whom
    to wait for (host/outlook.py), and calls that end with their caller do so when it is missed.
    """

    def __init__(
        self, settings: Settings, actor: str, *, process: str = "", transport: Transport | None = None
    ) -> None:
        self.settings = settings
        self.actor = actor
        self._process = process or actor
        self._given = transport
        self._served: list[str] = []
        self._drained = False

    async def __aenter__(self) -> Self:
        self.transport: Transport = self._given or await connect(self.settings, self._process)
        self.store = store_of(self.transport)
        process = self.transport.process
        self.jobs = Jobs(self.store, process)
        self.metrics = Metrics(process, self.actor)
        self.telemetry = Telemetry(self.settings.telemetry, process)
        self.channel = Channel(self.transport, stamps=(self.telemetry.stamp,))
        self.channel.trace = self.telemetry.trace
        self.channel.resolver = resolver(self.channel, method_of)
        self.presence = Presence(self.transport)
        self.presence.subscribe(self._noticed)
        watch(self.channel, self.presence)
        self.blobs = Blobs(self.channel)
        interceptors = (*self.metrics.interceptors, *self.telemetry.interceptors)
        self.server = Server(self.transport, interceptors=interceptors)
        self.heart = Heart(self.transport, self.actor, lambda: self._served, self._open_calls)
        self._announcement = Announcement(self.transport, self.actor, self.metrics)
        self.metrics.watch(self.server)
        self.metrics.gauge("troupe_calls_open", "Calls of this process to others.", lambda: self.channel.open_calls)
        self.metrics.gauge(
            "troupe_events_quarantined", "Events that readers here could not take.", lambda: self.store.quarantined
        )
        await self.metrics.serve(self.transport)
        await self.presence.start()
        self.heart.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.drain(self.settings.supervisor.drain_seconds)
            async with asyncio.timeout(LEAVE_SECONDS):
                await self.jobs.close()
                await self.store.close()
                await self.channel.close()
                await self.presence.stop()
                await self.heart.stop()
                await self.transport.close()
        except (RpcError, TimeoutError) as error:
            log.warning("process.left", error=repr(error))
        self.telemetry.close()

    async def serve(self, actor: object, service: ServiceInfo, route: str = "") -> None:
        """Take calls of an actor's service; with `route`, of its routed methods under that route only."""
        await self.server.add(actor, service, route)
        self._announcement.add(service, route)
        self._served.append(_served(service, route))
        self.heart.tell()

    async def withdraw(self, service: ServiceInfo, route: str = "", grace: float | None = None) -> None:
        """Take no new calls of this, and let the running ones end; the rest of the process goes on.

        grace: seconds after which they are cancelled; None: as long as the settings give a process. Does nothing where
        it is not served. If this is cancelled, it is withdrawn and the running calls go on.
        """
        if _served(service, route) in self._served:
            self._served.remove(_served(service, route))
        self._announcement.remove(service, route)
        self.heart.tell()
        seconds = self.settings.supervisor.drain_seconds if grace is None else grace
        await self.server.remove(service, route, seconds)

    async def ready(self) -> None:
        """Tell that this process serves, from now on."""
        await self._announcement.start()
        self.heart.state = "serving"
        log.info("process.serving", name=self.transport.process, services=self._served)

    def _noticed(self, change: Change) -> None:
        if isinstance(change, Lost):
            seen = change.seen
            self.server.lost(seen.process)
            others = {service for each in self.presence.processes.values() for service in each.services}
            self.channel.lost(seen.process, set(seen.services) - others)

    def _open_calls(self) -> int:
        return self.server.active_calls + self.channel.open_calls

    async def drain(self, grace: float) -> None:
        """Take no new calls and let the running ones end within `grace` seconds; the rest is cancelled."""
        if self._drained:
            return
        self._drained = True
        self.heart.state = "draining"
        await self._announcement.stop()
        await self.server.drain(grace)


def _served(service: ServiceInfo, route: str) -> str:
    """As heartbeats tell it."""
    return f"{service.name}[{route}]" if route else service.name


def method_of(full_name: str) -> MethodInfo | None:
    """A method of the contract, for example "troupe.model.v1.ModelService/LoadModel"; None if there is none."""
    service, _, name = full_name.partition("/")
    found = troupe.services().get(service)
    return found.methods.get(name) if found is not None else None
