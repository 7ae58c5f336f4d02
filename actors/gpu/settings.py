"""Settings of the stage: the section [actors.gpu]."""

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from host.settings import Size

Share = Annotated[float, Meta(gt=0, le=1)]
KindName = Literal["nvidia", "system", "fixed"]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


class DeviceSettings(Struct, frozen=True, kw_only=True):
    """One entry of [[actors.gpu.devices]]."""

    name: str
    """How it is called: 1 to 40 small letters, digits and "-"."""

    kind: KindName
    """"nvidia": a card; "system": the main memory, for what runs on processors; "fixed": a budget, not measured."""

    memory: Size = Size(0)
    """How much of it the hub may see, for example "16GiB"; a fixed one needs it. 0: all of it."""

    card: str = ""
    """Which card, as `nvidia-smi -L` tells: its number or UUID; empty: the first one that no other entry names."""


class GpuSettings(Struct, frozen=True, kw_only=True):
    """Without devices the stage has each NVIDIA card, as nvidia0, nvidia1, …, and the main memory, as system."""

    machine: Annotated[str, Meta(min_length=1, max_length=40)] = "local"
    """The machine's name, by which its stage is asked; machines on one bus need names of their own."""

    cap: Share = 0.8
    """Share of each device that may be used at most, by the hub and by others together."""

    replicas: Annotated[int, Meta(ge=1, le=16)] = 4
    """Processes of one model at most, on cards and budgets; a further one starts when calls wait and memory is free."""

    replicas_on_processors: Annotated[int, Meta(ge=1, le=16)] = 1
    """The same in main memory, where they share the same cores."""

    devices: list[DeviceSettings] = field(default_factory=list)
    """The devices, where they are not to be found by themselves."""

    def __post_init__(self) -> None:
        names = [device.name for device in self.devices]
        for device in self.devices:
            if not _NAME.fullmatch(device.name):
                raise ValueError(f'devices: {device.name!r} is no name; it is 1 to 40 small letters, digits and "-".')
            if names.count(device.name) > 1:
                raise ValueError(f"devices: {device.name!r} is the name of two.")
            if device.kind == "fixed" and not device.memory:
                raise ValueError(f'devices: {device.name!r} is fixed and lacks its memory, for example "16GiB".')
            if device.card and device.kind != "nvidia":
                raise ValueError(f"devices: {device.name!r} has a card and is of the kind {device.kind}.")
        if [device.kind for device in self.devices].count("system") > 1:
            raise ValueError("devices: the main memory can be one device.")
