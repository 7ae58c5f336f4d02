import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from google.protobuf.duration_pb2 import Duration
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from actors.echo import EchoActor
from bus import Context, RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.metrics import Metrics
from host.settings import TelemetrySettings
from host.telemetry import Telemetry
from troupe.echo.v1 import EchoRequest, EchoResponse, EchoService, EchoServiceClient, FailRequest, RepeatRequest

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class AskingEcho(EchoActor):
    """Answers with the trace context it got; asked for another's, it asks itself."""

    def __init__(self, channel: Channel) -> None:
        self._client = EchoServiceClient(channel)

    async def echo(self, request: EchoRequest, ctx: Context) -> EchoResponse:
        if request.text == "another":
            return await self._client.echo(EchoRequest(text="own"))
        if request.text == "broken":
            raise ValueError("what somebody said")
        return EchoResponse(text=ctx.metadata.get("traceparent", ""))


@dataclass
class Traced:
    exporter: InMemorySpanExporter
    telemetry: Telemetry
    client: EchoServiceClient

    async def served(self) -> ReadableSpan:
        """The server's span of the only call."""
        return next(span for span in await self.spans(2) if span.kind is SpanKind.SERVER)

    async def spans(self, count: int) -> list[ReadableSpan]:
        """The first spans that ended, once there are so many."""
        while len(self.exporter.get_finished_spans()) < count:
            await asyncio.sleep(0)
        return list(self.exporter.get_finished_spans())


@pytest.fixture
async def traced() -> AsyncIterator[Traced]:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry(TelemetrySettings(), "echo-1", exporter)
    async with asyncio.timeout(10):
        async for client in serve(telemetry):
            yield Traced(exporter, telemetry, client)
    telemetry.close()


@pytest.fixture
async def untraced() -> AsyncIterator[EchoServiceClient]:
    telemetry = Telemetry(TelemetrySettings(), "echo-1")
    assert telemetry.interceptors == ()
    assert telemetry.trace is None
    async with asyncio.timeout(10):
        async for client in serve(telemetry):
            yield client
    telemetry.close()


async def serve(telemetry: Telemetry) -> AsyncIterator[EchoServiceClient]:
    broker = MemoryBroker()
    transport = MemoryTransport(broker, "echo-1")
    channel = Channel(transport, stamps=(telemetry.stamp,))
    channel.trace = telemetry.trace
    server = Server(transport, interceptors=(*Metrics("echo-1", "echo").interceptors, *telemetry.interceptors))
    await server.add(AskingEcho(channel), EchoService.INFO)
    yield EchoServiceClient(channel)
    await channel.close()
    await server.drain(1)


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    return f"{span.context.span_id:016x}"


def chain(*spans: ReadableSpan) -> list[str]:
    """From the caller's span down to the innermost, each the child of the one before."""
    children = {f"{span.parent.span_id:016x}": span for span in spans if span.parent is not None}
    found = ["b7ad6b7169203331"]
    while found[-1] in children:
        found.append(span_id(children[found[-1]]))
    return found


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_a_call_is_a_span_on_either_side_in_the_callers_trace(traced: Traced) -> None:
    response = await traced.client.echo(EchoRequest(text="hi"), metadata={"traceparent": PARENT})
    server, client = await traced.spans(2)
    assert (client.kind, server.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
    assert client.name == server.name == "troupe.echo.v1.EchoService/Echo"
    assert chain(server, client) == ["b7ad6b7169203331", span_id(client), span_id(server)]
    assert response.text == f"00-{TRACE}-{span_id(client)}-01"
    assert attributes(server)["rpc.grpc.status_code"] == attributes(client)["rpc.grpc.status_code"] == 0
    assert server.resource.attributes["service.instance.id"] == "echo-1"


async def test_a_call_made_on_behalf_of_another_is_its_child(traced: Traced) -> None:
    await traced.client.echo(EchoRequest(text="another"), metadata={"traceparent": PARENT})
    spans = await traced.spans(4)
    assert chain(*spans)[:1] == ["b7ad6b7169203331"]
    assert len(chain(*spans)) == 5


async def test_every_span_of_a_request_names_it_and_who_made_it(traced: Traced) -> None:
    told = {"x-request-id": "req-1", "troupe-principal": "anna", "troupe-credential": "key-1"}
    await traced.client.echo(EchoRequest(text="another"), metadata=told)
    wanted = {"troupe.request_id": "req-1", "enduser.id": "anna", "troupe.credential_id": "key-1"}
    assert all(attributes(span).items() >= wanted.items() for span in await traced.spans(4))


async def test_a_failure_tells_code_and_reason(traced: Traced) -> None:
    with pytest.raises(RpcError):
        await traced.client.fail(FailRequest(code=14, reason="PEER_LOST"))
    span = await traced.served()
    assert attributes(span).items() >= {"rpc.grpc.status_code": 14, "troupe.reason": "PEER_LOST"}.items()
    assert span.status.status_code is StatusCode.ERROR


async def test_a_callers_mistake_is_no_error_of_the_hub(traced: Traced) -> None:
    with pytest.raises(RpcError):
        await traced.client.fail(FailRequest(code=3))
    span = await traced.served()
    assert span.status.status_code is StatusCode.UNSET


async def test_what_an_unexpected_exception_says_stays_out_of_the_span(traced: Traced) -> None:
    with pytest.raises(RpcError):
        await traced.client.echo(EchoRequest(text="broken"))
    span = await traced.served()
    assert "somebody" not in span.to_json()
    assert span.events == ()


async def test_nothing_is_recorded_per_message_but_the_first(traced: Traced) -> None:
    assert len([_ async for _ in traced.client.repeat(RepeatRequest(text="a", count=100))]) == 100
    span = await traced.served()
    assert [event.name for event in span.events] == ["first_message"]


async def test_a_stopped_call_ends_its_span_as_cancelled(traced: Traced) -> None:
    responses = traced.client.repeat(RepeatRequest(text="a", count=10, interval=Duration(seconds=60)))
    await anext(aiter(responses))
    await responses.aclose()
    span = await traced.served()
    assert attributes(span)["rpc.grpc.status_code"] == 1


async def test_switched_off_the_trace_context_still_travels_on(untraced: EchoServiceClient) -> None:
    response = await untraced.echo(EchoRequest(text="another"), metadata={"traceparent": PARENT})
    assert response.text == PARENT


async def test_switched_off_a_call_without_trace_context_gets_none(untraced: EchoServiceClient) -> None:
    assert (await untraced.echo(EchoRequest(text="another"))).text == ""


async def test_switched_off_nothing_of_opentelemetry_is_imported() -> None:
    script = (
        "import sys; from host.telemetry import Telemetry; from host.settings import TelemetrySettings\n"
        "t = Telemetry(TelemetrySettings(), 'x'); t.stamp(None, {}); t.close()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await process.wait() == 0


async def test_spans_go_to_the_endpoint_by_otlp_over_http() -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def collector(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.decode().lower().splitlines() if line.startswith("content-length:")
        )
        body = await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await asked.put(f"{head.decode().splitlines()[0]} {b'EchoService' in body}")

    server = await asyncio.start_server(collector, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    telemetry = Telemetry(TelemetrySettings(otlp_endpoint=endpoint), "echo-1")
    assert telemetry.trace is not None
    telemetry.trace("troupe.echo.v1.EchoService/Echo", {})(None)
    async with asyncio.timeout(10):
        await asyncio.to_thread(telemetry.close)
        assert await asked.get() == "POST /v1/traces HTTP/1.1 True"
    server.close()
    await server.wait_closed()
