"""The stage on the hub's page of metrics."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from actors.gpu.counts import Counts
from actors.gpu.reading import Reading
from actors.gpu.snapshot import DeviceView, Snapshot

BYTES: Sequence[tuple[str, Callable[[DeviceView], int | None]]] = (
    ("total", lambda device: device.total),
    ("cap", lambda device: device.cap),
    ("leased", lambda device: device.leased),
    ("unverified", lambda device: device.unverified),
    ("ours", lambda device: device.ours),
    ("others", lambda device: device.others),
)
MEASURED: Sequence[tuple[str, str, Callable[[Reading], float | None]]] = (
    ("utilization_ratio", "Share of the time in which the device computed.", lambda reading: reading.utilization),
    ("temperature_celsius", "How warm the device is.", lambda reading: reading.temperature),
    ("power_watts", "What the device takes.", lambda reading: reading.power),
)


class StageMetrics:
    """snapshot: of now. readings: of each device that answers, by name."""

    def __init__(self, snapshot: Callable[[], Snapshot], readings: Mapping[str, Reading], counts: Counts) -> None:
        self._snapshot = snapshot
        self._readings = readings
        self._counts = counts

    def families(self) -> Iterator[Metric]:
        """All of it, from one snapshot."""
        snapshot = self._snapshot()
        yield from _devices(snapshot.devices, self._readings)
        yield from _classes(snapshot, self._counts)
        yield from _counted(self._counts)


def _devices(devices: Iterable[DeviceView], readings: Mapping[str, Reading]) -> Iterator[Metric]:
    memory = GaugeMetricFamily(
        "troupe_stage_device_memory_bytes",
        "Memory of a device: all, what may be used, what is leased, given back and not seen to be free, and what was "
        "measured to be used by the hub and by others.",
        labels=["device", "of"],
    )
    up = GaugeMetricFamily("troupe_stage_device_up", "1 while the device answers.", labels=["device"])
    families = [GaugeMetricFamily(f"troupe_stage_device_{name}", text, labels=["device"]) for name, text, _ in MEASURED]
    for device in devices:
        up.add_metric([device.name], float(not device.lost))
        for name, of in BYTES:
            if (size := of(device)) is not None:
                memory.add_metric([device.name, name], size)
        reading = readings.get(device.name)
        for family, (_, _, measured) in zip(families, MEASURED, strict=True):
            if reading is not None and (value := measured(reading)) is not None:
                family.add_metric([device.name], value)
    yield from (memory, up, *families)


def _classes(snapshot: Snapshot, counts: Counts) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("troupe_stage_waiting", "Calls and processes that wait for memory.", labels=["class"])
    for priority, number in snapshot.waiting().items():
        waiting.add_metric([priority.word], number)
    waits = HistogramMetricFamily("troupe_stage_wait_seconds", "From a wish to its place.", labels=["class"])
    for priority, histogram in counts.waits.items():
        histogram.add_to(waits, [priority.word])
    leases = GaugeMetricFamily("troupe_stage_leases", "Leases, by how far they are.", labels=["state"])
    for state, number in Counter(lease.state for lease in snapshot.leases).items():
        leases.add_metric([state], number)
    yield from (waiting, waits, leases)


def _counted(counts: Counts) -> Iterator[Metric]:
    loads = CounterMetricFamily("troupe_stage_loads", "Leases whose work was loaded.")
    loads.add_metric([], counts.loads)
    evictions = CounterMetricFamily("troupe_stage_evictions", "Leases that were revoked and have ended.")
    evictions.add_metric([], counts.evictions)
    revokes = CounterMetricFamily("troupe_stage_revokes", "Leases that were told to end, by the rule.", labels=["rule"])
    for rule, number in counts.revokes.items():
        revokes.add_metric([rule], number)
    refusals = CounterMetricFamily("troupe_stage_refusals", "Wishes that were refused, by reason.", labels=["reason"])
    for reason, number in counts.refusals.items():
        refusals.add_metric([reason], number)
    yield from (loads, evictions, revokes, refusals)
