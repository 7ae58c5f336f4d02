"""What a method is, described once, for actors, clients and doors alike."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bus import errors
from bus.priority import Priority

Metadata = dict[str, str]
"""Lower-case keys, printable ASCII values."""

MAX_METADATA_BYTES = 8 * 1024

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Resolution:
    """Who has a route served when nobody serves it."""

    method: str
    """Full name of a method with one request and a stream of responses that carry Progress."""

    field: str
    """String field of its request that takes the route."""

    method_field: str = ""
    """String field of its request that takes the full name of the called method; empty: it is not told."""


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

    resolved_by: Resolution | None = None
    """Who has its route served; None: a route that nobody serves is not served."""

    priority: Priority | None = None
    """How urgent it is at most; None: not said, which a door takes for INTERACTIVE."""

    continued_by: str = ""
    """Repeated field of the request that takes what was delivered when the responder is lost; empty: it ends then."""

    ends_with_caller: bool = False
    """A call ends at once when its caller's process is told gone or missed: no grace, nobody comes back for it."""


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

    @property
    def continuation_field(self) -> int:
        """Number of the request's field that `policy.continued_by` names; 0: it names none."""
        name = self.policy.continued_by
        return int(self.request.DESCRIPTOR.fields_by_name[name].number) if name else 0

    def route_of(self, request: Any) -> str:
        """The route of a call that begins with this request; empty where the method is not routed."""
        return str(getattr(request, self.policy.route_by)) if self.policy.route_by else ""


def continues(handler: Handler) -> Handler:
    """Mark an actor's method as one that goes on after what its request says was delivered.

    Without it a call that goes on (`Policy.continued_by`) is refused with CONTINUATION_UNSUPPORTED: an actor that does
    not look would say everything a second time.
    """
    handler.continues = True  # type: ignore[attr-defined]  # functions take attributes
    return handler


_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_METADATA_KEY = re.compile(r"[a-z0-9_.-]+")
_METADATA_VALUE = re.compile(r"[\x20-\x7e]*")


def check_call_id(call_id: str) -> None:
    """Raises INVALID_ARGUMENT (MALFORMED_FRAME) for what cannot name a call; it becomes part of a subject."""
    if not _CALL_ID.fullmatch(call_id):
        message = f"The call id {call_id[:80]!r} is none; it has 1 to 64 of the characters A-Z a-z 0-9 _ -."
        raise errors.invalid(message, "call_id", reason="MALFORMED_FRAME")


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raises INVALID_ARGUMENT for keys and values that some hop could not carry, and for more than 8 KiB of them."""
    for key, value in metadata.items():
        if not _METADATA_KEY.fullmatch(key) or not _METADATA_VALUE.fullmatch(value):
            message = f"The metadata {key[:80]!r} cannot travel: keys are lower-case, values printable ASCII."
            raise errors.invalid(message, "metadata")
    size = sum(len(key) + len(value) for key, value in metadata.items())
    if size > MAX_METADATA_BYTES:
        raise errors.invalid(f"The metadata has {size:,} bytes; at most {MAX_METADATA_BYTES:,} travel.", "metadata")


class ServiceInfo:
    """A service: its full name and its methods by name."""

    __slots__ = ("methods", "name")

    def __init__(self, name: str, methods: Iterable[MethodInfo]) -> None:
        self.name = name
        self.methods = {method.name: method for method in methods}

    @property
    def routed(self) -> bool:
        """Some of its methods are routed; a member serves them for each of its routes."""
        return any(method.policy.route_by for method in self.methods.values())

    def methods_under(self, route: str) -> dict[str, MethodInfo]:
        """Those that are served under a route, or, if it is empty, those that are not routed; by name."""
        return {name: each for name, each in self.methods.items() if bool(each.policy.route_by) == bool(route)}
