"""What the generated clients call through: gRPC to a hub's door."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import DecodeError
from grpc import ChannelConnectivity

from bus.caller import Beside, StreamCall, UnaryCall
from bus.errors import Code, RpcError, deadline_exceeded, invalid
from bus.service import Metadata, MethodInfo
from troupe_client.failures import ConnectionLost, unreachable
from troupe_client.metadata import Pairs, checked, printable
from troupe_client.patience import MAX_ATTEMPTS, PATIENCE_SECONDS, Deadline, Patience
from troupe_client.resume import Position, ServerStream
from troupe_client.sending import Sender, answer, read

DEFAULT_PORT = 50051

CONNECT_SECONDS = 5.0
"""How long a hub may take to accept the first connection."""

CANCEL_SECONDS = 2.0
"""How long telling the hub that a call is not wanted any more may take."""

_WINDOW_BYTES = 64 * 1024
"""What a hub may have sent without this side having taken it. A window that grows with the connection's speed, which is
gRPC's usual way, would let more pile up on a connection that is lost than the hub keeps for a resume."""

_OPTIONS = (
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


class GrpcChannel:
    """One connection to a hub, made again by itself. A bus.Caller for the generated clients.

    target: "host:port"; the port may be left out. key: an API key. credentials: for TLS; None: plain text.
    patience: seconds for which a lost hub is waited for.
    Belongs to the event loop in which it is first used; `close` ends the calls that are open.
    """

    def __init__(
        self,
        target: str,
        *,
        key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.target = with_port(target)
        self.patience = patience
        self._credentials = credentials
        self._own: Pairs = [("authorization", f"Bearer {printable(key, 'key')}")] if key else []
        self._opened: grpc.aio.Channel | None = None
        self._met = False
        self._streams: set[ServerStream] = set()
        self._stopping: set[asyncio.Task[None]] = set()

    # ---- the connection

    @property
    def _grpc(self) -> grpc.aio.Channel:
        if self._opened is None:
            if self._credentials is None:
                self._opened = grpc.aio.insecure_channel(self.target, options=_OPTIONS)
            else:
                self._opened = grpc.aio.secure_channel(self.target, self._credentials, options=_OPTIONS)
        return self._opened

    @property
    def connected(self) -> bool:
        """There is a connection now."""
        return self._opened is not None and self._opened.get_state() is ChannelConnectivity.READY

    async def ready(self, within: float = CONNECT_SECONDS, deadline: Deadline | None = None) -> None:
        """Return once there is a connection. Raises HubUnreachable, and DEADLINE_EXCEEDED if a call's time ends first.

        A hub that has never answered is given one attempt; one that has is waited for, `within` seconds at most.
        """
        left = deadline.left() if deadline else None
        if self._grpc.get_state(try_to_connect=True) is ChannelConnectivity.READY:
            self._met = True
            return
        patience = within if self._met else min(within, CONNECT_SECONDS)
        try:
            async with asyncio.timeout(patience if left is None else min(patience, left)):
                await self._connected()
        except TimeoutError:
            raise deadline_exceeded() if left is not None and left <= patience else unreachable(self.target) from None
        self._met = True

    async def _connected(self) -> None:
        state = self._grpc.get_state(try_to_connect=True)
        while state is not ChannelConnectivity.READY:
            if state is ChannelConnectivity.TRANSIENT_FAILURE and not self._met:
                raise unreachable(self.target)
            await self._grpc.wait_for_state_change(state)
            state = self._grpc.get_state(try_to_connect=True)

    async def close(self) -> None:
        """End the calls that are open and the connection."""
        # Also those of iterators that nobody reads on and nobody has closed, which Python ends later, or never.
        for stream in list(self._streams):
            stream.leave()
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=CANCEL_SECONDS)
        if self._opened is not None:
            await self._opened.close(None)

    # ---- calls, for generated clients

    def unary(
        self, method: MethodInfo, request: Any, timeout: float | None = None, metadata: Metadata | None = None
    ) -> UnaryCall[Any]:
        """One request, one response. Sent again over a new connection if one is lost and the call may be done twice."""
        payload = request.SerializeToString()
        return UnaryCall(lambda beside: self._unary(method, payload, timeout, metadata, beside))

    async def _unary(
        self, method: MethodInfo, payload: bytes, timeout: float | None, metadata: Metadata | None, beside: Beside
    ) -> Any:
        deadline, patience = Deadline(timeout), Patience(self.patience)
        while True:
            await self.ready(self.patience, deadline)
            call = self._grpc.unary_unary(_path(method), None, None)(
                payload, timeout=deadline.left(), metadata=self._pairs(metadata)
            )
            try:
                return decode(method, await answer(call, beside))
            except RpcError as error:
                await asyncio.sleep(deadline.within(patience.delay(error, _attempts(method, error))))

    def server_stream(
        self, method: MethodInfo, request: Any, timeout: float | None = None, metadata: Metadata | None = None
    ) -> StreamCall[Any]:
        """One request, any number of responses.

        Goes on over a new connection when one is lost: no response is missing and none comes twice.
        """
        payload = request.SerializeToString()
        return StreamCall(lambda beside: self._server_stream(method, payload, timeout, metadata, beside))

    async def _server_stream(
        self, method: MethodInfo, payload: bytes, timeout: float | None, metadata: Metadata | None, beside: Beside
    ) -> AsyncGenerator[Any, None]:
        stream = ServerStream(self, method, payload, Deadline(timeout), metadata, self.patience, beside)
        self._streams.add(stream)
        try:
            while (answered := await stream.read()) is not None:
                yield decode(method, answered)
        finally:
            stream.leave()
            self._streams.discard(stream)

    def client_stream(
        self,
        method: MethodInfo,
        requests: AsyncIterator[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> UnaryCall[Any]:
        """Any number of requests, one response. An error of `requests` cancels the call and is raised.

        A lost connection ends it with RequestsLost.
        """
        return UnaryCall(lambda beside: self._client_stream(method, requests, timeout, metadata, beside))

    async def _client_stream(
        self,
        method: MethodInfo,
        requests: AsyncIterator[Any],
        timeout: float | None,
        metadata: Metadata | None,
        beside: Beside,
    ) -> Any:
        deadline = Deadline(timeout)
        await self.ready(self.patience, deadline)
        multicallable = self._grpc.stream_unary(_path(method), None, None)
        call = multicallable(None, timeout=deadline.left(), metadata=self._pairs(metadata))
        async with Sender(call, requests) as sender:
            return decode(method, await sender.watch(answer(call, beside)))

    def bidi_stream(
        self,
        method: MethodInfo,
        requests: AsyncIterator[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> StreamCall[Any]:
        """Any number of requests and responses.

        An error of `requests` cancels the call and is raised. A lost connection ends it with RequestsLost.
        """
        return StreamCall(lambda beside: self._bidi_stream(method, requests, timeout, metadata, beside))

    async def _bidi_stream(
        self,
        method: MethodInfo,
        requests: AsyncIterator[Any],
        timeout: float | None,
        metadata: Metadata | None,
        beside: Beside,
    ) -> AsyncGenerator[Any, None]:
        deadline = Deadline(timeout)
        await self.ready(self.patience, deadline)
        multicallable = self._grpc.stream_stream(_path(method), None, None)
        call = multicallable(None, timeout=deadline.left(), metadata=self._pairs(metadata))
        async with Sender(call, requests) as sender:
            while isinstance(payload := await sender.watch(read(call, beside)), bytes):
                yield decode(method, payload)

    # ---- for resumable streams

    def open_stream(
        self, method: MethodInfo, payload: bytes, deadline: Deadline, metadata: Metadata | None, own: Pairs
    ) -> "grpc.aio.UnaryStreamCall[bytes, bytes]":
        """Begin a server stream of bytes."""
        pairs = self._pairs(metadata) + tuple(own)
        return self._grpc.unary_stream(_path(method), None, None)(payload, timeout=deadline.left(), metadata=pairs)

    def stop(self, method: MethodInfo, position: Position) -> None:
        """Tell the hub, in the background, that nobody wants the rest: for it, a lost connection is not a cancel."""
        task = asyncio.create_task(self._stop(method, position))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _stop(self, method: MethodInfo, position: Position) -> None:
        pairs = self._pairs(None) + tuple(position.cancelling())
        call = self._grpc.unary_stream(_path(method), None, None)(b"", timeout=CANCEL_SECONDS, metadata=pairs)
        try:
            await call.read()
        except grpc.aio.AioRpcError:
            return  # the call has ended already, or the hub's own grace period ends it

    def _pairs(self, metadata: Metadata | None) -> tuple[tuple[str, str | bytes], ...]:
        return (*self._own, *checked(metadata or {}))


def _attempts(method: MethodInfo, error: RpcError) -> int:
    """How often to try before this error is the caller's. What the hub itself refuses, it has waited for."""
    return MAX_ATTEMPTS if isinstance(error, ConnectionLost) and method.policy.idempotent else 1


def decode(method: MethodInfo, payload: bytes) -> Any:
    """The response. Raises INTERNAL: the hub and this program do not share a contract."""
    try:
        return method.response.FromString(payload)
    except DecodeError as error:
        name = method.response.DESCRIPTOR.full_name
        raise RpcError(Code.INTERNAL, f"The answer is no {name}: {error}. Are hub and client of one version?") from None


def _path(method: MethodInfo) -> str:
    return f"/{method.full_name}"


def with_port(target: str) -> str:
    """The target with a port. Raises INVALID_ARGUMENT for what is no target, for example an address of HTTP."""
    if "://" in target and not target.startswith(("dns:", "unix:", "ipv4:", "ipv6:")):
        named = urlsplit(target).hostname or "127.0.0.1"
        raise invalid(
            f'{target!r} is an address of HTTP; name the gRPC door, for example "{named}:{DEFAULT_PORT}".', "target"
        )
    if not target:
        raise invalid(f'The target is empty; name the gRPC door, for example "127.0.0.1:{DEFAULT_PORT}".', "target")
    ported = target.startswith(("unix:", "dns:", "ipv4:", "ipv6:")) or ":" in target.rpartition("]")[2]
    return target if ported else f"{target}:{DEFAULT_PORT}"
