"""A default that nobody has set is one that can run; who has set one keeps it."""

from collections.abc import AsyncIterator, Mapping

import pytest

from actors.models.directory import Directory
from actors.models.fitting import fits_ever
from bus import Context
from host.settings import ModelSettings
from troupe.gpu.v1 import Device, DeviceKind, GpuService, Size, Variant, WatchRequest, WatchResponse, Work
from troupe.model.v1 import Model

from .test_actor import Company

FIXED, CARD, MAIN = (
    DeviceKind.DEVICE_KIND_FIXED, DeviceKind.DEVICE_KIND_NVIDIA, DeviceKind.DEVICE_KIND_SYSTEM,
)  # fmt: skip
ALL, CHAT = {"a.v1.A": ["large", "small"]}, ["a.v1.A"]


class Budget(GpuService):
    """A stage that tells of one device."""

    async def watch(self, request: WatchRequest, ctx: Context) -> AsyncIterator[WatchResponse]:
        yield WatchResponse(devices=[Device(name="budget", kind=FIXED, cap_bytes=150_000_040)])


def of(**fits: bool | None) -> Directory:
    """A directory of these models, first and second choice; None: it is not known whether it fits."""
    directory = Directory((), ALL)
    directory.replace("f", [Model(name=name, services=CHAT) for name in fits])
    for family, model in directory.unsure():
        if (known := fits[model.name]) is not None:
            directory.fits(family, model, fits=known)
    return directory


@pytest.mark.parametrize(
    ("large", "small", "default"),
    [
        (None, None, "large"),
        (None, True, "small"),  # until it is known
        (True, True, "large"),
        (False, True, "small"),
        (False, None, "small"),
        (False, False, "large"),
    ],
)
def test_the_first_choice_that_fits_is_the_default(large: bool | None, small: bool | None, default: str) -> None:
    assert of(large=large, small=small).default("a.v1.A") == default


def test_a_file_that_has_changed_is_looked_at_anew_and_where_there_is_no_choice_nothing_is() -> None:
    directory = of(large=False, small=True)
    assert directory.unsure() == []
    directory.replace("f", [Model(name="large", services=CHAT, size_bytes=7), Model(name="small", services=CHAT)])
    assert [model.name for _, model in directory.unsure()] == ["large"]
    directory.replace("f", [Model(name="large", services=CHAT, size_bytes=7)])
    assert directory.unsure() == []


@pytest.mark.parametrize(
    ("asked", "caps", "fits"),
    [
        ({MAIN: 10}, [(FIXED, 9)], False),
        ({MAIN: 10}, [(FIXED, 10)], True),
        ({CARD: 10, MAIN: 3}, [(FIXED, 10)], True),
        ({CARD: 10, MAIN: 3}, [(MAIN, 3), (CARD, 5), (CARD, 5)], True),  # in equal parts
        ({CARD: 11, MAIN: 3}, [(MAIN, 3), (CARD, 5), (CARD, 5)], False),
        ({CARD: 10, MAIN: 3}, [(MAIN, 2), (CARD, 16)], False),
        ({MAIN: 3}, [(CARD, 16)], False),
    ],
)
def test_what_is_below_the_caps_fits(
    asked: Mapping[DeviceKind, int], caps: list[tuple[DeviceKind, int]], fits: bool
) -> None:
    sizes = [Size(kind=kind, bytes=count) for kind, count in asked.items()]
    work = Work(name="w", variants=[Variant(sizes=sizes, spread=True)])
    assert fits_ever(work, [Device(kind=kind, cap_bytes=cap) for kind, cap in caps]) == fits


@pytest.mark.parametrize(("chosen", "default"), [("", "troupe-tiny"), ("smollm2-135m", "smollm2-135m")])
async def test_a_default_that_nobody_set_falls_on_one_that_can_run(company: Company, chosen: str, default: str) -> None:
    company.words("colours", **{"smollm2-135m": " ".join(["large"] * 20), "troupe-tiny": "one two"})
    stage = await company.member("gpu")
    await stage.serve(Budget(), GpuService.INFO, "local")
    await stage.ready()
    await company.family("colours")
    await company.front(names=ModelSettings(default=chosen), patience=0.6)
    await company.until(lambda listed: listed[default].default)
