"""What a family tells of memory, as callers of ModelService hear it."""

import pytest

from actors.model.needs import PROCESS_BYTES
from actors.models.planning import MOST, check_names, plan_of
from bus import RpcError
from troupe.family.v1 import DescribeModelResponse, Measured, Needs, Way
from troupe.model.v1 import Model, PlanModelsRequest


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
