"""Counters and histograms of each process, and all of them on one page.

Each process keeps its own and answers with them on the bus; `gather` asks all and merges the answers. What happens per
message is two additions to a list: the libraries' locks and label look-ups wait until somebody asks.
"""

import asyncio
import secrets
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bus import subjects
from bus.errors import Code, RpcError
from bus.interceptor import Interceptor, Next, Served
from bus.transports import Message, Transport
from host.questions import respond

if TYPE_CHECKING:
    from bus.server import Server

FIRST_MESSAGE_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
INTERVAL_BOUNDS = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 5.0)

MAX_ANSWERS = 1024
"""Processes whose metrics are merged at most."""

MAX_SERIES = 2000
"""Samples that one collector tells at most; more are left out, and the log says so."""

MAX_REASONS = 200
"""Different combinations of method, code and reason that are counted apart; actors make reasons up."""

log = structlog.get_logger(__name__)


class Histogram:
    """Counts of values between bounds, in seconds. Not for several threads."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self._counts)

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        """As Prometheus has it: cumulative."""
        edges = [*(str(bound) for bound in self._bounds), "+Inf"]
        family.add_metric(labels, list(zip(edges, accumulate(self._counts), strict=True)), self._sum)


@dataclass(slots=True)
class Totals:
    """What a method has done so far."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0
    """All calls' durations together."""
    last_error: str = ""
    """The reason of the last one that failed."""


class _Method:
    """What is measured of one method."""

    __slots__ = ("active", "first_message", "interval", "totals")

    def __init__(self) -> None:
        self.active = 0
        self.totals = Totals()
        self.first_message = Histogram(FIRST_MESSAGE_BOUNDS)
        self.interval = Histogram(INTERVAL_BOUNDS)


class Metrics:
    """One process's metrics.

    process: its name on the bus. actor: its name in the registry, or "gateway"; both become labels of everything here.
    """

    def __init__(self, process: str, actor: str) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._labels = {"process": process, "actor": actor}
        self._methods: dict[str, _Method] = {}
        self._servers: list[Server] = []
        self._gauges: dict[str, Gauge] = {}
        self._calls: dict[tuple[str, str, str], int] = {}
        self.registry.register(_Measured(self._methods, self._calls, self._servers))
        ProcessCollector(registry=self.registry)

    @property
    def interceptors(self) -> tuple[Interceptor, ...]:
        """For a Server; outside of others, so that what they refuse is counted."""
        return (self._serve,)

    def watch(self, server: "Server") -> None:
        """Tell of a server's stalls for credit and resumes."""
        self._servers.append(server)

    def gauge(self, name: str, text: str, value: Callable[[], float], **labels: str) -> None:
        """Tell a number that is asked for at each scrape, for example the length of a queue."""
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(name, text, sorted(labels), registry=self.registry)
        (gauge.labels(**labels) if labels else gauge).set_function(value)

    def collect(self, families: Callable[[], Iterable[Metric]]) -> Callable[[], None]:
        """Tell whole families of metrics, made anew at each scrape: counters, and labels that come and go.

        families: reads a snapshot and must not block; at most MAX_SERIES samples in all. Where it raises, the log says
        so and its metrics are left out of that page. What is returned ends it.
        """
        collected = _Collected(families)
        self.registry.register(collected)
        return lambda: self.registry.unregister(collected)

    def totals(self, method: str) -> Totals:
        """What a method has done so far, by its full name."""
        measured = self._methods.get(method)
        return measured.totals if measured else Totals()

    def queue_depth(self, value: Callable[[], float], queue: str) -> None:
        """Tell how many calls wait in a queue, for example a model's."""
        self.gauge("troupe_queue_depth", "Calls that wait for their turn.", value, queue=queue)

    async def _serve(self, call: Served, proceed: Next) -> None:
        method = self._methods.setdefault(call.method.full_name, _Method())
        method.active += 1
        _time_messages(call, method)
        try:
            await proceed(call)
        except RpcError as error:
            self._ended(call, error.code, error.reason)
            raise
        except asyncio.CancelledError:
            self._ended(call, Code.CANCELLED, Code.CANCELLED.name)
            raise
        except Exception:
            self._ended(call, Code.INTERNAL, Code.INTERNAL.name)
            raise
        else:
            self._ended(call, Code.OK, "")
        finally:
            method.active -= 1

    def _ended(self, call: Served, code: Code, reason: str) -> None:
        totals = self._methods[call.method.full_name].totals
        totals.calls += 1
        totals.seconds += time.monotonic() - call.started_at
        if code is not Code.OK:
            totals.errors += 1
            totals.last_error = reason
        labels = (call.method.full_name, code.name, reason)
        if labels not in self._calls and len(self._calls) >= MAX_REASONS:
            labels = (call.method.full_name, code.name, "other")
        self._calls[labels] = self._calls.get(labels, 0) + 1

    def text(self) -> bytes:
        """All of it in Prometheus' text form, with this process's labels."""
        return generate_latest(_Labelled(self.registry, self._labels))

    async def serve(self, transport: Transport) -> None:
        """Answer whoever asks on the bus."""
        await respond(transport, subjects.METRICS, self.text)


def _time_messages(call: Served, method: _Method) -> None:
    """Hear of each message that goes out; progress is none."""
    following = call.on_sent
    last = 0.0
    observe = method.interval.observe

    def sent() -> None:
        nonlocal last
        now = time.monotonic()
        if last:
            observe(now - last)
        else:
            method.first_message.observe(now - call.started_at)
        last = now
        if following is not None:
            following()

    call.on_sent = sent


class _Labelled(Collector):
    """What a registry collects, each sample with labels of the process besides its own."""

    def __init__(self, registry: CollectorRegistry, labels: dict[str, str]) -> None:
        self._registry = registry
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [each._replace(labels={**each.labels, **self._labels}) for each in family.samples]
            yield family


class _Collected(Collector):
    """Families of metrics that an actor makes at each scrape."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        try:
            found = list(islice(self._families(), MAX_SERIES))
        except Exception:
            log.exception("metrics.failed")
            return
        room = MAX_SERIES
        for family in found:
            if len(family.samples) > room:
                log.warning("metrics.cut", metric=family.name, samples=len(family.samples), kept=room)
                family.samples = family.samples[:room]
            room -= len(family.samples)
            yield family


class _Measured(Collector):
    """Hands what was counted by hand to the registry."""

    def __init__(
        self, methods: dict[str, _Method], calls: dict[tuple[str, str, str], int], servers: "list[Server]"
    ) -> None:
        self._methods = methods
        self._calls = calls
        self._servers = servers

    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "troupe_calls", "Calls that have ended, by code and reason.", labels=["method", "code", "reason"]
        )
        for labels, count in self._calls.items():
            calls.add_metric(labels, count)
        yield calls
        active = GaugeMetricFamily("troupe_calls_active", "Calls that are being served.", labels=["method"])
        first = HistogramMetricFamily(
            "troupe_first_message_seconds", "From a call's begin to its first message.", labels=["method"]
        )
        interval = HistogramMetricFamily(
            "troupe_message_interval_seconds", "Between two messages of a call.", labels=["method"]
        )
        for name, method in self._methods.items():
            active.add_metric([name], method.active)
            method.first_message.add_to(first, [name])
            method.interval.add_to(interval, [name])
        yield from (active, first, interval)
        stalls = CounterMetricFamily("troupe_credit_stalls", "How often an answer had to wait for its consumer.")
        stalls.add_metric([], sum(server.stalls for server in self._servers))
        resumes = CounterMetricFamily("troupe_resumes", "How often a consumer asked for what it had missed.")
        resumes.add_metric([], sum(server.resumes for server in self._servers))
        yield from (stalls, resumes)


async def gather(transport: Transport, timeout: float = 0.5, expected: int = 0) -> bytes:
    """The metrics of all processes, in Prometheus' text form.

    timeout: seconds to wait for the slow ones. expected: with so many answers it is complete; 0: not known.
    """
    inbox = subjects.reply(transport.process, f"metrics-{secrets.token_hex(8)}")
    answers: list[bytes] = []
    complete = asyncio.Event()

    def heard(message: Message) -> None:
        if message.no_responders or len(answers) >= MAX_ANSWERS:
            complete.set()
            return
        answers.append(message.payload)
        if len(answers) == expected:
            complete.set()

    subscription = await transport.subscribe(inbox, heard)
    try:
        transport.publish(subjects.METRICS, b"", inbox)
        async with asyncio.timeout(timeout):
            await complete.wait()
    except TimeoutError:
        log.debug("metrics.gathered", answers=len(answers), expected=expected)
    finally:
        await subscription.unsubscribe()
    return merge(answers)


def merge(pages: Iterable[bytes]) -> bytes:
    """Several processes' pages as one: the samples of a metric stand together, below one HELP and TYPE.

    Line by line: the library's parser takes 24 ms for 85 kB, this a third of one, and it runs in the door's event loop.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for page in pages:
        family = ""
        for line in page.decode("utf-8", errors="replace").splitlines():
            if line.startswith("# "):
                family = line.split(" ", 3)[2]
                head = heads.setdefault(family, [])
                samples.setdefault(family, [])
                if len(head) < 2 and line not in head:
                    head.append(line)
            elif line and family:
                samples[family].append(line)
    return "".join(f"{line}\n" for name, head in heads.items() for line in [*head, *samples[name]]).encode()
