"""What a method is, described once, for actors, clients and doors alike."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

Metadata = dict[str, str]
"""Lower-case keys, printable ASCII values."""

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a method declares about itself in the contract."""

    route_by: str = ""
    """Field of the (first) request whose value routes the call; empty: any member of the queue group."""

    public: bool = False
    """Served at the hub's doors."""

    scope: str = ""
    """What a key must be allowed to do; empty: any key."""

    idempotent: bool = False
    """Calling it again does no harm."""


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """One method of a service."""

    name: str
    """As in the contract, for example "Generate"."""

    python_name: str
    """As on the Protocol and the client, for example "generate"."""

    service: str
    """Full name of its service."""

    request: type[Any]
    """Class of the request messages."""

    response: type[Any]
    """Class of the response messages."""

    client_streaming: bool
    """The caller sends any number of requests."""

    server_streaming: bool
    """The actor sends any number of responses."""

    policy: Policy = Policy()
    """What it declares about itself."""

    @property
    def full_name(self) -> str:
        """As in OPEN, for example "troupe.chat.v1.ChatService/Generate"."""
        return f"{self.service}/{self.name}"

    def route_of(self, request: Any) -> str:
        """The route of a call that begins with this request; empty where the method is not routed."""
        return str(getattr(request, self.policy.route_by)) if self.policy.route_by else ""


class ServiceInfo:
    """A service: its full name and its methods by name."""

    __slots__ = ("methods", "name")

    def __init__(self, name: str, methods: Iterable[MethodInfo]) -> None:
        self.name = name
        self.methods = {method.name: method for method in methods}

    @property
    def routed(self) -> bool:
        """Some of its methods are routed; then each member serves one route."""
        return any(method.policy.route_by for method in self.methods.values())


class Caller(Protocol):
    """What a generated client calls through: the bus's Channel, or a client's gRPC channel.

    timeout: seconds; None: no deadline. metadata: see troupe.rpc.v1.Open.
    """

    async def unary(
        self, method: MethodInfo, request: Any, timeout: float | None = None, metadata: Metadata | None = None
    ) -> Any:
        """One request, one response."""

    def server_stream(
        self, method: MethodInfo, request: Any, timeout: float | None = None, metadata: Metadata | None = None
    ) -> AsyncIterator[Any]:
        """One request, any number of responses; leaving the iterator early cancels the call."""

    async def client_stream(
        self,
        method: MethodInfo,
        requests: AsyncIterator[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> Any:
        """Any number of requests, one response."""

    def bidi_stream(
        self,
        method: MethodInfo,
        requests: AsyncIterator[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> AsyncIterator[Any]:
        """Any number of requests and responses; leaving the iterator early cancels the call."""
