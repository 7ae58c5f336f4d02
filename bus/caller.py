"""What generated clients call through, and what a call gives them: its answer, and what travels beside it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from bus.reader import SingleReader
from bus.service import Metadata, MethodInfo

Response = TypeVar("Response")


@dataclass(slots=True)
class Beside:
    """What travels beside the messages of an answer; filled in while the call runs."""

    headers: Metadata = field(default_factory=dict)
    """What the responder said ahead of its answer."""

    trailers: Metadata = field(default_factory=dict)
    """What the responder added at the end, also at the end of a call that failed."""


class _Answer(Generic[Response]):
    """What is common to both kinds of calls."""

    __slots__ = ()

    _beside: Beside

    @property
    def headers(self) -> Metadata:
        """What the responder said ahead of its answer; there with the first message at the latest."""
        return self._beside.headers

    @property
    def trailers(self) -> Metadata:
        """What the responder added at the end; empty until the call has ended. Also there after an RpcError."""
        return self._beside.trailers


class UnaryCall(_Answer[Response], Coroutine[Any, Any, Response]):
    """A call with one response: await it once, directly or as a task. Raises the call's RpcError.

    It begins when it is awaited; cancelling the one who awaits cancels the call.
    """

    __slots__ = ("_beside", "_coroutine")

    def __init__(self, work: Callable[[Beside], Coroutine[Any, Any, Response]]) -> None:
        self._beside = Beside()
        self._coroutine = work(self._beside)

    def __await__(self) -> Generator[Any, Any, Response]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """As a coroutine's, for the task that runs it."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """As a coroutine's, for the task that runs it."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """Do not begin, or break off."""
        self._coroutine.close()


class StreamCall(_Answer[Response], SingleReader[Response]):
    """A call with any number of responses: iterate it once. Raises the call's RpcError.

    It begins with the first `anext`. Reading to the end ends it; whoever leaves early ends it with `aclose()`, or with
    `async with call:` around the loop, which cancels it before it returns. A `break` alone does so only where
    nothing holds the call any more, in the loop's next turn; a call that still has a name goes on behind a `break`.
    One task reads at a time, another one that tries gets BusyStream at once. Cancelling the reader ends the call.
    """

    __slots__ = ("_beside",)

    def __init__(self, work: Callable[[Beside], AsyncGenerator[Response, None]]) -> None:
        self._beside = Beside()
        super().__init__(work(self._beside))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Caller(Protocol):
    """What a generated client calls through: the bus's Channel, or a client's gRPC channel.

    timeout: seconds; None: no deadline. metadata: see troupe.rpc.v1.Open.
    """

    def unary(
        self, method: MethodInfo, request: Any, timeout: float | None = None, metadata: Metadata | None = None
    ) -> UnaryCall[Any]:
        """One request, one response."""

    def server_stream(
        self, method: MethodInfo, request: Any, timeout: float | None = None, metadata: Metadata | None = None
    ) -> StreamCall[Any]:
        """One request, any number of responses."""

    def client_stream(
        self,
        method: MethodInfo,
        requests: AsyncIterator[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> UnaryCall[Any]:
        """Any number of requests, one response."""

    def bidi_stream(
        self,
        method: MethodInfo,
        requests: AsyncIterator[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> StreamCall[Any]:
        """Any number of requests and responses."""
