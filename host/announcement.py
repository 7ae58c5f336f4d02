"""Shows a process to NATS's own tools: `nats service list`, `info` and `stats`.

Answers what the services protocol asks on `$SRV.>` (NATS ADR-32). The endpoints are the methods a process serves;
calls of them speak docs/wire.md, not request and reply. nats-py's own `micro` module would subscribe to each endpoint a
second time.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from bus import subjects
from bus.protocol import PROTOCOL_VERSION
from bus.service import ServiceInfo
from bus.transports import Subscription, Transport
from host.metrics import Metrics
from host.questions import respond

VERSION = f"{PROTOCOL_VERSION}.0.0"

_NAME = re.compile(r"[^A-Za-z0-9_-]")


class Announcement:
    """One process as the services protocol sees it.

    actor: its service name there. What `add` is given becomes endpoints.
    """

    def __init__(self, transport: Transport, actor: str, metrics: Metrics) -> None:
        self._transport = transport
        self._name = _NAME.sub("_", actor)
        self._metrics = metrics
        self._started = datetime.now(UTC).isoformat()
        self._served: list[tuple[ServiceInfo, str]] = []
        self._subscriptions: list[Subscription] = []

    def add(self, service: ServiceInfo, route: str = "") -> None:
        """The process serves this from now on."""
        self._served.append((service, route))

    def remove(self, service: ServiceInfo, route: str = "") -> None:
        """The process serves this no longer."""
        self._served = [(other, under) for other, under in self._served if (other.name, under) != (service.name, route)]

    async def start(self) -> None:
        """Begin to answer; whoever asks all, asks this name, or asks this process."""
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            "PING": dict,
            "INFO": lambda: {"description": f"Troupe's {self._name}.", "endpoints": self._endpoints()},
            "STATS": lambda: {"started": self._started, "endpoints": self._statistics()},
        }
        for verb, answer in answers.items():
            for subject in subjects.announcements(verb, self._name, self._transport.process):
                self._subscriptions.append(await respond(self._transport, subject, self._answering(verb, answer)))

    async def stop(self) -> None:
        """Answer no longer."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions = []

    def _answering(self, verb: str, answer: Callable[[], dict[str, Any]]) -> Callable[[], bytes]:
        def encoded() -> bytes:
            head = {
                "type": f"io.nats.micro.v1.{verb.lower()}_response",
                "name": self._name,
                "id": self._transport.process,
                "version": VERSION,
                "metadata": {"services": ",".join(service.name for service, _ in self._served)},
            }
            return msgspec.json.encode({**head, **answer()})

        return encoded

    def _endpoints(self) -> list[dict[str, Any]]:
        return [
            {
                "name": method.full_name.replace("/", "-").replace(".", "-"),
                "subject": subjects.call(service.name, method.name, route),
                "queue_group": subjects.ACTORS_QUEUE,
                "metadata": {"method": method.full_name, "route": route},
            }
            for service, route in self._served
            for method in service.methods_under(route).values()
        ]

    def _statistics(self) -> list[dict[str, Any]]:
        endpoints = self._endpoints()
        for endpoint in endpoints:
            totals = self._metrics.totals(endpoint["metadata"]["method"])
            nanoseconds = int(totals.seconds * 1e9)
            endpoint |= {
                "num_requests": totals.calls,
                "num_errors": totals.errors,
                "last_error": totals.last_error,
                "processing_time": nanoseconds,
                "average_processing_time": nanoseconds // max(1, totals.calls),
            }
        return endpoints
