"""The gRPC door: every public method under its own name, with reflection and health; payloads undecoded."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import unquote

import grpc
import structlog
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from bus import Code, Metadata, MethodInfo, RpcError, invalid
from bus.behalf import REQUEST_ID
from bus.context import duration
from bus.protocol import MAX_NUMBER, PROTOCOL_VERSION
from bus.service import check_call_id
from bus.stream import DEFAULT_WINDOW, MAX_MESSAGE, Assembler, Pieces, split
from gateway import access_log
from gateway.hub import Hub
from gateway.identity import Principal
from gateway.opening import FIRST_REQUEST_SECONDS, Opening, request_missing
from gateway.relay import Relay
from troupe.rpc.v1 import Frame, Open, Resume

STATUS_DETAILS = "grpc-status-details-bin"
REFLECTION = "grpc.reflection.v1.ServerReflection"
"""What newer clients ask for; the package has its predecessor only."""

OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Without it a connection on which nothing is said is asked twice, and who has gone since is never missed.
    ("grpc.http2.max_pings_without_data", 0),
)

MAX_PATH = 200
"""Characters of a method's name that nobody knows, which are written down."""

ON_THE_WAY_BYTES = 512 * 1024
ON_THE_WAY_PIECES = 2048
"""More than a client's HTTP/2 window holds; less than what a responder keeps."""

_STATUS = {status.value[0]: status for status in grpc.StatusCode}

log = structlog.get_logger(__name__)


class Door(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs alone
    """Turns each gRPC call into a call on the bus."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        name = handler_call_details.method
        if name.startswith("/grpc."):
            return None
        try:
            method = self._hub.catalog.method(name)
        except RpcError as error:
            return _refusing(error, name)

        async def serve(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
            passage = _Passage(self._hub, method, requests, context)
            try:
                await passage.run()
            except RpcError as error:
                if not passage.begun:  # else the relay has told of it
                    passage.write_line(error)
                await _abort(context, error)

        return grpc.stream_stream_rpc_method_handler(serve)


def _refusing(error: RpcError, name: str) -> "grpc.RpcMethodHandler[bytes, bytes]":
    async def refuse(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        access_log.write("grpc", error, peer=_address(context.peer()), path=name[:MAX_PATH])
        await _abort(context, error)

    return grpc.stream_stream_rpc_method_handler(refuse)


def _address(peer: str) -> str:
    """The address in what gRPC calls a peer: "ipv4:192.168.1.7:50312", "ipv6:%5B::1%5D:50312"; others as they are."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else peer


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: RpcError) -> None:
    details = error.to_status().SerializeToString()
    context.set_trailing_metadata((*(context.trailing_metadata() or ()), (STATUS_DETAILS, details)))
    await context.abort(_STATUS[error.code], error.message)


class _Passage:
    """One gRPC call on its way."""

    def __init__(
        self,
        hub: Hub,
        method: MethodInfo,
        requests: AsyncIterator[bytes],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        self._hub = hub
        self._method = method
        self._requests = requests
        self._context = context
        self._metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        self._ready = asyncio.Event()
        self._relay: Relay | None = None
        self._announced: Metadata = {}
        self._principal: Principal | None = None

    @property
    def begun(self) -> bool:
        """The call is on its way."""
        return self._relay is not None

    @property
    def waiting_bytes(self) -> int:
        """What the call has for the client, which has not been written to the connection."""
        return self._relay.pending_bytes if self._relay is not None else 0

    def write_line(self, error: RpcError) -> None:
        """The call was refused before it began."""
        who = self._principal
        access_log.write(
            "grpc",
            error,
            peer=_address(self._context.peer()),
            method=self._method.full_name,
            principal=who.name if who else "",
            credential_id=who.credential_id if who else "",
            request_id=access_log.request_id(self._metadata.get(REQUEST_ID, "")),
        )

    async def run(self) -> None:
        """Until the call has ended. When the client goes away, what it can resume goes on."""
        shown = self._metadata.get("authorization"), self._metadata.get("x-api-key")
        admitted = await self._hub.access.admit(*shown)
        principal = self._principal = admitted.principal
        with ExitStack() as stack:
            stack.enter_context(self._hub.doors.grpc.holding(self))
            first = await self._first() if self._needs_request else None
            admitted.check()  # the first request may have come late
            stack.enter_context(self._hub.limits.call(principal))
            relay = self._relay = await self._begin(principal, first)
            admitted.refused = relay.turn_out
            sender = asyncio.create_task(self._send(relay)) if self._method.client_streaming else None
            try:
                await self._answer(relay)
            finally:
                if sender is not None:
                    sender.cancel()
                    await asyncio.gather(sender, return_exceptions=True)
                admitted.refused = None
                relay.leave()

    @property
    def _resumes(self) -> bool:
        return "troupe-resume-call-id" in self._metadata

    @property
    def _needs_request(self) -> bool:
        """The first request is the only one, or says where the call goes."""
        return not self._resumes and (not self._method.client_streaming or bool(self._method.policy.route_by))

    async def _first(self) -> bytes | None:
        """The first request; None if there is none. Raises DEADLINE_EXCEEDED (REQUEST_MISSING)."""
        with self._hub.limits.beginning():
            try:
                async with asyncio.timeout(FIRST_REQUEST_SECONDS):
                    return await anext(aiter(self._requests), None)  # grpc gives the same iterator each time
            except TimeoutError:
                raise request_missing() from None

    async def _begin(self, principal: Any, first: bytes | None) -> Relay:
        if self._resumes:
            relay = await Relay.resume(self._hub, self._resuming(), principal, lambda _: self._ready.set())
            relay.settle()
            if "troupe-cancel" in self._metadata:  # the end of a connection is no cancel for what can be resumed
                relay.cancel("the client stopped it")
            return relay
        half_closed = not self._method.client_streaming or (first is None and self._needs_request)
        opening = Opening(self._opening_frame(), first=first, half_closed=half_closed)
        opening.batches = _batches(first) if first is not None else []
        return Relay.open(self._hub, opening, principal, lambda _: self._ready.set())

    def _opening_frame(self) -> Frame:
        passed = {key: value for key, value in self._metadata.items() if _travels(key, value)}
        open_ = Open(protocol_version=PROTOCOL_VERSION, method=self._method.full_name, metadata=passed)
        open_.initial_credit = DEFAULT_WINDOW
        open_.resume_key = self._metadata.get("troupe-resume-key-bin", b"")
        remaining = self._context.time_remaining()
        if remaining is not None:
            open_.timeout.CopyFrom(duration(remaining))
        return Frame(call_id=secrets.token_urlsafe(16), open=open_)

    def _resuming(self) -> Frame:
        check_call_id(self._metadata["troupe-resume-call-id"])
        after = self._number("troupe-resume-after", MAX_NUMBER)
        epoch = self._number("troupe-resume-epoch", 2**32)
        key = self._metadata.get("troupe-resume-key-bin", b"")
        resume = Resume(after=after, resume_key=key, granted=after + DEFAULT_WINDOW)
        return Frame(call_id=self._metadata["troupe-resume-call-id"], epoch=epoch, resume=resume)

    def _number(self, key: str, limit: int) -> int:
        """A number among the metadata, 0 where there is none. Raises INVALID_ARGUMENT."""
        text = self._metadata.get(key, "0")
        if not (text.isdecimal() and len(text) < 20 and int(text) < limit):
            raise invalid(f"The metadata {key} is a whole number below {limit:,}, not {text[:40]!r}.", key)
        return int(text)

    async def _send(self, relay: Relay) -> None:
        async for message in self._requests:
            while not relay.protocol.outgoing.ready and not relay.closed:
                await relay.changed()
            for batch in _batches(message, relay.protocol.outgoing.last):
                relay.push(batch)
        relay.half_close()

    async def _answer(self, relay: Relay) -> None:
        assembler, on_the_way = Assembler(), OnTheWay(relay.handed)
        announced = False
        while not relay.delivered:
            await self._ready.wait()
            self._ready.clear()
            while relay.has_more:
                pieces = relay.take_pieces()
                if not announced:
                    announced = True
                    await self._announce(relay)
                if pieces is not None:
                    await self._write(assembler.feed(pieces))
                    if on_the_way.wrote(pieces):
                        relay.grant(pieces.last + DEFAULT_WINDOW, on_the_way.consumed)
        await self._close(relay)

    async def _announce(self, relay: Relay) -> None:
        epoch = str(relay.protocol.epoch)
        self._announced = relay.headers
        own = (("troupe-call-id", relay.call_id), ("troupe-epoch", epoch))
        await self._context.send_initial_metadata((*own, *relay.headers.items()))

    async def _write(self, messages: list[tuple[bytes, int]]) -> None:
        for message, _ in messages:
            await self._context.write(message)

    async def _close(self, relay: Relay) -> None:
        # Headers that came after the acceptance are too late for gRPC's initial metadata.
        late = relay.headers if relay.headers != self._announced else {}
        trailers = tuple({**late, **relay.trailers}.items())
        if trailers:
            self._context.set_trailing_metadata(trailers)
        if relay.error is not None:
            raise relay.error


def _batches(message: bytes, sent: int = 0) -> list[Pieces]:
    pieces = split(message)
    last = len(pieces) - 1
    return [Pieces([piece], sent + index + 1, more=index < last) for index, piece in enumerate(pieces)]


def _travels(key: str, value: Any) -> bool:
    """Goes along as metadata of the call: text, and neither gRPC's own nor a secret."""
    own = key.startswith(("grpc-", "troupe-", ":")) or key in ("authorization", "user-agent", "content-type", "te")
    return isinstance(value, str) and not own and not key.endswith("-bin")


class OnTheWay:
    """What was written and may not have arrived, and would be lost with the connection.

    gRPC does not tell what the other program has taken. The youngest bytes and pieces therefore do not count as
    consumed, so that the responder keeps them for a resume.

    consumed: number of the last piece that has certainly arrived.
    """

    def __init__(self, after: int = 0) -> None:
        self.consumed = after
        self._frames: deque[tuple[int, int, int]] = deque()
        self._pieces = 0
        self._bytes = 0
        self._granted_after = after

    def wrote(self, written: Pieces) -> bool:
        """Pieces were written; True if it is time for credit, which is at half a window and not for each message."""
        pieces, size = len(written.pieces), sum(map(len, written.pieces))
        self._frames.append((written.last, pieces, size))
        self._pieces += pieces
        self._bytes += size
        while self._bytes > ON_THE_WAY_BYTES or self._pieces > ON_THE_WAY_PIECES:
            self.consumed, gone, freed = self._frames.popleft()
            self._pieces -= gone
            self._bytes -= freed
        due = written.last - self._granted_after >= DEFAULT_WINDOW // 2
        if due:
            self._granted_after = written.last
        return due


class GrpcServer:
    """The door as a server."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._server = grpc.aio.server(options=OPTIONS)
        self._health = HealthServicer()
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises UNAVAILABLE if the address is taken."""
        self._server.add_generic_rpc_handlers((Door(self._hub),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [*self._hub.catalog.service_names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
        self._reflect([*names, reflection.SERVICE_NAME])
        settings = self._hub.settings.grpc
        try:
            self.port = self._server.add_insecure_port(f"{settings.host}:{settings.port}")
        except RuntimeError as error:
            raise RpcError(
                Code.UNAVAILABLE,
                f"gRPC cannot listen on {settings.host}:{settings.port}; is another hub running? Set TROUPE_GRPC_PORT.",
                reason="ADDRESS_IN_USE",
            ) from error
        await self._server.start()
        for name in ["", *names]:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def _reflect(self, names: list[str]) -> None:
        """Tell of these services, in both versions of the protocol, which differ in nothing but their name."""
        servicer = ReflectionServicer(names, descriptor_pool.Default())
        method = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        for name in (REFLECTION, reflection.SERVICE_NAME):
            handler = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method})
            self._server.add_generic_rpc_handlers((handler,))

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let running ones end within `grace` seconds."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
