"""What is open at each door now, and what waits there for clients; counted when somebody asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from host.metrics import Metrics


class Open(Protocol):
    """A connection, call or stream of one client."""

    @property
    def waiting_bytes(self) -> int:
        """What this process has for the client and its connection has not taken yet."""


class Door:
    """What is open at one door."""

    def __init__(self) -> None:
        self._open: set[Open] = set()

    @contextmanager
    def holding(self, one: Open) -> Iterator[None]:
        """It is open for as long as the block runs."""
        self._open.add(one)
        try:
            yield
        finally:
            self._open.remove(one)

    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    def waiting_bytes(self) -> int:
        """What waits for all their clients together."""
        return sum(one.waiting_bytes for one in self._open)


class Doors:
    """The doors of one gateway process."""

    def __init__(self) -> None:
        self.websocket = Door()
        self.grpc = Door()
        self.http = Door()

    def tell(self, metrics: Metrics) -> None:
        """Let each scrape ask."""
        counted = (
            ("troupe_websocket_connections", "Open WebSocket connections.", self.websocket),
            ("troupe_grpc_calls", "gRPC calls under way.", self.grpc),
            ("troupe_http_streams", "HTTP streams of events under way.", self.http),
        )
        for name, text, door in counted:
            metrics.gauge(name, text, door.count)
        for label, door in (("websocket", self.websocket), ("grpc", self.grpc), ("http", self.http)):
            text = "Bytes that wait for clients, before their connections' own buffers."
            metrics.gauge("troupe_waiting_bytes", text, door.waiting_bytes, door=label)
