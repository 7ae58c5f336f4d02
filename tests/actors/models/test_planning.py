"""What a family tells of memory, as callers of ModelService hear it."""

import pytest

from actors.model.needs import PROCESS_BYTES
from actors.models.planning import MOST, check_names, plan_of, recalled
from bus import Context, RpcError, ServiceInfo
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from troupe.family.v1 import DescribeModelResponse, Measured, Needs, Way
from troupe.gpu.v1 import (
    DeviceKind,
    GpuService,
    GpuServiceClient,
    Recalled,
    RecallRequest,
    RecallResponse,
    Size,
)
from troupe.model.v1 import Model, ModelPlan, PlanModelsRequest

SYSTEM, NVIDIA = DeviceKind.DEVICE_KIND_SYSTEM, DeviceKind.DEVICE_KIND_NVIDIA
FIXED = DeviceKind.DEVICE_KIND_FIXED


def test_ways_and_what_was_measured_are_told_as_they_are() -> None:
    ways = [Way(host_bytes=9, accelerator_bytes=4, spread=True), Way(host_bytes=5, note="shorter", another_file=True)]
    told = DescribeModelResponse(needs=Needs(ways=ways), measured=Measured(host_bytes=8, accelerator_bytes=3))
    plan = plan_of(Model(name="a"), told)
    assert [(way.host_bytes, way.accelerator_bytes, way.spread) for way in plan.ways] == [(9, 4, True), (5, 0, False)]
    assert (plan.ways[1].note, plan.ways[1].another_file) == ("shorter", True)
    assert (plan.measured_host_bytes, plan.measured_accelerator_bytes) == (8, 3)


def test_a_family_that_tells_sums_alone_has_one_way_and_one_that_tells_nothing_none() -> None:
    sums = DescribeModelResponse(needs=Needs(weights_bytes=100))
    assert [way.host_bytes for way in plan_of(Model(name="a"), sums).ways] == [PROCESS_BYTES + 100]
    assert not plan_of(Model(name="a"), DescribeModelResponse()).ways


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_no_names_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(RpcError, match=f"1 to {MOST}"):
        check_names(PlanModelsRequest(names=["a"] * count))


class Remembering(GpuService):
    """A stage that remembers one thing."""

    def routes(self, service: ServiceInfo) -> list[str]:
        return ["local"]

    async def recall(self, request: RecallRequest, ctx: Context) -> RecallResponse:
        known = {"one": [Size(kind=SYSTEM, bytes=8), Size(kind=NVIDIA, bytes=3)], "two": [Size(kind=FIXED, bytes=5)]}
        return RecallResponse(recalled=[Recalled(sizes=known.get(key, [])) for key in request.keys])


@pytest.mark.parametrize(("key", "measured"), [("one", (8, 3)), ("two", (5, 0)), ("never", (0, 0))])
async def test_a_plan_knows_what_was_measured_when_the_model_was_loaded_last(
    key: str, measured: tuple[int, int]
) -> None:
    broker = MemoryBroker()
    server, channel = Server(MemoryTransport(broker, "gpu-1")), Channel(MemoryTransport(broker, "models-1"))
    await server.add(Remembering(), GpuService.INFO, "local")
    plan = ModelPlan(model=Model(name="a"))
    await recalled(plan, key, GpuServiceClient(channel), "local")
    assert (plan.measured_host_bytes, plan.measured_accelerator_bytes) == measured
    await channel.close()
    await server.drain(0)


async def test_a_stage_that_is_away_leaves_a_plan_as_it_is() -> None:
    channel = Channel(MemoryTransport(MemoryBroker(), "models-1"))
    plan = ModelPlan(model=Model(name="a"))
    await recalled(plan, "one", GpuServiceClient(channel), "local")
    assert plan == ModelPlan(model=Model(name="a"))
    await channel.close()
