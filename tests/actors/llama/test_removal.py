"""Removing a model's files."""

from pathlib import Path

import pytest

from actors.llama.catalog import SHIPPED
from actors.llama.removal import remove
from bus import Code, RpcError


def made(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"12345")
    return folder


def test_the_file_goes_with_what_lies_beside_it_and_nothing_else(tmp_path: Path) -> None:
    own = made(tmp_path / "models", "m.gguf", "m.LICENSE", "m.sampling.json", "m.origin.json", "m2.gguf", "m2.LICENSE")
    assert remove("m", own / "m.gguf", own) == 5
    assert sorted(path.name for path in own.iterdir()) == ["m2.LICENSE", "m2.gguf"]


def test_a_model_in_parts_goes_whole(tmp_path: Path) -> None:
    parts = [f"a[b]-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]
    own = made(tmp_path / "models", *parts, "a[b]-x-00001-of-00002.gguf", "ab-00001-of-00003.gguf")
    assert remove("a[b]", own / parts[0], own) == 15
    assert sorted(path.name for path in own.iterdir()) == ["a[b]-x-00001-of-00002.gguf", "ab-00001-of-00003.gguf"]


def test_what_came_with_troupe_or_lies_in_a_folder_of_the_users_stays(tmp_path: Path) -> None:
    own, theirs = made(tmp_path / "models"), made(tmp_path / "theirs", "m.gguf")
    for path, why in ((SHIPPED / "troupe-tiny.gguf", "came with Troupe"), (theirs / "m.gguf", "remove it there")):
        with pytest.raises(RpcError, match=why) as caught:
            remove("m", path, own)
        assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "MODEL_NOT_REMOVABLE")
        assert path.exists()
