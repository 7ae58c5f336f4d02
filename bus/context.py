"""What a handler knows about its call, besides the request."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar

from google.protobuf.duration_pb2 import Duration

from bus.service import MethodInfo
from troupe.rpc.v1 import Progress

_PROGRESS_TAG = b"\x7a"  # field 15, length-delimited

current: ContextVar["Context | None"] = ContextVar("troupe_context", default=None)


def current_context() -> "Context | None":
    """The context of the call that this task works for; None outside of handlers."""
    return current.get()


def progress_payload(progress: Progress) -> bytes:
    """A serialised response message of any streaming method that holds nothing but this progress."""
    body = progress.SerializeToString()
    return _PROGRESS_TAG + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Context:
    """One call as its handler sees it.

    metadata: what the caller sent along, keys in lower case. principal: who calls, as the door knows it; empty on the
    bus. deadline: on the clock of time.monotonic; None: none. trailers: fill in what shall travel with the CLOSE.
    """

    __slots__ = ("_send", "call_id", "deadline", "metadata", "method", "principal", "trailers")

    def __init__(
        self,
        call_id: str,
        method: MethodInfo,
        metadata: Mapping[str, str],
        *,
        principal: str = "",
        deadline: float | None = None,
        send: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> None:
        self.call_id = call_id
        self.method = method
        self.metadata = metadata
        self.principal = principal
        self.deadline = deadline
        self.trailers: dict[str, str] = {}
        self._send = send

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, never negative; None: no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def end(self) -> None:
        """The call is over; from now on `progress` does nothing."""
        self._send = None

    async def progress(
        self,
        state: Progress.State,
        *,
        position: int = 0,
        eta: float | None = None,
        fraction: float | None = None,
        note: str = "",
    ) -> None:
        """Tell the caller what the call is waiting for. Waits for credit; does nothing on unary responses.

        position: 1 is next in line. eta: seconds to the first result. fraction: 0 to 1.
        """
        if self._send is None or not self.method.server_streaming:
            return
        progress = Progress(state=state, position=position, fraction=fraction, note=note)
        if eta is not None:
            progress.eta.CopyFrom(duration(eta))
        await self._send(progress_payload(progress))


def duration(seconds: float) -> Duration:
    """Seconds as the contract has them."""
    value = Duration()
    value.FromNanoseconds(int(seconds * 1e9))
    return value
