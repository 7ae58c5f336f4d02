"""What gRPC reports, as the one error of Troupe."""

from typing import Any

import grpc
from google.protobuf.message import DecodeError

from bus.errors import Code, RpcError, cancelled, deadline_exceeded
from troupe.rpc.v1 import Status

STATUS_DETAILS = "grpc-status-details-bin"

_STREAM_TORN = ("RST_STREAM", "Stream removed", "Socket closed", "GOAWAY", "Internal error from Core")
"""How gRPC words it when a stream ends without a status of the server.

The last is what it says when a request was being written as the stream ended; the server's status, if there was one, is
lost with it.
"""


class ConnectionLost(RpcError):
    """The connection broke while a call was under way, and the call could not be continued."""


class RequestsLost(ConnectionLost):
    """The connection broke while requests were streaming: how many of them the hub has is not known here.

    Its metadata `sent` and `received` count the requests that were sent and the responses that came.
    """


class HubUnreachable(ConnectionLost):
    """No hub answers at the target."""


def rpc_error(error: grpc.aio.AioRpcError) -> RpcError:
    """The hub's own error with its details; ConnectionLost where the hub said nothing."""
    status = _status(error)
    if status is not None:
        return RpcError.from_status(status)
    code = Code(error.code().value[0])
    if code is Code.DEADLINE_EXCEEDED:
        return deadline_exceeded()
    if _torn(code, error.details() or ""):
        return ConnectionLost(
            Code.UNAVAILABLE,
            f"The connection to the hub was lost ({error.details() or code.name}). Is it still running?",
            retry_after=1.0,
        )
    if code is Code.CANCELLED:
        return cancelled()
    return RpcError(code, error.details() or code.name)


def requests_lost(cause: RpcError, sent: int, received: int) -> RequestsLost:
    """The connection broke after `sent` requests and `received` responses."""
    return RequestsLost(
        Code.UNAVAILABLE,
        f"The connection to the hub was lost while requests were streaming: {sent} were sent, and how many of them "
        f"arrived is not known. Streams of requests cannot be continued; begin a new call. ({cause.message})",
        reason="REQUESTS_LOST",
        metadata={"sent": str(sent), "received": str(received)},
        retry_after=1.0,
        reference=cause.reference,
    )


def unreachable(target: str, why: str = "") -> HubUnreachable:
    """Nobody answers at the target."""
    reason = f" ({why})" if why else ""
    message = f"No Troupe hub answers at {target}{reason}. Start one with `troupe up`, or name another target."
    return HubUnreachable(Code.UNAVAILABLE, message, metadata={"target": target}, retry_after=1.0)


def _torn(code: Code, details: str) -> bool:
    if code is Code.UNAVAILABLE:
        return True
    return code in (Code.CANCELLED, Code.INTERNAL, Code.UNKNOWN) and any(word in details for word in _STREAM_TORN)


def _status(error: grpc.aio.AioRpcError) -> Status | None:
    trailers: Any = error.trailing_metadata()
    details = dict(trailers or ()).get(STATUS_DETAILS)
    if not isinstance(details, bytes):
        return None
    try:
        return Status.FromString(details)
    except DecodeError:
        return None
