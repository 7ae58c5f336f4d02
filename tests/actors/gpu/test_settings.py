"""[actors.gpu] as people write it."""

from pathlib import Path

import pytest

from actors.gpu.settings import DeviceSettings, GpuSettings
from host.settings import SettingsError, Size, load


def read(folder: Path, text: str) -> GpuSettings:
    file = folder / "troupe.toml"
    file.write_text(text)
    return load(file, {}).actor("gpu", GpuSettings)


def test_a_hub_needs_no_settings_of_the_stage(tmp_path: Path) -> None:
    assert read(tmp_path, "") == GpuSettings(machine="local", cap=0.8, devices=[])


def test_devices_are_read_with_their_sizes(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        [actors.gpu]
        cap = 0.5
        [[actors.gpu.devices]]
        name = "card"
        kind = "fixed"
        memory = "16GiB"
        [[actors.gpu.devices]]
        name = "main"
        kind = "system"
        """,
    )
    assert found.cap == 0.5
    assert found.devices == [
        DeviceSettings(name="card", kind="fixed", memory=Size(16 * 2**30)),
        DeviceSettings(name="main", kind="system"),
    ]


def device(**values: str) -> str:
    given = {"name": "a", "kind": "fixed", "memory": "1GB", **values}
    return "\n".join(["[[actors.gpu.devices]]", *(f'{key} = "{value}"' for key, value in given.items() if value), ""])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (device(memory=""), "fixed and lacks its memory"),
        (device(memory="16 gigs"), 'number with a unit, for example "16GiB"'),
        (device(memory="-1"), "Expected a size".lower()),
        (device(kind="cuda"), "nvidia, system, fixed"),
        (device(name="A b"), "is no name"),
        (device() + device(), "is the name of two"),
        (device(kind="system") + device(name="b", kind="system"), "can be one device"),
        (device(card="0"), "has a card"),
        (device(size="1GB"), "there is no such key"),
        ("[actors.gpu]\ncap = 1.01", "is not allowed"),
        ("[actors.gpu]\ncap = 0", "is not allowed"),
        ('[actors.gpu]\nmachine = ""', "is not allowed"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(tmp_path, text)
    assert "actors.gpu" in refused.value.key
    assert told in refused.value.message


def test_the_environment_sets_single_keys() -> None:
    assert load(None, {"TROUPE_ACTORS_GPU_CAP": "0.25"}).actor("gpu", GpuSettings).cap == 0.25
