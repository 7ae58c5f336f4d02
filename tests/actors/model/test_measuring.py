"""What a process takes, as the system tells it."""

from pathlib import Path

from actors.model.measuring import measured, resident_bytes
from troupe.family.v1 import Buffer

ROLLUP = """55c34f397000-7ffd0bdff000 ---p 00000000 00:00 0  [rollup]
Rss:                2000 kB
Pss:                1500 kB
Anonymous:           900 kB
"""


def proc(folder: Path) -> Path:
    (folder / "smaps_rollup").write_text(ROLLUP)
    return folder


def test_all_pages_and_its_share_of_them(tmp_path: Path) -> None:
    assert resident_bytes(proc(tmp_path)) == (2_048_000, 1_536_000)
    assert resident_bytes(tmp_path / "elsewhere") == (0, 0)


def test_what_is_reserved_counts_before_it_is_used(tmp_path: Path) -> None:
    buffers = [
        Buffer(kind="compute", place="CPU", bytes=100, host=True),
        Buffer(kind="KV", place="CPU", bytes=1000, host=True),
        Buffer(kind="KV", place="CUDA0", bytes=7, host=False),
        Buffer(kind="compute", place="CUDA0", bytes=5, host=False),
    ]
    found = measured(42, buffers, 11, proc(tmp_path))
    assert (found.process_bytes, found.reserved_bytes, found.host_bytes) == (42, 111, 2_048_111)
    assert found.accelerator_bytes == 12 and list(found.buffers) == buffers


def test_a_system_that_does_not_tell_measures_nothing(tmp_path: Path) -> None:
    assert measured(0, proc=tmp_path / "elsewhere").host_bytes == 0
