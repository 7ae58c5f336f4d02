"""What models take of memory, for people who want to know whether several run together."""

import structlog

from actors.model.needs import work_of
from bus import RpcError, invalid
from troupe.family.v1 import DescribeModelResponse
from troupe.gpu.v1 import DeviceKind, GpuServiceClient, RecallRequest
from troupe.model.v1 import MemoryWay, Model, ModelPlan, PlanModelsRequest

MOST = 100
"""Models that may be asked for at once."""
RECALL_SECONDS = 2.0

log = structlog.get_logger(__name__)


def check_names(request: PlanModelsRequest) -> None:
    """Raises RpcError INVALID_ARGUMENT."""
    if not 1 <= len(request.names) <= MOST:
        raise invalid(f"names has {len(request.names)} entries; 1 to {MOST} can be planned.", "names")


def plan_of(model: Model, answer: DescribeModelResponse) -> ModelPlan:
    """What a family tells of a model, as callers of ModelService hear it."""
    ways = [
        MemoryWay(
            accelerator_bytes=way.accelerator_bytes,
            host_bytes=way.host_bytes,
            spread=way.spread,
            note=way.note,
            another_file=way.another_file,
        )
        for way in answer.needs.ways
    ]
    measured = answer.measured
    return ModelPlan(
        model=model,
        ways=ways or _by_sum(model, answer),
        measured_host_bytes=measured.host_bytes,
        measured_accelerator_bytes=measured.accelerator_bytes,
    )


async def recalled(plan: ModelPlan, key: str, stage: GpuServiceClient, machine: str) -> None:
    """Put into a plan what the stage remembers of work of this key; nothing where it does not, or is away."""
    try:
        answer = await stage.recall(RecallRequest(machine=machine, keys=[key]), timeout=RECALL_SECONDS)
    except RpcError as error:
        log.info("stage.unasked", model=plan.model.name, error=error.message)
        return
    found = {size.kind: size.bytes for each in answer.recalled for size in each.sizes}
    # A fixed device gives either kind of memory.
    host = found.get(DeviceKind.DEVICE_KIND_SYSTEM, 0) or found.get(DeviceKind.DEVICE_KIND_FIXED, 0)
    plan.measured_host_bytes, plan.measured_accelerator_bytes = host, found.get(DeviceKind.DEVICE_KIND_NVIDIA, 0)


def _by_sum(model: Model, answer: DescribeModelResponse) -> list[MemoryWay]:
    """Of a family that tells no ways: as the stage is asked for it."""
    if not answer.needs.weights_bytes:
        return []
    found = {size.kind: size.bytes for size in work_of(model.family, model.name, answer.needs).variants[0].sizes}
    card, main = found.get(DeviceKind.DEVICE_KIND_NVIDIA, 0), found.get(DeviceKind.DEVICE_KIND_SYSTEM, 0)
    return [MemoryWay(accelerator_bytes=card, host_bytes=main)]
