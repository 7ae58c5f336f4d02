"""Which models there are: files in folders, by name."""

import os
import shutil
from pathlib import Path

import pytest

from actors.llama import catalog as module
from actors.llama.catalog import AdapterFolders, Catalog, adapter_folders, model_folders
from actors.llama.settings import LlamaSettings
from bus import RpcError


def catalog(*folders: Path) -> Catalog:
    return Catalog(folders, [])


def test_a_model_in_several_files_has_one_name_and_the_size_of_all(models: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"large-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    for file in files:
        shutil.copy(models / "fixture.gguf", file)
    found = catalog(tmp_path).entries()
    assert list(found) == ["large"]
    entry = found["large"]
    assert entry.path == files[0] and entry.header is not None
    assert entry.header.size_bytes == sum(file.stat().st_size for file in files)


def test_a_model_whose_part_is_missing_says_which_until_it_comes(models: Path, tmp_path: Path) -> None:
    shutil.copy(models / "fixture.gguf", tmp_path / "large-00001-of-00002.gguf")
    shelf = catalog(tmp_path)
    assert "large-00002-of-00002.gguf is not there" in shelf.entries()["large"].error
    shutil.copy(models / "fixture.gguf", tmp_path / "large-00002-of-00002.gguf")
    assert shelf.entries()["large"].error == ""


def test_names_may_have_dots_and_dashes(models: Path, tmp_path: Path) -> None:
    shutil.copy(models / "fixture.gguf", tmp_path / "Qwen2.5-0.5B-Instruct.Q8_0.gguf")
    assert list(catalog(tmp_path).entries()) == ["Qwen2.5-0.5B-Instruct.Q8_0"]


def test_adapters_are_no_models(models: Path) -> None:
    assert list(catalog(models).entries()) == ["fixture", "fixture-b"]


def test_of_equal_names_the_first_folder_counts(models: Path, tmp_path: Path) -> None:
    shutil.copy(models / "fixture-b.gguf", tmp_path / "fixture.gguf")
    assert catalog(tmp_path, models).entries()["fixture"].path.parent == tmp_path


def test_a_pipe_among_the_files_is_told_and_keeps_no_one_waiting(models: Path, tmp_path: Path) -> None:
    shutil.copy(models / "fixture.gguf", tmp_path / "fixture.gguf")
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "link.gguf").symlink_to("/dev/zero")
    found = catalog(tmp_path).entries()
    said = {name: "regular file" in entry.error for name, entry in found.items()}
    assert said == {"fixture": False, "link": True, "pipe": True}
    (tmp_path / "pipe.gguf").unlink()
    assert "pipe" not in catalog(tmp_path).entries()


def test_a_folder_may_have_any_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_LIMIT", 3)
    for number in range(9):
        (tmp_path / f"{number}.gguf").touch()
    assert len(catalog(tmp_path).entries()) == 3


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert catalog(tmp_path / "missing").entries() == {}


def test_a_name_is_no_path(models: Path, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    shutil.copy(models / "fixture.gguf", tmp_path / "inner" / "a.gguf")
    assert str(models / "fixture") not in catalog(tmp_path / "inner").entries()


def test_folders_of_the_settings_come_after_those_of_the_home(tmp_path: Path) -> None:
    settings = LlamaSettings(model_folders=["~/more"], adapter_folders=["/srv/adapters"])
    assert model_folders(tmp_path, settings)[1:] == [tmp_path / "models", Path("~/more").expanduser()]
    assert adapter_folders(tmp_path, settings) == [tmp_path / "adapters", Path("/srv/adapters")]


class Loads:
    """An engine that notes which adapters it is asked to load."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str, Path]] = []

    async def load_adapter(self, name: str, path: Path) -> None:
        self.loaded.append((name, path))


async def test_adapters_are_found_by_name_in_the_first_folder_that_has_them(models: Path, tmp_path: Path) -> None:
    shutil.copy(models / "fixture-lora.gguf", tmp_path / "fixture-lora.gguf")
    engine = Loads()
    folders = AdapterFolders([tmp_path, models])
    await folders.ensure("fixture-lora", engine)  # type: ignore[arg-type]
    assert engine.loaded == [("fixture-lora", tmp_path / "fixture-lora.gguf")]
    with pytest.raises(RpcError) as refusal:
        await folders.ensure("../fixture-lora", engine)  # type: ignore[arg-type]
    assert refusal.value.reason == "ADAPTER_NOT_FOUND"


def test_a_model_without_chat_template_offers_completion_alone_and_says_so(models: Path, tmp_path: Path) -> None:
    content = (models / "fixture.gguf").read_bytes()
    (tmp_path / "base.gguf").write_bytes(content.replace(b"tokenizer.chat_template", b"tokenizer.chat_templat_"))
    found = catalog(tmp_path)
    model = found.describe(found.entries()["base"], LlamaSettings())
    assert model.services[0] == "troupe.chat.v1.ChatService/Complete"
    assert (model.chat_template, model.note) == (False, "No chat template, text completion only.")
    whole = catalog(models)
    assert whole.describe(whole.entries()["fixture"], LlamaSettings()).chat_template
