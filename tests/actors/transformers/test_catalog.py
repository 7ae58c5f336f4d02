"""What the family tells of folders without loading them."""

import json
import shutil
import struct
from pathlib import Path

import pytest

from actors.transformers.catalog import Catalog, Entry, adapter_folders, model_folders
from actors.transformers.folder import Source, pooling, read_facts
from actors.transformers.settings import TransformersSettings
from actors.transformers.shelf import TransformersShelf
from bus import RpcError
from troupe.family.v1 import Needs

from .test_actor import Idle

CHAT, EMBEDDING = "troupe.chat.v1.ChatService", "troupe.embedding.v1.EmbeddingService"


@pytest.fixture
def home(folders: Path, tmp_path: Path) -> Path:
    shutil.copytree(folders, tmp_path, dirs_exist_ok=True)
    return tmp_path


def entries(home: Path, **settings: object) -> dict[str, Entry]:
    given = TransformersSettings(**settings)  # type: ignore[arg-type]
    return Catalog(model_folders(home, given), adapter_folders(home, given), gguf=given.gguf).entries()


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_models_are_folders_with_what_they_can_do(home: Path) -> None:
    (home / "models" / "notes").mkdir()
    found = entries(home)
    assert list(found) == ["chat", "encoder", "sliding"]
    assert {name: entry.services for name, entry in found.items()} == {
        "chat": [CHAT, EMBEDDING],
        "encoder": [EMBEDDING],
        "sliding": [CHAT, EMBEDDING],
    }


def test_a_model_is_described_from_its_files(home: Path) -> None:
    shelf = TransformersShelf(home, TransformersSettings(context=256), Idle())
    model = shelf.describe(shelf.entries()["chat"])
    assert (model.architecture, model.quantization, model.family) == ("llama", "F32", "transformers")
    assert (model.context_tokens, model.embedding_dimensions, model.chat_template) == (256, 32, True)
    assert model.size_bytes == (home / "models" / "chat" / "model.safetensors").stat().st_size
    assert list(model.adapters) == ["pirate"]  # and not "wide", whose matrices have another width
    assert model.modified.seconds > 0


def test_without_a_template_a_model_completes_only(home: Path) -> None:
    (home / "models" / "chat" / "chat_template.jinja").unlink()
    shelf = TransformersShelf(home, TransformersSettings(), Idle())
    model = shelf.describe(shelf.entries()["chat"])
    assert list(model.services) == [f"{CHAT}/Complete", EMBEDDING] and model.note


def test_needs_follow_from_files_and_settings(home: Path) -> None:
    def needs(name: str, **settings: object) -> Needs:
        shelf = TransformersShelf(home, TransformersSettings(**settings), Idle())  # type: ignore[arg-type]
        return shelf.needs(shelf.entries()[name])

    full, half = needs("chat", device="cpu"), needs("chat", device="cpu", dtype="bfloat16")
    parameters = read_facts(Source.of(home / "models" / "chat")).parameters
    assert full.weights_bytes == 4 * parameters == 2 * half.weights_bytes
    # Keys and values of 2 layers with 2 heads of 8 numbers each, 4 bytes a number, for two contexts of 512 tokens.
    assert full.cache_bytes == 2 * 2 * 2 * 8 * 4 * 1024 == 2 * half.cache_bytes
    assert full.working_bytes > 0 and not full.accelerator
    assert needs("encoder", device="cpu").cache_bytes == 0
    assert needs("chat", device="cuda").accelerator


def test_a_cut_file_is_told_as_incomplete(home: Path) -> None:
    file = home / "models" / "chat" / "model.safetensors"
    whole = file.read_bytes()
    for size in (0, 7, 200, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert "incomplete" in entries(home)["chat"].error
    file.write_bytes(struct.pack("<Q", 20) + b"[1, 2, 3]           ")
    assert "head cannot be read" in entries(home)["chat"].error
    file.write_bytes(whole)
    assert not entries(home)["chat"].error


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"is_encoder_decoder": True}, "decoder"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "linear_attention"),
        ({"quantization_config": {"quant_method": "awq"}}, "package gptqmodel is not installed"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "-m pip install gptqmodel` and ask again"),
    ],
)
def test_what_is_not_served_says_why(home: Path, values: dict[str, object], why: str) -> None:
    change(home / "models" / "chat" / "config.json", **values)
    entry = entries(home)["chat"]
    assert why in entry.error and entry.facts is None


def test_weights_that_can_run_code_are_refused(home: Path) -> None:
    folder = home / "models" / "chat"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "Convert them to safetensors" in entries(home)["chat"].error


def test_files_that_are_no_json_and_lacking_tokenizers_are_told(home: Path) -> None:
    (home / "models" / "chat" / "config.json").write_text("{")
    (home / "models" / "sliding" / "tokenizer.json").unlink()
    found = entries(home)
    assert "config.json is no JSON object" in found["chat"].error
    assert "no tokenizer" in found["sliding"].error


def test_an_unchanged_model_is_read_once_and_a_changed_one_anew(home: Path) -> None:
    given = TransformersSettings()
    catalog = Catalog(model_folders(home, given), adapter_folders(home, given), gguf=False)
    first = catalog.entries()["chat"]
    assert catalog.entries()["chat"] is first
    change(home / "models" / "chat" / "config.json", max_position_embeddings=100)
    again = catalog.entries()["chat"]
    assert again != first and again.facts is not None and again.facts.context_tokens == 100


def test_gguf_files_are_offered_where_it_is_asked_for_and_in_folders_of_their_own(home: Path, models: Path) -> None:
    shutil.copy(models / "fixture.gguf", home / "models" / "plain.gguf")
    (home / "models" / "packed").mkdir()
    shutil.copy(models / "fixture.gguf", home / "models" / "packed" / "any.gguf")
    assert {"packed"} == entries(home).keys() - {"chat", "encoder", "sliding"}
    found = entries(home, gguf=True)
    assert {"packed", "plain"} == found.keys() - {"chat", "encoder", "sliding"}
    facts = found["packed"].facts
    assert facts is not None and (facts.architecture, facts.quantization) == ("llama", "Q8_0")
    assert facts.cache_values == 2 * 2 * 2 * 16  # keys and values, 2 layers, 2 heads of 16


def test_pooling_is_read_from_where_sentence_transformers_has_it(tmp_path: Path) -> None:
    assert pooling(tmp_path) == "mean"
    (tmp_path / "1_Pooling").mkdir()
    for key, name in (("cls_token", "cls"), ("lasttoken", "lasttoken"), ("mean_tokens", "mean")):
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{key}": True}))
        assert pooling(tmp_path) == name


def test_a_sources_facts_raise_for_a_folder_that_was_emptied(tmp_path: Path) -> None:
    with pytest.raises((ValueError, RpcError)):
        read_facts(Source.of(tmp_path))
