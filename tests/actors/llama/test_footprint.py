"""What a process takes without a model is measured once and kept."""

import sys
from pathlib import Path

import pytest

from actors.llama.footprint import FILE, Footprint, KnownFootprint, here, measure_footprint
from actors.model.needs import PROCESS_BYTES


def test_it_is_measured_once_for_a_home(tmp_path: Path) -> None:
    calls = []

    def measure() -> Footprint:
        calls.append(1)
        return Footprint(process=70_000_000, copied=frozenset({2}), on=here())

    first = KnownFootprint(tmp_path, measure)
    assert first.get() is first.get()
    assert KnownFootprint(tmp_path, measure).get() == first.get() and len(calls) == 1


def test_it_is_measured_again_where_the_engine_is_another_one(tmp_path: Path) -> None:
    KnownFootprint(tmp_path, lambda: Footprint(process=1, on="another engine")).get()
    assert KnownFootprint(tmp_path, lambda: Footprint(process=2, on=here())).get().process == 2


def test_a_file_that_is_damaged_is_no_footprint(tmp_path: Path) -> None:
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_bytes(b"{")
    assert KnownFootprint(tmp_path, lambda: Footprint(process=3, on=here())).get().process == 3


def test_one_that_cannot_be_measured_is_more_than_any_and_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert KnownFootprint(tmp_path, measure_footprint).get().process == PROCESS_BYTES
    assert not (tmp_path / FILE).exists()
