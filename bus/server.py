"""The serving side: hears OPENs, runs the actor's method for each, and sends what it yields."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import cast

import structlog
from google.protobuf.message import DecodeError

from bus import errors, subjects
from bus.behalf import PRINCIPAL
from bus.context import current
from bus.errors import Code, RpcError
from bus.interceptor import Interceptor, Next, chained
from bus.opening import check_opening
from bus.pump import Pump
from bus.responder_protocol import ResponderProtocol
from bus.server_call import ServerCall, invoke
from bus.service import MethodInfo, ServiceInfo
from bus.stream import MAX_FRAME
from bus.transports import Letter, Message, Subscription, Transport
from troupe.rpc.v1 import Close, Frame

MAX_CALLS = 1024
"""Calls that a process serves at once, unless set otherwise."""

MAX_KEPT_CALLS = 1024
"""Ended calls that are kept for a caller that missed the end."""

MAX_KEPT_BYTES = 32 * 1024 * 1024

KEEP_SECONDS = 30.0
"""An ended call is kept for so long, or for its grace period if its consumer is away."""

SWEEP_SECONDS = 1.0

log = structlog.get_logger(__name__)


class _Binding:
    """An actor's methods under one service, and the calls to them that are active."""

    def __init__(self, actor: object, service: ServiceInfo, route: str, interceptors: tuple[Interceptor, ...]) -> None:
        self.service = service
        self.route = route
        self.subscription: Subscription | None = None
        self.leaving = False
        self.calls: set[ServerCall] = set()
        self.idle = asyncio.Event()
        self.idle.set()
        self.handlers: dict[str, Next] = {
            # Of calls that a server makes the chain sees less than it is given.
            name: chained(interceptors, cast("Next", partial(invoke, getattr(actor, method.python_name))))
            for name, method in service.methods_under(route).items()
        }
        self.continuing = {
            name for name, method in service.methods.items() if hasattr(getattr(actor, method.python_name), "continues")
        }

    def begin(self, call: ServerCall) -> None:
        """A call is active, until it is retired."""
        self.calls.add(call)
        self.idle.clear()
        call.on_retired = self._end

    def _end(self, call: ServerCall) -> None:
        self.calls.discard(call)
        if not self.calls:
            self.idle.set()


class Server:
    """Serves actors on a transport.

    interceptors: around every call, the first is the outermost. max_calls: more at once are refused with
    RESOURCE_EXHAUSTED (TOO_MANY_CALLS). stalls: how often a handler had to wait for credit. resumes: how often a caller
    asked for what it had missed, from where it was or from a new connection.
    """

    def __init__(
        self, transport: Transport, *, interceptors: tuple[Interceptor, ...] = (), max_calls: int = MAX_CALLS
    ) -> None:
        self.process = transport.process
        self.stalls = 0
        self.resumes = 0
        self._listeners: list[Callable[[], None]] = []
        self.pump = Pump(transport, self._tick)
        self.transport = transport
        self._interceptors = interceptors
        self._max_calls = max_calls
        self._bindings: list[_Binding] = []
        self._calls: dict[str, ServerCall] = {}
        self._superseded: set[ServerCall] = set()
        self._kept: OrderedDict[str, ServerCall] = OrderedDict()
        self._kept_bytes = 0
        self._swept = 0.0
        self._draining = False
        self._listening: list[Subscription] = []
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def active_calls(self) -> int:
        """Calls whose handler runs, or whose answer has not gone out yet."""
        return len(self._calls) + len(self._superseded)

    @property
    def services(self) -> list[str]:
        """Full names of what is served."""
        return [binding.service.name for binding in self._bindings]

    def active_under(self, routes: Collection[str]) -> int:
        """The same of calls under these routes."""
        return sum(len(binding.calls) for binding in self._bindings if binding.route in routes)

    def active_of(self, service: ServiceInfo, routes: Collection[str] | None = None) -> int:
        """The same of calls of a service, under these routes if they are given."""
        return sum(
            len(binding.calls)
            for binding in self._bindings
            if binding.service.name == service.name and (routes is None or binding.route in routes)
        )

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Hear whenever a call has begun or is over; must not block. What is returned ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    async def idle(self) -> None:
        """Return when no call is active."""
        await self._idle.wait()

    async def add(self, actor: object, service: ServiceInfo, route: str = "") -> None:
        """Serve an actor's service: with `route` its routed methods, under that route only, without it the others.

        A service may have both. Raises INVALID_ARGUMENT where there are none of that kind: nobody could reach it.
        """
        if not service.methods_under(route):
            raise errors.invalid(_unreachable(service, route), "route")
        if not self._listening:
            await self._listen()
        binding = _Binding(actor, service, route, self._interceptors)
        subject = subjects.calls_of(service.name, route)
        binding.subscription = await self.transport.subscribe(
            subject, lambda message: self._opened(message, binding), subjects.ACTORS_QUEUE
        )
        self._bindings.append(binding)
        await self.transport.flush()

    async def remove(self, service: ServiceInfo, route: str = "", grace: float = 10.0) -> None:
        """Serve this no longer: take no new calls, let the running ones end within `grace` seconds, cancel the rest.

        What else is served goes on; ended calls can be resumed as long as ever. Does nothing where it is not served. If
        this is cancelled, no new calls are taken and the running ones go on.
        """
        leaving = [each for each in self._bindings if (each.service.name, each.route) == (service.name, route)]
        self._bindings = [each for each in self._bindings if each not in leaving]
        for binding in leaving:
            binding.leaving = True
        await _unheard(leaving)
        try:
            async with asyncio.timeout(grace):
                for binding in leaving:
                    await binding.idle.wait()
        except TimeoutError:
            log.info("remove.cancelled", service=service.name, route=route)
        await _cancelled([call for binding in leaving for call in binding.calls])

    async def _listen(self) -> None:
        self.pump.start()
        self._listening = [
            await self.transport.subscribe(subjects.controls(self.process), self._controlled),
            await self.transport.subscribe(subjects.GONE, self._gone),
        ]

    # ---- what comes

    def _opened(self, message: Message, binding: _Binding) -> None:
        call_id = subjects.attempt_of(message.reply)[0].rpartition(".")[2]
        try:
            call = self._accept(Frame.FromString(message.payload), message, binding)
        except DecodeError:
            log.warning("frame.malformed", subject=message.subject)
            self._refuse(message.reply, call_id, errors.invalid("The frame cannot be read.", reason="MALFORMED_FRAME"))
        except RpcError as error:
            self._refuse(message.reply, call_id, error)
        else:
            if call is not None:
                self._begin(call, binding)

    def _accept(self, frame: Frame, message: Message, binding: _Binding) -> ServerCall | None:
        known = self._calls.get(frame.call_id)
        if known is not None:
            if known.reply == message.reply and known.protocol.opened_by(frame.open):
                return None  # the same OPEN once more
            if not _another_attempt(known, frame, message):
                raise errors.call_exists(frame.call_id)
        kept = self._kept.get(frame.call_id)
        if kept is not None and not _free_again(kept, frame, message):
            raise errors.call_exists(frame.call_id)
        metadata = check_opening(frame, len(message.payload))
        method = self._check(frame, message, binding)
        if kept is not None:
            self._forget(kept)
        if known is not None:
            self._supersede(known)
        protocol = ResponderProtocol(frame, self.transport.epoch, metadata.get(PRINCIPAL, ""), time.monotonic())
        return ServerCall(self, protocol, method, frame.open, metadata, message.reply)

    def _supersede(self, call: ServerCall) -> None:
        """Its caller takes it for lost and has opened it again; until its handler has stopped it counts as active."""
        del self._calls[call.protocol.call_id]
        self._superseded.add(call)
        call.supersede()

    def _check(self, frame: Frame, message: Message, binding: _Binding) -> MethodInfo:
        if self._draining:
            raise errors.shutting_down()
        if binding.leaving:
            raise errors.withdrawn(binding.service.name, binding.route)
        if len(self._calls) >= self._max_calls:
            raise RpcError(
                Code.RESOURCE_EXHAUSTED,
                f"This process serves {self._max_calls} calls, as many as it may; try again later.",
                reason="TOO_MANY_CALLS",
                retry_after=1.0,
            )
        service, _, name = frame.open.method.rpartition("/")
        method = binding.service.methods.get(name) if service == binding.service.name else None
        if method is not None and method.policy.route_by and not binding.route:
            field = method.policy.route_by
            raise errors.invalid(f"{method.full_name} is routed by {field!r}, and the request names none.", field)
        if method is None or message.subject != subjects.call(service, name, binding.route):
            close = errors.nearest(name, binding.service.methods)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise RpcError(
                Code.UNIMPLEMENTED,
                f"{binding.service.name} has no method {frame.open.method[:80]!r} here.{hint}",
                reason="METHOD_NOT_FOUND",
            )
        if frame.open.continues and name not in binding.continuing:
            why = f"the actor that serves {frame.open.method} does not take up what was delivered."
            raise errors.continuation_unsupported(why)
        return method

    def _begin(self, call: ServerCall, binding: _Binding) -> None:
        self._calls[call.protocol.call_id] = call
        self._idle.clear()
        binding.begin(call)
        call.task = asyncio.create_task(self._run(call, binding.handlers[call.method.name]))
        # Not only inside the task: one that is cancelled before its first step never reaches it.
        call.task.add_done_callback(lambda task: self._stopped(call, task))
        if call.seconds is not None:
            loop = asyncio.get_running_loop()
            call.deadline = loop.call_later(call.seconds, call.fail, errors.deadline_exceeded())
        call.settle()
        self._tell()

    def _controlled(self, message: Message) -> None:
        if len(message.payload) > MAX_FRAME:
            log.warning("frame.too_large", subject=message.subject, size=len(message.payload))
            return
        call_id = message.subject.rpartition(".")[2]
        call = self._calls.get(call_id) or self._kept.get(call_id)
        now = time.monotonic()
        if message.no_responders:
            if call is not None:
                call.protocol.detach(now)
            return
        try:
            frame = Frame.FromString(message.payload)
        except DecodeError:
            log.warning("frame.malformed", subject=message.subject)
            return
        if call is None or frame.epoch not in (0, self.transport.epoch):
            if frame.WhichOneof("control") in ("resume", "ping"):
                self._refuse(message.reply, call_id, errors.call_not_found(call_id))
            return
        self._received(call, frame, message, now)

    def _received(self, call: ServerCall, frame: Frame, message: Message, now: float) -> None:
        stranger = message.reply != call.reply
        if not self._entitled(call, frame, message):
            return
        attended = not call.protocol.outgoing.detached
        try:
            call.protocol.receive(frame, now)
        except RpcError as error:  # what was asked for is gone; the call itself goes on
            self._refuse(message.reply, call.protocol.call_id, error)
        else:
            if stranger and attended:
                self._refuse(call.reply, call.protocol.call_id, errors.resumed_elsewhere())
            call.attach(message.reply)
        call.settle()

    def _entitled(self, call: ServerCall, frame: Frame, message: Message) -> bool:
        """The frame comes from the call's consumer, or from one that may become it; others are told."""
        stranger = message.reply != call.reply
        refusal = None
        if frame.HasField("resume"):
            self.resumes += 1
            # A call without a key is its opener's alone, who may still ask for what was lost.
            if not call.protocol.may_resume(frame.resume) and (stranger or call.protocol.resumable):
                refusal = errors.resume_refused()
        elif stranger:
            refusal = errors.resumed_elsewhere()
        if refusal is not None and frame.WhichOneof("control") in ("resume", "ping"):
            self._refuse(message.reply, call.protocol.call_id, refusal)
        return refusal is None

    def _gone(self, message: Message) -> None:
        process = subjects.process_of(message.subject)
        now = time.monotonic()
        for call in self._calls_from(process):
            call.protocol.detach(now)
            call.settle()
        self.lost(process)

    def lost(self, process: str) -> None:
        """A process is taken for ended: those of its calls that end with their caller end now.

        The bus calls it where it is told that a process is gone; whoever misses heartbeats may, too.
        """
        for call in self._calls_from(process):
            if call.method.policy.ends_with_caller:
                call.protocol.caller_lost(time.monotonic())
                call.settle()

    def _calls_from(self, process: str) -> list[ServerCall]:
        return [call for call in self._calls.values() if call.context.peer == process]

    def _tick(self, now: float) -> None:
        for call in list(self._calls.values()):
            call.protocol.tick(now)
            call.settle()
        if now - self._swept > SWEEP_SECONDS:
            self._swept = now
            for call in list(self._kept.values()):
                if call.protocol.forgettable(now, call.ended_at + KEEP_SECONDS):
                    self._forget(call)

    def _refuse(self, reply: str, call_id: str, error: RpcError) -> None:
        if reply:
            frame = Frame(call_id=call_id, epoch=self.transport.epoch, close=Close(status=error.to_status()))
            self.pump.mark(_Letter(reply, frame.SerializeToString()))

    # ---- what is done

    async def _run(self, call: ServerCall, handler: Next) -> None:
        current.set(call.context)
        outcome: RpcError | None = None
        try:
            await handler(call)
        except RpcError as error:
            outcome = errors.of_handler(error)
        except Exception:
            outcome = RpcError(
                Code.INTERNAL, "Something went wrong inside the hub; its log tells what, under the reference."
            )
            log.exception("call.failed", method=call.method.full_name, reference=outcome.reference)
        # Here and not a turn later, so that CLOSE goes with the last message, and a short answer is one frame.
        self._finish(call, outcome)

    def _stopped(self, call: ServerCall, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            self._finish(call, errors.interrupted())

    def _finish(self, call: ServerCall, error: RpcError | None) -> None:
        if call.deadline is not None:
            call.deadline.cancel()
        call.context.end()
        try:
            call.protocol.finish(error, call.context.trailers)
        except (TypeError, ValueError):
            log.exception("call.unsendable", method=call.method.full_name)
            call.protocol.finish(RpcError(Code.INTERNAL, "The handler's trailers or error cannot be sent."))
        self.pump.mark(call)

    def retire(self, call: ServerCall) -> None:
        """The call is over; it is kept for a caller that missed the end."""
        if self._calls.get(call.protocol.call_id) is call:
            del self._calls[call.protocol.call_id]
            self._keep(call)
        elif call in self._superseded:
            self._superseded.discard(call)
        else:
            return
        if call.on_retired is not None:
            call.on_retired(call)
        if not self._calls and not self._superseded:
            self._idle.set()
        self._tell()

    def _keep(self, call: ServerCall) -> None:
        call.ended_at = time.monotonic()
        call.kept_bytes = call.protocol.outgoing.held_bytes
        self._kept[call.protocol.call_id] = call
        self._kept_bytes += call.kept_bytes
        while len(self._kept) > MAX_KEPT_CALLS or self._kept_bytes > MAX_KEPT_BYTES:
            self._forget(next(iter(self._kept.values())))

    def _forget(self, call: ServerCall) -> None:
        del self._kept[call.protocol.call_id]
        self._kept_bytes -= call.kept_bytes
        call.release()

    async def drain(self, grace: float = 10.0) -> None:
        """Take no new calls, let the running ones end within `grace` seconds, cancel the rest, and stop.

        Also while the bus is away: then the callers find out by themselves.
        """
        self._draining = True
        await _unheard(self._bindings)
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            log.info("drain.cancelled", calls=len(self._calls))
        await _cancelled([*self._calls.values(), *self._superseded])
        await self.pump.close()
        for subscription in self._listening:
            await subscription.unsubscribe()
        try:
            await self.transport.flush()
        except RpcError as error:
            log.warning("drain.unflushed", error=str(error))


def _unreachable(service: ServiceInfo, route: str) -> str:
    """Why nobody would reach a service that is served so."""
    if route:
        return f"{service.name} is not routed by any field of its requests; serve it without the route {route!r}."
    named = next(method for method in service.methods.values() if method.policy.route_by)
    field = named.policy.route_by
    return f"{service.name} is routed by {field!r}, so each route is served by itself; say which one is served here."


def _another_attempt(call: ServerCall, frame: Frame, message: Message) -> bool:
    """The caller of a call opens it again."""
    (caller, before), (again, attempt) = subjects.attempt_of(call.reply), subjects.attempt_of(message.reply)
    return caller == again and before < attempt and call.protocol.opened_by(frame.open)


def _free_again(call: ServerCall, frame: Frame, message: Message) -> bool:
    """The id of an ended call is its own caller's to use again; others may still resume that one."""
    if _another_attempt(call, frame, message):
        return True
    return call.reply == message.reply and not call.protocol.opened_by(frame.open)


class _Letter:
    """A frame that belongs to no call of this process."""

    def __init__(self, subject: str, payload: bytes) -> None:
        self.marked = False
        self._letter = (subject, payload, "")

    def outgoing(self) -> list[Letter]:
        return [self._letter]


async def _unheard(bindings: Iterable[_Binding]) -> None:
    """Leave the queue groups."""
    # Not unsubscribed at once: an OPEN that is on its way would vanish, and its caller wait for an acceptance.
    subscriptions = [binding.subscription for binding in bindings if binding.subscription is not None]
    await asyncio.gather(*(subscription.drain() for subscription in subscriptions))


async def _cancelled(calls: Iterable[ServerCall]) -> None:
    """Stop what the handlers do, and return when they have stopped."""
    tasks = [call.task for call in calls if call.task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
