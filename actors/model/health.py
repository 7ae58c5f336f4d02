"""The health of a family's loaded models: each is tried now and then, and what does not work is started again."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from typing import Self

import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from actors.model.checks import Checks, Verdict
from actors.model.names import qualified
from bus import Behalf, Code, Priority, RpcError, detached
from bus.context import duration
from host.member import Member
from store import ended
from troupe.family.v1 import TrialServiceClient, TryModelRequest, TryModelResponse
from troupe.model.v1 import Health, HealthState

ANSWER_SECONDS = 5.0
"""Beyond the time of a trial, for its answer to come."""

log = structlog.get_logger(__name__)

HEALTHY, FAILING = HealthState.HEALTH_STATE_HEALTHY, HealthState.HEALTH_STATE_FAILING


class HealthWatch:
    """An async context; leaving it ends the trials that are under way.

    told: called whenever the health of a model has changed. unwell: has a model started again, whose health says why;
    with True it is left as failed instead.
    """

    def __init__(
        self,
        member: Member,
        family: str,
        told: Callable[[], None],
        unwell: Callable[[str, str, bool], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        settings = member.settings.models
        self._period, self._within = settings.health_seconds, settings.health_within_seconds
        self._member = member
        self._family = family
        self._told = told
        self._unwell = unwell
        self._clock = clock
        self._client = TrialServiceClient(member.channel)
        self._checks = Checks(self._period)
        self._found: dict[str, Health] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._news = asyncio.Event()
        self._trials: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._uncollect: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        if self._period:
            self._uncollect = self._member.metrics.collect(self.families)
            self._task = detached(self._run(), name=f"health of {self._family}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._uncollect()
        await ended(*([self._task] if self._task else []), *self._trials)

    def serving(self, names: Collection[str], others: Collection[str]) -> None:
        """These models serve now; these do not, and are about to, or have failed."""
        self._checks.serving(names, others, asyncio.get_running_loop().time())
        kept = {*names, *others}
        self._found = {name: health for name, health in self._found.items() if name in kept}
        self._news.set()

    def of(self, name: str) -> Health | None:
        """What came of its last trial; None: it was not tried since it was loaded."""
        return self._found.get(name)

    def trouble(self) -> str:
        """Models that do not work, in sentences; empty: there are none."""
        failing = [(name, health) for name, health in self._found.items() if health.state == FAILING]
        return " ".join(f"{name} does not work: {health.error}" for name, health in failing)

    def families(self) -> Iterable[Metric]:
        """As /metrics has it."""
        healthy = GaugeMetricFamily(
            "troupe_model_healthy", "1 where a loaded model did what it was asked in its last check.", labels=["model"]
        )
        seconds = GaugeMetricFamily(
            "troupe_model_check_seconds", "How long the answer of the last check took.", labels=["model"]
        )
        checks = CounterMetricFamily("troupe_model_checks", "Checks of models.", labels=["model", "result"])
        for name, health in self._found.items():
            healthy.add_metric([name], float(health.state == HEALTHY))
            seconds.add_metric([name], health.latency.ToNanoseconds() / 1e9)
        for (name, result), count in self._counts.items():
            checks.add_metric([name, result], count)
        yield from (healthy, seconds, checks)

    # ---- what is done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            for name in self._checks.due(loop.time()):
                # Nobody waits for it: in the model's queue it stands behind all who do.
                trial = detached(self._try(name), name=f"check of {name}", behalf=Behalf(priority=Priority.TRAINING))
                self._trials.add(trial)
                trial.add_done_callback(self._trials.discard)
            left = self._checks.next - loop.time()
            try:
                async with asyncio.timeout(None if left == float("inf") else max(0.0, left)):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _try(self, name: str) -> None:
        answer = await self._asked(name)
        verdict = self._checks.done(
            name, busy=answer.busy, failed=bool(answer.error), now=asyncio.get_running_loop().time()
        )
        self._news.set()
        if verdict is Verdict.NOTHING:
            return
        state = HEALTHY if verdict is Verdict.HEALTHY else FAILING
        found = Health(state=state, latency=answer.latency, error=answer.error, checked=_stamp(self._clock()))
        self._found[name] = found
        key = (name, "healthy" if verdict is Verdict.HEALTHY else "failing")
        self._counts[key] = self._counts.get(key, 0) + 1
        self._told()
        if verdict is not Verdict.HEALTHY:
            log.warning("model.unhealthy", model=name, error=answer.error, last=verdict is Verdict.FAILED)
            self._unwell(name, answer.error, verdict is Verdict.FAILED)

    async def _asked(self, name: str) -> TryModelResponse:
        """How a trial went. That nobody serves, or somebody is about to leave, says nothing of the model."""
        request = TryModelRequest(model=qualified(self._family, name), within=duration(self._within))
        try:
            return await self._client.try_model(request, timeout=self._within + ANSWER_SECONDS)
        except RpcError as error:
            if error.code is Code.DEADLINE_EXCEEDED:
                return TryModelResponse(error=f"Its process did not answer within {self._within:g} s.")
            if error.code in (Code.UNAVAILABLE, Code.CANCELLED, Code.UNIMPLEMENTED):
                return TryModelResponse(busy=True)
            return TryModelResponse(error=error.message)


def _stamp(seconds: float) -> Timestamp:
    value = Timestamp()
    value.FromNanoseconds(int(seconds * 1e9))
    return value
