"""The one error of every hop: a gRPC code, a sentence for people, a stable reason for programs."""

import difflib
import secrets
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Self

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo

from troupe.rpc.v1 import Status

DOMAIN = "troupe"


class Code(IntEnum):
    """gRPC's status codes; each says what its caller does about it."""

    OK = 0
    """It succeeded; no error has it."""

    CANCELLED = 1
    """The caller stopped the call, or nobody came back for it."""

    UNKNOWN = 2
    """A peer sent a code that this version does not know."""

    INVALID_ARGUMENT = 3
    """The request is wrong whatever else is the case; mend the field that is named."""

    DEADLINE_EXCEEDED = 4
    """The caller's time was over; the work may have been done."""

    NOT_FOUND = 5
    """What the request names does not exist, or is somebody else's."""

    ALREADY_EXISTS = 6
    """What was to be made is there; choose another name."""

    PERMISSION_DENIED = 7
    """It is known who calls, and they may not do that."""

    RESOURCE_EXHAUSTED = 8
    """A limit is reached: a size, a rate, a number of calls; ask for less, or later."""

    FAILED_PRECONDITION = 9
    """Something must be put right first; the same call will fail until then."""

    ABORTED = 10
    """Somebody else came between; begin anew from the top."""

    OUT_OF_RANGE = 11
    """The request reaches past what there is."""

    UNIMPLEMENTED = 12
    """The method does not exist here."""

    INTERNAL = 13
    """The hub is at fault; its log tells more under the reference."""

    UNAVAILABLE = 14
    """Whoever should answer is away for the moment; repeat the call if it may be done twice, or has not begun."""

    DATA_LOSS = 15
    """What was stored cannot be read any more."""

    UNAUTHENTICATED = 16
    """It is not known who calls; send a valid key."""


ALIKE = 0.5
"""Of two names, how much they must have in common for one to be taken for a slip of the other."""

NEVER_BEGUN = frozenset({"NO_RESPONDERS", "SHUTTING_DOWN"})
"""Reasons of calls whose method has not begun. They are the bus's own: a handler's error never keeps one of them."""

LOST = frozenset({"BUS_INTERRUPTED", "CALLER_LOST", "ENGINE_CRASHED", "INTERRUPTED", "PEER_LOST", "STREAM_GAP"})
"""Reasons of calls that may have begun and were not ended by their handler."""


class BusyStream(RuntimeError):
    """Two tasks read, or two send, on one side of one call at once: a mistake of the program, told to the second."""


class RpcError(Exception):
    """A call failed.

    code: what kind of failure, for generic handling.
    message: one or two sentences: what went wrong, where, and what to do.
    reason: stable, UPPER_SNAKE_CASE, for programs; empty means the code's name.
    metadata: facts that belong to the reason, for example the counts of a context overflow.
    retry_after: seconds after which trying again makes sense; None where it does not.
    field: the request's field at fault.
    reference: names this failure in the logs.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        field: str = "",
        reference: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or code.name
        self.metadata = {str(key): str(value) for key, value in (metadata or {}).items()}
        self.retry_after = retry_after
        self.field = field
        self.reference = reference or secrets.token_hex(6)

    def __str__(self) -> str:
        return f"{self.code.name} ({self.reason}): {self.message}"

    @property
    def never_begun(self) -> bool:
        """The method has certainly not begun, so that the call may be repeated whatever it does."""
        return self.code is Code.UNAVAILABLE and self.reason in NEVER_BEGUN

    @property
    def lost(self) -> bool:
        """Whoever served the call, or a part of what was said, was lost; not a handler's own judgement."""
        return self.code is Code.UNAVAILABLE and self.reason in LOST

    def to_status(self) -> Status:
        """The error as it travels, with google.rpc details."""
        details: list[ErrorInfo | RequestInfo | RetryInfo | BadRequest] = [
            ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata),
            RequestInfo(request_id=self.reference),
        ]
        if self.retry_after is not None:
            delay = Duration()
            delay.FromNanoseconds(int(self.retry_after * 1e9))
            details.append(RetryInfo(retry_delay=delay))
        if self.field:
            violation = BadRequest.FieldViolation(field=self.field, description=self.message)
            details.append(BadRequest(field_violations=[violation]))
        status = Status(code=self.code, message=self.message)
        for detail in details:
            status.details.add().Pack(detail, deterministic=True)  # equal errors are equal bytes
        return status

    @classmethod
    def from_status(cls, status: Status) -> Self:
        """The error that a peer sent; details of unknown types are left out."""
        info, request, retry, bad = ErrorInfo(), RequestInfo(), RetryInfo(), BadRequest()
        for detail in status.details:
            for known in (info, request, retry, bad):
                _unpack(detail, known)
        code = Code(status.code) if status.code in Code._value2member_map_ else Code.UNKNOWN
        return cls(
            code,
            status.message,
            reason=info.reason,
            metadata=dict(info.metadata),
            retry_after=retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None,
            field=bad.field_violations[0].field if bad.field_violations else "",
            reference=request.request_id,
        )

    @classmethod
    def unimplemented(cls, method: str) -> Self:
        """The actor that serves this route does not offer the method."""
        return cls(
            Code.UNIMPLEMENTED, f"{method} is not implemented by the actor that serves it.", reason="METHOD_NOT_FOUND"
        )


def _unpack(detail: Any, target: ErrorInfo | RequestInfo | RetryInfo | BadRequest) -> None:
    if detail.Is(target.DESCRIPTOR):
        detail.Unpack(target)


def invalid(message: str, field: str = "", reason: str = "INVALID_ARGUMENT") -> RpcError:
    """The request is at fault; `field` names the part of it."""
    return RpcError(Code.INVALID_ARGUMENT, message, reason=reason, field=field)


def cancelled(message: str = "The call was cancelled.") -> RpcError:
    """The caller stopped the call."""
    return RpcError(Code.CANCELLED, message, reason="CANCELLED")


def deadline_exceeded() -> RpcError:
    """The call's time was over before it ended."""
    return RpcError(
        Code.DEADLINE_EXCEEDED,
        "The call took longer than its deadline allows; give it more time or ask for less.",
        reason="DEADLINE_EXCEEDED",
    )


def peer_lost(process: str, why: str) -> RpcError:
    """The process at the other end is gone or hangs."""
    message = f"The process {process or 'that answered'} {why}. Repeat the call; it is started again by itself."
    return RpcError(Code.UNAVAILABLE, message, reason="PEER_LOST", retry_after=1.0)


def caller_lost() -> RpcError:
    """The process at this end was taken for ended, so that what it held was given back."""
    message = "The calling process was taken for ended, and the call ended with it. Open it again."
    return RpcError(Code.UNAVAILABLE, message, reason="CALLER_LOST", retry_after=0.5)


def bus_interrupted() -> RpcError:
    """The bus was away while the call was opened; whether it has begun is not known."""
    message = "The bus was away when the call was opened, and nobody has accepted it since. The bus is back: repeat it."
    return RpcError(Code.UNAVAILABLE, message, reason="BUS_INTERRUPTED", retry_after=0.5)


def shutting_down() -> RpcError:
    """The process takes no new calls; this one has not begun."""
    message = "This process shuts down and has not begun the call; repeat it."
    return RpcError(Code.UNAVAILABLE, message, reason="SHUTTING_DOWN", retry_after=0.5)


def withdrawn(service: str, route: str) -> RpcError:
    """The process goes on, without this service or route; the call has not begun."""
    what = f"{service} under {route!r}" if route else service
    message = f"This process no longer serves {what} and has not begun the call; repeat it."
    return RpcError(Code.UNAVAILABLE, message, reason="SHUTTING_DOWN", retry_after=0.5)


def interrupted() -> RpcError:
    """The process shut down under a call that had begun."""
    message = "The process shut down while it served the call; repeat it if it may be done twice."
    return RpcError(Code.UNAVAILABLE, message, reason="INTERRUPTED", retry_after=1.0)


def continuation_unsupported(why: str, cause: str = "") -> RpcError:
    """An answer was broken off and cannot go on. why: a sentence. cause: the reason for which it was broken off."""
    message = f"The answer was broken off and cannot go on from there: {why} Repeat the call from its beginning."
    metadata = {"cause": cause} if cause else {}
    return RpcError(Code.ABORTED, message, reason="CONTINUATION_UNSUPPORTED", metadata=metadata)


def part_not_installed(what: str, part: str) -> RpcError:
    """Something stands on a part of the hub that is not installed. what: the subject of the sentence."""
    message = f"{what} needs the part {part}, which is not installed here: `troupe add {part}` installs it."
    return RpcError(Code.FAILED_PRECONDITION, message, reason="PART_NOT_INSTALLED", metadata={"part": part})


def of_handler(error: RpcError) -> RpcError:
    """A handler's error as its caller gets it: a call that the handler made may not have begun, the handler has."""
    if not error.never_begun:
        return error
    return RpcError(
        error.code,
        error.message,
        reason="INTERRUPTED",
        metadata={**error.metadata, "cause": error.reason},
        retry_after=error.retry_after,
        field=error.field,
        reference=error.reference,
    )


def resumed_elsewhere() -> RpcError:
    """The call goes on, for a consumer that came later."""
    return RpcError(Code.ABORTED, "The call was resumed from elsewhere.", reason="RESUMED_ELSEWHERE")


def call_exists(call_id: str) -> RpcError:
    """Somebody uses this call id already."""
    return RpcError(
        Code.ALREADY_EXISTS,
        f"A call with the id {call_id!r} is open; choose another, best 16 random bytes.",
        reason="CALL_EXISTS",
    )


def call_not_found(call_id: str) -> RpcError:
    """Nobody knows the call (any more)."""
    return RpcError(
        Code.NOT_FOUND,
        f"No call {call_id!r} is known; it ended, or its process did. Open a new call.",
        reason="CALL_NOT_FOUND",
    )


def resume_refused() -> RpcError:
    """Somebody else's call."""
    return RpcError(
        Code.PERMISSION_DENIED,
        "The call can only be resumed by whoever opened it, with the resume key of its OPEN.",
        reason="RESUME_REFUSED",
    )


def nearest(name: str, candidates: Iterable[str], limit: int = 3) -> list[str]:
    """The candidates that look most like `name`, then those that contain it; at most `limit`. None need be."""
    asked = name.casefold()
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(asked, list(by_folded), n=limit, cutoff=ALIKE)
    within = sorted(folded for folded in by_folded if asked and asked in folded and folded not in close)
    return [by_folded[match] for match in [*close, *within][:limit]]
