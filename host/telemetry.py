"""Traces: a span per call, joined across processes by the W3C trace context in the call's metadata.

Nothing happens per message. Without an endpoint nothing is recorded and nothing of OpenTelemetry is imported; a trace
context that comes in still travels on with the calls made on its behalf.
"""

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING

import structlog

from bus.behalf import CREDENTIAL, PRINCIPAL, REQUEST_ID
from bus.channel import Trace
from bus.context import current_context
from bus.errors import Code, RpcError
from bus.interceptor import Interceptor, Next, Served
from bus.service import Metadata, MethodInfo
from host.settings import TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, SpanKind, Tracer


TRACE_KEYS = ("traceparent", "tracestate")

_TOLD = {
    PRINCIPAL: "enduser.id",
    CREDENTIAL: "troupe.credential_id",
    REQUEST_ID: "troupe.request_id",
}
"""What spans tell of a call's metadata, under which names."""

Ended = Callable[[RpcError | None], None]
"""To be called once, when what a span covers has ended; with the error if it failed."""

FAULTS = frozenset(
    {Code.UNKNOWN, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS, Code.UNIMPLEMENTED, Code.DEADLINE_EXCEEDED}
)
"""Codes that are the hub's fault, not the caller's."""

log = structlog.get_logger(__name__)


class Telemetry:
    """One process's traces.

    process: its name on the bus. exporter: where spans go instead of the settings' endpoint.
    """

    def __init__(self, settings: TelemetrySettings, process: str, exporter: "SpanExporter | None" = None) -> None:
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None
        if settings.otlp_endpoint or exporter is not None:
            self._provider = _provider(settings, process, exporter)
            self._tracer = self._provider.get_tracer("troupe")

    @property
    def interceptors(self) -> tuple[Interceptor, ...]:
        """For a Server, inside of others that watch messages; empty when nothing is recorded."""
        return (self._serve,) if self._tracer else ()

    def stamp(self, method: MethodInfo, metadata: Metadata) -> None:
        """Add the trace context to a call that goes out; what the caller gave stays."""
        if "traceparent" in metadata:
            return
        if self._tracer is not None:
            _inject(metadata)
        if "traceparent" not in metadata:
            context = current_context()
            if context is not None:
                metadata.update({key: context.metadata[key] for key in TRACE_KEYS if key in context.metadata})

    @property
    def trace(self) -> Trace | None:
        """For a Channel: a span for each call that goes out; None when nothing is recorded.

        At a door the call arrives with the client's trace context and goes on with the span's.
        """
        return self._begin if self._tracer else None

    def _begin(self, method: str, metadata: MutableMapping[str, str]) -> Ended:
        from opentelemetry import trace

        assert self._tracer is not None
        span = _start(self._tracer, method, metadata, trace.SpanKind.CLIENT)
        for key in TRACE_KEYS:
            metadata.pop(key, None)
        _inject(metadata, span)
        return lambda error: _finish(span, error)

    async def _serve(self, call: Served, proceed: Next) -> None:
        from opentelemetry import trace

        assert self._tracer is not None
        span = _start(self._tracer, call.method.full_name, call.context.metadata, trace.SpanKind.SERVER)
        span.set_attribute("troupe.call_id", call.context.call_id)
        _note_first_message(call, span)
        error: RpcError | None = None
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                await proceed(call)
        except RpcError as failure:
            error = failure
            raise
        except asyncio.CancelledError:
            error = RpcError(Code.CANCELLED, "The call was stopped.")
            raise
        except Exception as failure:
            # The type alone: the text may repeat somebody's words.
            error = RpcError(Code.INTERNAL, type(failure).__name__)
            raise
        finally:
            _finish(span, error)

    def close(self) -> None:
        """Send what was recorded and stop; gives up after a few seconds if nobody takes it."""
        if self._provider is not None:
            self._provider.shutdown()


def _provider(settings: TelemetrySettings, process: str, exporter: "SpanExporter | None") -> "TracerProvider":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    resource = Resource({"service.name": settings.service_name, "service.instance.id": process})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    else:
        provider.add_span_processor(BatchSpanProcessor(_otlp(settings.otlp_endpoint)))
    return provider


def _otlp(endpoint: str) -> "SpanExporter":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    address = endpoint.rstrip("/")
    return OTLPSpanExporter(endpoint=address if address.endswith("/v1/traces") else f"{address}/v1/traces", timeout=5)


def _start(tracer: "Tracer", method: str, metadata: Mapping[str, str], kind: "SpanKind") -> "Span":
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract(dict(metadata))
    service, _, name = method.partition("/")
    attributes = {"rpc.system": "troupe", "rpc.service": service, "rpc.method": name}
    attributes |= {key: metadata[given] for given, key in _TOLD.items() if given in metadata}
    return tracer.start_span(method, context=parent, kind=kind, attributes=attributes)


def _inject(metadata: MutableMapping[str, str], span: "Span | None" = None) -> None:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = trace.set_span_in_context(span) if span is not None else None
    TraceContextTextMapPropagator().inject(metadata, context=context)


def _finish(span: "Span", error: RpcError | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("rpc.grpc.status_code", int(error.code if error else Code.OK))
    if error is not None:
        span.set_attribute("troupe.reason", error.reason)
        span.set_attribute("troupe.reference", error.reference)
        if error.code in FAULTS:
            span.set_status(Status(StatusCode.ERROR, error.reason))
    span.end()


def _note_first_message(call: Served, span: "Span") -> None:
    following = call.on_sent

    def sent() -> None:
        span.add_event("first_message")
        call.on_sent = following
        if following is not None:
            following()

    call.on_sent = sent
