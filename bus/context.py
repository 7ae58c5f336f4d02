"""What a handler knows about its call, besides the request, and what the calls it makes inherit from it."""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration

from bus.behalf import Behalf
from bus.fields import progress_message
from bus.priority import Priority
from bus.service import MethodInfo
from troupe.rpc.v1 import Progress

T = TypeVar("T")

current: ContextVar["Context | None"] = ContextVar("troupe_context", default=None)
_acting: ContextVar[Behalf | None] = ContextVar("troupe_acting", default=None)


def current_context() -> "Context | None":
    """The context of the call that this task works for; None outside of handlers, and once that call's has ended."""
    context = current.get()
    return None if context is None or context.ended else context


def current_behalf() -> Behalf | None:
    """On whose behalf calls are made here; None where there is no call."""
    acting = _acting.get()
    if acting is not None:
        return acting
    context = current_context()
    return context.behalf if context else None


@contextmanager
def on_behalf_of(behalf: Behalf) -> Iterator[None]:
    """Calls made inside are made on this behalf instead of the caller's; time and trace stay the caller's."""
    token = _acting.set(behalf)
    try:
        yield
    finally:
        _acting.reset(token)


@contextmanager
def in_own_name(priority: Priority | None = None) -> Iterator[None]:
    """Calls made inside are the actor's own: no principal, scopes, credential or priority of the caller's travels.

    They are still part of the caller's call and end with it; what shall outlive it is `detached`.
    """
    with on_behalf_of(Behalf(priority=priority)):
        yield


def detached(work: Coroutine[Any, Any, T], *, name: str, behalf: Behalf | None = None) -> "asyncio.Task[T]":
    """Start work that belongs to nobody's call: a load, a lease, a job.

    No deadline, trace, principal or cancelling of the call in which it is started reaches it. behalf: on whose behalf
    its own calls are made, for example `ctx.behalf`; None: its own name. The caller owns the task: keep it, and await
    or cancel it.
    """
    fresh = contextvars.Context()
    if behalf is not None:
        fresh.run(_acting.set, behalf)
    return asyncio.create_task(work, name=name, context=fresh)


def progress_payload(progress: Progress) -> bytes:
    """A serialised response message of any streaming method that holds nothing but this progress."""
    return progress_message(progress.SerializeToString())


def current_teller() -> Callable[[Progress], None] | None:
    """Tells the caller of the call that is served here what is waited for; None where nobody could hear it."""
    context = current_context()
    return context.mention if context is not None and context.method.server_streaming else None


class Context:
    """One call as its handler sees it.

    metadata: what the caller sent along, keys in lower case. behalf: who is behind the call, and how urgent it is; it
    travels on with the calls that the handler makes. deadline: on the clock of time.monotonic; None: none. headers:
    fill in, before the first message, what shall travel ahead of the answer. trailers: what shall travel with its end.
    """

    __slots__ = (
        "_offer",
        "_peer",
        "_send",
        "behalf",
        "call_id",
        "deadline",
        "ended",
        "headers",
        "metadata",
        "method",
        "trailers",
    )

    def __init__(
        self,
        call_id: str,
        method: MethodInfo,
        metadata: Mapping[str, str],
        *,
        deadline: float | None = None,
        send: Callable[[bytes], Awaitable[None]] | None = None,
        offer: Callable[[bytes], object] | None = None,
    ) -> None:
        self.call_id = call_id
        self.method = method
        self.metadata = metadata
        self.behalf = Behalf.of(metadata)
        self.deadline = deadline
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.ended = False
        self._send = send
        self._offer = offer
        self._peer = ""

    @property
    def peer(self) -> str:
        """The process that calls, as it is called on the bus; another one after a RESUME. Empty outside of a bus."""
        return self._peer

    @property
    def principal(self) -> str:
        """Who calls, as the door knows it; empty: an actor in its own name."""
        return self.behalf.principal

    @property
    def scopes(self) -> frozenset[str] | None:
        """What the principal may do; None: everything."""
        return self.behalf.scopes

    @property
    def credential(self) -> str:
        """Id of what the principal called with."""
        return self.behalf.credential

    @property
    def priority(self) -> Priority:
        """How urgent the call is."""
        return self.behalf.priority or Priority.INTERACTIVE

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, never negative; None: no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def attach(self, process: str) -> None:
        """The call is this process's from now on."""
        self._peer = process

    def end(self) -> None:
        """The handler has returned: for whoever still has it, the context binds nothing and sends nothing any more."""
        self.ended = True
        self._send, self._offer = None, None

    def mention(self, progress: Progress) -> None:
        """As `progress`, without waiting: left out where there is no credit for it."""
        if self._offer is not None and self.method.server_streaming:
            self._offer(progress_payload(progress))

    async def progress(
        self,
        state: Progress.State | Progress,
        *,
        position: int = 0,
        eta: float | None = None,
        fraction: float | None = None,
        note: str = "",
    ) -> None:
        """Tell the caller what the call is waiting for. Waits for credit; does nothing on unary responses.

        state: or a whole Progress, as another call has told it. position: 1 is next in line. eta: seconds to the first
        result. fraction: 0 to 1.
        """
        if self._send is None or not self.method.server_streaming:
            return
        if isinstance(state, Progress):
            progress = state
        else:
            progress = Progress(state=state, position=position, fraction=fraction, note=note)
            if eta is not None:
                progress.eta.CopyFrom(duration(eta))
        await self._send(progress_payload(progress))


def duration(seconds: float) -> Duration:
    """Seconds as the contract has them."""
    value = Duration()
    value.FromNanoseconds(int(seconds * 1e9))
    return value
