"""What models take of memory, for people who want to know whether several run together."""

from actors.model.needs import work_of
from bus import invalid
from troupe.family.v1 import DescribeModelResponse
from troupe.gpu.v1 import DeviceKind
from troupe.model.v1 import MemoryWay, Model, ModelPlan, PlanModelsRequest

MOST = 100
"""Models that may be asked for at once."""


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


def _by_sum(model: Model, answer: DescribeModelResponse) -> list[MemoryWay]:
    """Of a family that tells no ways: as the stage is asked for it."""
    if not answer.needs.weights_bytes:
        return []
    found = {size.kind: size.bytes for size in work_of(model.family, model.name, answer.needs).variants[0].sizes}
    card, main = found.get(DeviceKind.DEVICE_KIND_NVIDIA, 0), found.get(DeviceKind.DEVICE_KIND_SYSTEM, 0)
    return [MemoryWay(accelerator_bytes=card, host_bytes=main)]
