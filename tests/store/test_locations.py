"""Where calls live."""

import pytest

from store import JetStream, JetStreamStore, Locations, MemoryLocations, TableLocations
from troupe.rpc.v1 import Location


@pytest.fixture(params=["jetstream", "memory"])
async def locations(request: pytest.FixtureRequest, jetstream: JetStream) -> Locations:
    return MemoryLocations() if request.param == "memory" else await TableLocations.open(JetStreamStore(jetstream))


async def test_a_location_is_found_by_its_call(locations: Locations) -> None:
    here = Location(process="llama-1", epoch=3, resume_key_digest=b"\x00\xff", principal="ada", method="a.B/C")
    assert await locations.get("call-1") is None
    await locations.put("call-1", here)
    assert await locations.get("call-1") == here
    moved = Location(process="llama-2")
    await locations.put("call-1", moved)
    assert await locations.get("call-1") == moved


async def test_every_process_sees_the_same_locations(jetstream: JetStream) -> None:
    one = await TableLocations.open(JetStreamStore(jetstream))
    two = await TableLocations.open(JetStreamStore(jetstream))
    await one.put("shared", Location(process="p"))
    assert await two.get("shared") == Location(process="p")
