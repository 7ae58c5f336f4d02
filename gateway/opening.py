"""What a door has of a call before it begins, and how a caller can get that wrong."""

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from bus import Code, MethodInfo, RpcError, invalid
from bus.stream import Pieces
from gateway.names import Names
from troupe.rpc.v1 import Frame

FIRST_REQUEST_SECONDS = 30.0
"""A call that needs its first request to begin, and does not get it whole within so long, ends."""


@dataclass(slots=True)
class Opening:
    """What a door has of a call before it begins: the OPEN, and pieces until the first request is whole."""

    frame: Frame
    batches: list[Pieces] = field(default_factory=list)
    first: bytes | None = None
    half_closed: bool = False


def route_of(method: MethodInfo, first: bytes | None, names: Names) -> str:
    """The route that the first request names; models may be called as [models] has it.

    Raises INVALID_ARGUMENT, also for a request that fills in what only the hub does.
    """
    field_name, own = method.policy.route_by, method.policy.continued_by
    if first is None and field_name:
        raise invalid(
            f"{method.full_name} is routed by {field_name!r}: send the first request with the OPEN.", field_name
        )
    if first is None or not (field_name or own):
        return ""
    request = _decoded(method, first)
    if own and len(getattr(request, own)):
        raise invalid(f"{own} is filled in by the hub alone, when an answer goes on; leave it empty.", own)
    if not field_name:
        return ""
    route = method.route_of(request)
    if field_name == "model":
        return names.model(route, method.full_name.rpartition("/")[0])
    if not route:
        raise invalid(f'{field_name} is empty; name one, for example "troupe-tiny".', field_name)
    return route


def _decoded(method: MethodInfo, first: bytes) -> Any:
    try:
        return method.request.FromString(first)
    except DecodeError as error:
        name = method.request.DESCRIPTOR.full_name
        raise invalid(f"The payload is no {name}: {error}.", reason="MALFORMED_FRAME") from error


def request_missing() -> RpcError:
    """The first request, which the call needs to begin, did not come in time."""
    return RpcError(
        Code.DEADLINE_EXCEEDED,
        f"The first request has not come whole within {FIRST_REQUEST_SECONDS:g} s, and this call needs it to begin; "
        "send it at once.",
        reason="REQUEST_MISSING",
    )


def does_not_wait() -> RpcError:
    """The caller sends on though nothing of what it sent is taken."""
    return RpcError(
        Code.RESOURCE_EXHAUSTED,
        "More requests came than the responder takes; wait for CREDIT before sending more.",
        reason="CREDIT_EXCEEDED",
    )


def does_not_read() -> RpcError:
    """The client grants credit for what it has not taken."""
    return RpcError(
        Code.RESOURCE_EXHAUSTED,
        "The client gives credit and does not read; count as consumed what the application has taken.",
        reason="CREDIT_EXCEEDED",
    )
