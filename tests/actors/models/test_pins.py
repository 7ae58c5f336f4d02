"""Pins: kept over restarts, and told to whoever owns the devices' memory."""

import asyncio

from bus import Context
from host.member import Member
from troupe.gpu.v1 import GpuService, PinRequest, PinResponse
from troupe.model.v1 import PinModelRequest, UnpinModelRequest

from .test_actor import Company


class Keeper(GpuService):
    """Notes what it is told of pins."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()

    async def pin(self, request: PinRequest, ctx: Context) -> PinResponse:
        self.told.put_nowait((request.name, request.pinned))
        return PinResponse()


async def stage(company: Company, name: str) -> tuple[Keeper, Member]:
    keeper = Keeper()
    member = await company.member(name)
    await member.serve(keeper, GpuService.INFO, "local")
    await member.ready()
    return keeper, member


async def test_a_pin_is_told_lasts_over_restarts_and_is_taken_back(company: Company) -> None:
    await company.family("colours")
    keeper, _ = await stage(company, "gpu")
    await company.front("colours", patience=1.1)
    pinned = (await company.models.pin_model(PinModelRequest(name="rainbow"))).model
    assert (pinned.pinned, await keeper.told.get()) == (True, ("colours/rainbow", True))
    await company.end("gpu")
    again, _ = await stage(company, "anew")
    assert await again.told.get() == ("colours/rainbow", True)
    await company.end("models")
    await company.front("colours", patience=1.1)
    assert await again.told.get() == ("colours/rainbow", True)
    assert {name: model.pinned for name, model in (await company.listed()).items()} == {"rainbow": True, "small": False}
    await company.models.unpin_model(UnpinModelRequest(name="colours/rainbow"))
    assert await again.told.get() == ("colours/rainbow", False)
    assert not (await company.listed())["rainbow"].pinned
