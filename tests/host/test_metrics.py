import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from google.protobuf.duration_pb2 import Duration
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from actors.echo import EchoActor
from bus import Context, RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from host import metrics
from host.metrics import Histogram, Metrics, gather, merge
from troupe.echo.v1 import EchoRequest, EchoService, EchoServiceClient, FailRequest, RepeatRequest, RepeatResponse
from troupe.rpc.v1 import Progress

ECHO = "troupe.echo.v1.EchoService/Echo"
REPEAT = "troupe.echo.v1.EchoService/Repeat"
FAIL = "troupe.echo.v1.EchoService/Fail"


class WaitingEcho(EchoActor):
    """Tells its place in the line before it repeats, and waits for a word before it ends."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def repeat(self, request: RepeatRequest, ctx: Context) -> AsyncIterator[RepeatResponse]:
        await ctx.progress(Progress.STATE_QUEUED, position=1)
        async for response in super().repeat(request, ctx):
            yield response
        await self.go_on.wait()


@dataclass
class Served:
    broker: MemoryBroker
    actor: WaitingEcho
    metrics: Metrics
    client: EchoServiceClient

    def value(self, name: str, **labels: str) -> float | None:
        return value(self.metrics.text(), name, **labels)


def value(page: bytes, name: str, **labels: str) -> float | None:
    """The one sample with this name and at least these labels."""
    found = [
        sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) <= 1, found
    return found[0] if found else None


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    broker, actor = MemoryBroker(), WaitingEcho()
    transport = MemoryTransport(broker, "echo-1")
    own = Metrics("echo-1", "echo")
    server = Server(transport, interceptors=own.interceptors)
    own.watch(server)
    await server.add(actor, EchoService.INFO)
    await own.serve(transport)
    channel = Channel(MemoryTransport(broker, "gateway-1"))
    async with asyncio.timeout(10):
        yield Served(broker, actor, own, EchoServiceClient(channel))
        await channel.close()
        await server.drain(1)


async def test_calls_are_counted_by_method_code_and_reason(served: Served) -> None:
    for _ in range(3):
        await served.client.echo(EchoRequest(text="xin chào"))
    with pytest.raises(RpcError):
        await served.client.fail(FailRequest(code=5, message="no", reason="MODEL_NOT_FOUND"))
    assert served.value("troupe_calls_total", method=ECHO, code="OK", reason="") == 3
    assert served.value("troupe_calls_total", method=FAIL, code="NOT_FOUND", reason="MODEL_NOT_FOUND") == 1


async def test_a_cancelled_call_is_counted_as_cancelled(served: Served) -> None:
    responses = served.client.repeat(RepeatRequest(text="a", count=1000, interval=Duration(seconds=1)))
    await anext(aiter(responses))
    assert served.value("troupe_calls_active", method=REPEAT) == 1
    await responses.aclose()
    while served.value("troupe_calls_active", method=REPEAT):
        await asyncio.sleep(0)
    assert served.value("troupe_calls_total", method=REPEAT, code="CANCELLED") == 1


async def test_time_to_the_first_message_and_between_messages_are_measured_without_progress(served: Served) -> None:
    assert len([_ async for _ in served.client.repeat(RepeatRequest(text="a", count=10))]) == 11
    assert served.value("troupe_first_message_seconds_count", method=REPEAT) == 1
    assert served.value("troupe_message_interval_seconds_count", method=REPEAT) == 9


async def test_progress_alone_is_no_first_message(served: Served) -> None:
    served.actor.go_on.clear()
    responses = served.client.repeat(RepeatRequest(text="a", count=0))
    await anext(aiter(responses))
    assert served.value("troupe_first_message_seconds_count", method=REPEAT) == 0
    served.actor.go_on.set()
    assert [_ async for _ in responses] == []


async def test_an_answer_that_waits_for_its_consumer_is_a_stall(served: Served) -> None:
    assert served.value("troupe_credit_stalls_total") == 0
    responses = served.client.repeat(RepeatRequest(text="a", count=1000))
    await anext(aiter(responses))
    while not served.value("troupe_credit_stalls_total"):
        await asyncio.sleep(0)
    assert len([_ async for _ in responses]) == 1000


async def test_reasons_that_actors_make_up_cannot_fill_the_memory(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MAX_REASONS", 3)
    for number in range(10):
        with pytest.raises(RpcError):
            await served.client.fail(FailRequest(code=3, reason=f"REASON_{number}"))
    assert served.value("troupe_calls_total", method=FAIL, reason="other") == 7
    assert served.metrics.text().count(b"troupe_calls_total{") == 4


def test_a_queue_tells_its_depth_when_asked() -> None:
    own, waiting = Metrics("llama-1", "llama"), ["a", "b"]
    own.queue_depth(lambda: len(waiting), queue="troupe-tiny")
    own.queue_depth(lambda: 0, queue="other")
    waiting.append("c")
    assert value(own.text(), "troupe_queue_depth", queue="troupe-tiny") == 3
    assert value(own.text(), "troupe_queue_depth", queue="other") == 0


def test_every_sample_says_whose_it_is() -> None:
    page = Metrics("echo-1", "echo").text()
    assert value(page, "process_resident_memory_bytes", process="echo-1", actor="echo")
    assert all(b'process="echo-1"' in line for line in page.splitlines() if not line.startswith(b"#"))


def test_a_histogram_is_cumulative_and_its_bounds_belong_below() -> None:
    own = Histogram((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 9.0):
        own.observe(seconds)
    assert own.count == 4
    family = HistogramMetricFamily("h", "A histogram.", labels=["x"])
    own.add_to(family, ["y"])
    assert {sample.labels.get("le"): sample.value for sample in family.samples} == {
        "1.0": 2,
        "2.0": 3,
        "+Inf": 4,
        None: 12,
    }


async def test_the_metrics_of_all_processes_come_on_one_page(served: Served) -> None:
    other_transport, other = MemoryTransport(served.broker, "echo-2"), Metrics("echo-2", "echo")
    await other.serve(other_transport)
    await served.client.echo(EchoRequest(text="a"))
    page = await gather(other_transport, timeout=5, expected=2)
    assert value(page, "troupe_calls_total", process="echo-1", method=ECHO) == 1
    assert value(page, "process_resident_memory_bytes", process="echo-2")
    assert page.count(b"# TYPE process_resident_memory_bytes ") == 1


async def test_when_nobody_answers_the_page_is_empty_at_once() -> None:
    async with asyncio.timeout(5):
        assert await gather(MemoryTransport(MemoryBroker()), timeout=60) == b""


async def test_a_process_that_does_not_answer_holds_nobody_up_for_long(served: Served) -> None:
    await MemoryTransport(served.broker).subscribe("metrics", lambda message: None)
    page = await gather(MemoryTransport(served.broker), timeout=0.05, expected=2)
    assert value(page, "process_resident_memory_bytes", process="echo-1")


def test_merging_keeps_the_samples_of_a_metric_together() -> None:
    one = b'# HELP a A.\n# TYPE a gauge\na{p="1"} 1\n# HELP b B.\n# TYPE b gauge\nb{p="1"} 1\n'
    two = b'# HELP a A.\n# TYPE a gauge\na{p="2"} 2\n'
    assert merge([one, two]).splitlines()[:4] == [b"# HELP a A.", b"# TYPE a gauge", b'a{p="1"} 1', b'a{p="2"} 2']


async def test_families_of_an_actors_own_are_made_anew_for_each_page() -> None:
    own, leases = Metrics("gpu-1", "gpu"), {"card-0": 3, "card-1": 5}

    def families() -> Iterator[Metric]:
        memory = GaugeMetricFamily("leased_bytes", "Memory that is leased.", labels=["device"])
        for device, amount in leases.items():
            memory.add_metric([device], amount)
        loads = CounterMetricFamily("loads", "Loads so far.", labels=["reason"])
        loads.add_metric(["asked"], sum(leases.values()))
        yield from (memory, loads)

    leave = own.collect(families)
    assert value(own.text(), "leased_bytes", device="card-1", process="gpu-1", actor="gpu") == 5
    assert value(own.text(), "loads_total", reason="asked") == 8
    del leases["card-1"]
    assert value(own.text(), "leased_bytes", device="card-1") is None
    assert value(merge([own.text(), Metrics("gpu-2", "gpu").text()]), "leased_bytes", device="card-0") == 3
    leave()
    assert b"leased_bytes" not in own.text()


async def test_families_that_fail_or_grow_without_end_leave_the_rest_of_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "MAX_SERIES", 10)
    own = Metrics("gpu-1", "gpu")

    def failing() -> Iterator[Metric]:
        yield GaugeMetricFamily("half", "It is told by nobody.", 1.0)
        raise ValueError

    def endless() -> Iterator[Metric]:
        family = GaugeMetricFamily("many", "Too many.", labels=["number"])
        for number in range(50):
            family.add_metric([str(number)], number)
        yield family

    own.collect(failing)
    own.collect(endless)
    page = own.text().decode()
    assert "half" not in page and "process_cpu_seconds_total" in page
    assert page.count("many{") == 10
