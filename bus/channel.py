"""The calling side: opens calls and hands out their answers."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, MutableMapping
from contextlib import aclosing
from typing import Any

import structlog
from google.protobuf.message import DecodeError

from bus import errors, subjects
from bus.behalf import REQUEST_ID, stamp
from bus.call import Call
from bus.call_driver import CallDriver, stop_stranger
from bus.caller import Beside, StreamCall, UnaryCall
from bus.context import current_behalf, current_context, current_teller, duration
from bus.errors import Code, RpcError
from bus.protocol import PROTOCOL_VERSION, CallerProtocol
from bus.pump import Pump
from bus.requests import Requests, begin, chain, peek, reap, single
from bus.resolver import Resolver
from bus.service import Metadata, MethodInfo, check_call_id, check_metadata
from bus.stream import DEFAULT_WINDOW
from bus.transports import Message, Subscription, Transport
from troupe.rpc.v1 import Open

Stamp = Callable[[MethodInfo, Metadata], None]
"""Adds to the metadata of each call that goes out, for example the trace context."""

Trace = Callable[[str, MutableMapping[str, str]], Callable[[RpcError | None], None]]
"""Begins a span for a call, by its method's full name and metadata, which it may change; what it returns ends it."""

Outlook = Callable[[MethodInfo, str], bool | None]
"""Whether somebody who serves a method under a route may come: True, False for nobody of this hub, None: not known."""

Lacking = Callable[[MethodInfo, str], str]
"""The part of the hub that would serve a method under a route and is not installed; empty: there is none."""

TRACE_KEYS = ("traceparent", "tracestate")
"""Metadata of the W3C trace context."""

LINGER_SECONDS = 10.0
"""A call that was stopped here is remembered for so long, to tell its responder again if it talks on."""

MAX_LINGERING = 1024

BUS_GRACE_SECONDS = 10.0
"""How long a responder goes on for a process that is off the bus, unless the call says otherwise."""

_BUS_GRACE = duration(BUS_GRACE_SECONDS)

STALL_SECONDS = 1.0
"""Between two ticks: then this process was stopped, or starved, and does not judge others by its own clock."""

MAX_MET = 4096
"""Services and routes that are remembered as served."""

log = structlog.get_logger(__name__)


class Channel:
    """Opens calls on a transport. Connects to nothing itself; `close` ends its calls and leaves the transport open.

    resolver: asked when nobody serves a route; the call is then opened again (bus/waiting.py). stamps: see Stamp.
    outlook, lacking: set them where somebody hears who is there; asked how long to wait, and what to say.
    """

    resolver: Resolver | None

    def __init__(
        self, transport: Transport, *, resolver: Resolver | None = None, stamps: tuple[Stamp, ...] = ()
    ) -> None:
        self.process = transport.process
        self.pump = Pump(transport, self._tick)
        self._transport = transport
        self.resolver = resolver
        self._stamps = stamps
        self.trace: Trace | None = None
        self.outlook: Outlook | None = None
        self.lacking: Lacking | None = None
        self._calls: dict[str, CallDriver] = {}
        self._ticked = 0.0
        self._met: set[tuple[str, str]] = set()
        self._lingering: deque[CallDriver] = deque()
        self._starting: asyncio.Task[None] | None = None
        self._listening: list[Subscription] = []

    # ---- typed calls, for generated clients

    def unary(
        self, method: MethodInfo, request: Any, timeout: float | None = None, metadata: Metadata | None = None
    ) -> UnaryCall[Any]:
        """One request, one response."""
        requests, route = single(request), method.route_of(request)
        return UnaryCall(lambda beside: self._response(method, requests, route, timeout, metadata, beside))

    def server_stream(
        self, method: MethodInfo, request: Any, timeout: float | None = None, metadata: Metadata | None = None
    ) -> StreamCall[Any]:
        """One request, any number of responses."""
        requests, route = single(request), method.route_of(request)
        return StreamCall(lambda beside: self._responses(method, requests, route, timeout, metadata, beside))

    def client_stream(
        self,
        method: MethodInfo,
        requests: AsyncIterator[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> UnaryCall[Any]:
        """Any number of requests, one response."""

        async def work(beside: Beside) -> Any:
            first, rest, route = await peek(method, requests)
            return await self._response(method, chain(first, rest), route, timeout, metadata, beside)

        return UnaryCall(work)

    def bidi_stream(
        self,
        method: MethodInfo,
        requests: AsyncIterator[Any],
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> StreamCall[Any]:
        """Any number of requests and responses."""

        async def work(beside: Beside) -> AsyncGenerator[Any, None]:
            first, rest, route = await peek(method, requests)
            responses = self._responses(method, chain(first, rest), route, timeout, metadata, beside)
            async with aclosing(responses):
                async for response in responses:
                    yield response

        return StreamCall(work)

    async def _response(
        self,
        method: MethodInfo,
        requests: Requests,
        route: str,
        timeout: float | None,
        metadata: Metadata | None,
        beside: Beside,
    ) -> Any:
        call = await self.open(method, route, timeout=timeout, metadata=metadata, beside=beside)
        call.on_progress = current_teller()
        found: bytes | None = None
        sender: asyncio.Task[None] | None = None
        try:
            sender = await begin(call, requests)
            while await call.arrived():
                found = call.take()
        finally:
            call.cancel("the caller went away")
            if sender:
                await reap(sender)
        if found is None:
            raise RpcError(Code.INTERNAL, f"{method.full_name} ended without a response.")
        return decode(method.response, found)

    async def _responses(
        self,
        method: MethodInfo,
        requests: Requests,
        route: str,
        timeout: float | None,
        metadata: Metadata | None,
        beside: Beside,
    ) -> AsyncGenerator[Any, None]:
        call = await self.open(method, route, timeout=timeout, metadata=metadata, beside=beside)
        call.on_progress = current_teller()
        sender: asyncio.Task[None] | None = None
        try:
            sender = await begin(call, requests)
            while call.holds_any or await call.arrived():
                yield decode(method.response, call.take())
        finally:
            call.cancel("the caller went away")
            if sender:
                await reap(sender)

    # ---- calls of bytes, for doors and proxies

    async def open(
        self,
        method: MethodInfo,
        route: str = "",
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        call_id: str = "",
        window: int = DEFAULT_WINDOW,
        beside: Beside | None = None,
    ) -> Call:
        """Open a call. Its OPEN leaves with the first message, or in the loop's next turn.

        It is opened again by itself where that is right, and goes on from what was delivered; see bus/waiting.py.

        Inside a handler the call inherits time, trace, and on whose behalf it is (bus.behalf). Raises DEADLINE_EXCEEDED
        if there is no time left. beside: filled in with what travels beside the answer.
        """
        if call_id:
            check_call_id(call_id)
        opening, seconds = self.opening(method, timeout=timeout, metadata=metadata, window=window)
        await self.start()
        protocol = CallerProtocol(call_id or secrets.token_urlsafe(16), opening, time.monotonic())
        call = Call(self, protocol, method, route, beside)
        self.enlist(call, seconds)
        return call

    def opening(
        self, method: MethodInfo, *, timeout: float | None, metadata: Metadata | None, window: int = DEFAULT_WINDOW
    ) -> tuple[Open, float | None]:
        """An OPEN, and the seconds that the call has. Raises INVALID_ARGUMENT for metadata that cannot travel."""
        seconds = _within(timeout)
        stamped = dict(metadata or {})
        stamp(stamped, current_behalf(), method.policy.priority)
        for add in self._stamps:
            add(method, stamped)
        _pass_on(stamped)
        check_metadata(stamped)
        opening = Open(
            protocol_version=PROTOCOL_VERSION,
            method=method.full_name,
            metadata=stamped,
            initial_credit=window,
            resume_key=secrets.token_bytes(16),
            grace=_BUS_GRACE,
        )
        if seconds is not None:
            opening.timeout.CopyFrom(duration(seconds))
        return opening, seconds

    def enlist(self, call: CallDriver, seconds: float | None = None) -> None:
        """Take over a call: route frames to it, watch its deadline. Raises ALREADY_EXISTS (CALL_EXISTS)."""
        known = self._calls.get(call.call_id)
        # What was stopped here may still run there, and its end would be taken for the new call's.
        if known is not None and (not known.closed or known.protocol.has_last_words):
            raise errors.call_exists(call.call_id)
        self._calls[call.call_id] = call
        if self.trace is not None and call.protocol.repeatable:
            call.traced = self.trace(call.method.full_name, call.protocol.opening.metadata)
        if seconds is not None:
            call.deadline = asyncio.get_running_loop().call_later(max(0.0, seconds), self._expire, call)
        self.pump.mark(call)

    def take_over(self, call: CallDriver) -> None:
        """As `enlist`, for a call that is resumed: whoever had it here loses it with ABORTED (RESUMED_ELSEWHERE)."""
        known = self._calls.pop(call.call_id, None)
        if known is not None and not known.closed:
            known.displace()
        self.enlist(call)

    def _expire(self, call: CallDriver) -> None:
        call.cancel("deadline", errors.deadline_exceeded())

    def ended(self, call: CallDriver) -> None:
        """A call has ended; it is remembered for a while if its responder may not know."""
        if call.traced is not None:
            call.traced(call.error)
        if call.protocol.has_last_words:
            self._lingering.append(call)
            while len(self._lingering) > MAX_LINGERING:
                self._forget(self._lingering.popleft())
        else:
            self._forget(call)

    def meet(self, method: MethodInfo, route: str) -> None:
        """Somebody serves this: should they go, they are waited for."""
        if len(self._met) < MAX_MET:
            self._met.add((method.service, route))

    def has_met(self, method: MethodInfo, route: str) -> bool:
        """Somebody has served this before."""
        return (method.service, route) in self._met

    def expected(self, method: MethodInfo, route: str) -> bool | None:
        """Somebody who serves this may come, since somebody has before, or as the outlook says."""
        if self.has_met(method, route):
            return True
        return self.outlook(method, route) if self.outlook is not None else None

    def lacks(self, method: MethodInfo, route: str) -> str:
        """The part that would serve this and is not installed."""
        return self.lacking(method, route) if self.lacking is not None else ""

    def _forget(self, call: CallDriver) -> None:
        if self._calls.get(call.call_id) is call:
            del self._calls[call.call_id]

    def known(self, call_id: str) -> CallDriver | None:
        """The call of this id that has not ended."""
        call = self._calls.get(call_id)
        return call if call is not None and not call.closed else None

    @property
    def calls(self) -> list[CallDriver]:
        """Those that have not ended."""
        return [call for call in self._calls.values() if not call.closed]

    @property
    def open_calls(self) -> int:
        """Calls that have not ended."""
        return sum(not call.closed for call in self._calls.values())

    async def start(self) -> None:
        """Listen for answers. Calls do it by themselves."""
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.create_task(self._listen())
        await asyncio.shield(self._starting)

    async def _listen(self) -> None:
        self._listening = [
            await self._transport.subscribe(subjects.replies(self.process), self._deliver),
            await self._transport.subscribe(subjects.GONE, self._gone),
        ]
        self.pump.start()
        self._transport.on_reconnect(self._reconnected)

    def _deliver(self, message: Message) -> None:
        subject, attempt = subjects.attempt_of(message.subject)
        call = self._calls.get(subject.rpartition(".")[2])
        if call is None:
            return
        try:
            if attempt == call.attempt:
                call.deliver(message, time.monotonic())
            elif (stop := stop_stranger(message)) is not None:
                self._transport.publish(*stop)
        except DecodeError:
            call.protocol.cancel(
                "bad frame", RpcError(Code.INTERNAL, "The responder sent a frame that cannot be read.")
            )
            call.settle()

    def _gone(self, message: Message) -> None:
        process = message.subject.rpartition(".")[2]
        prefix = subjects.control(process, "")
        for call in [call for call in self._calls.values() if call.peer.startswith(prefix)]:
            call.protocol.peer_gone(process)
            call.settle()

    def lost(self, process: str, served: Collection[str]) -> None:
        """A process is gone, and with it calls that it may have had and not accepted yet: nobody else took them.

        served: what it alone served, as heartbeats tell it. Whoever hears who is there calls this; without, such calls
        are given up when nothing has come of them for a while.
        """
        for call in [call for call in self._calls.values() if not call.protocol.accepted]:
            name = f"{call.method.service}[{call.route}]" if call.route else call.method.service
            if name in served and call.protocol.opened:
                call.protocol.peer_gone(process)
                call.settle()

    def _reconnected(self) -> None:
        now = time.monotonic()
        for call in list(self._calls.values()):
            call.protocol.reconnected(now)
            call.settle()

    def _tick(self, now: float) -> None:
        stood_still = now - self._ticked if self._ticked else 0.0
        self._ticked = now
        if stood_still > STALL_SECONDS:
            for call in self._calls.values():
                call.protocol.forgive(stood_still)
        for call in list(self._calls.values()):
            if not call.closed:
                call.protocol.tick(now)
                call.settle()
        # Ended calls leave in the order of their ends.
        while self._lingering and now - self._lingering[0].closed_at > LINGER_SECONDS:
            self._forget(self._lingering.popleft())

    async def close(self) -> None:
        """Shut down the calls that are open, tell their responders, and stop listening."""
        for call in list(self._calls.values()):
            call.shut_down()
        await self.pump.close()
        for subscription in self._listening:
            await subscription.unsubscribe()
        self._listening = []
        try:
            await self._transport.flush()
        except RpcError as error:
            log.warning("close.unflushed", error=str(error))


def decode(kind: type[Any], payload: bytes) -> Any:
    """A message from its bytes. Raises INTERNAL: the responder and this process do not share a contract."""
    try:
        return kind.FromString(payload)
    except DecodeError as error:
        raise RpcError(Code.INTERNAL, f"The answer is no {kind.DESCRIPTOR.full_name}: {error}.") from error


def _pass_on(metadata: Metadata) -> None:
    """The request id and the trace of the call that is being served, where nobody has said others."""
    context = current_context()
    if context is None:
        return
    if REQUEST_ID in context.metadata:
        metadata.setdefault(REQUEST_ID, context.metadata[REQUEST_ID])
    if "traceparent" not in metadata:
        metadata.update({key: context.metadata[key] for key in TRACE_KEYS if key in context.metadata})


def _within(timeout: float | None) -> float | None:
    """The call's time, no longer than that of the call on whose behalf it is made."""
    context = current_context()
    left = context.time_remaining() if context else None
    seconds = timeout if left is None else left if timeout is None else min(left, timeout)
    if seconds is not None and seconds <= 0:
        raise errors.deadline_exceeded()
    return seconds
