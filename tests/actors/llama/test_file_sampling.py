"""What a file says about sampling: taken where it is allowed, and where nobody says otherwise."""

import shutil
from pathlib import Path

import pytest

from actors.llama.catalog import SHIPPED
from actors.llama.engine import LlamaEngine
from actors.llama.file_sampling import BESIDE_LIMIT, default_sampling, sampling_of
from actors.llama.settings import LlamaSettings
from actors.model.gguf_file import read_header
from actors.model.gguf_header import ModelHeader, Scalar
from actors.model.interface import SamplingSettings
from bus import RpcError


def header(**metadata: Scalar) -> ModelHeader:
    return ModelHeader({f"general.sampling.{key}": value for key, value in metadata.items()}, 0, 0)


def test_a_file_that_says_nothing_leaves_the_usual_settings() -> None:
    assert default_sampling(header()) == SamplingSettings()


def test_a_files_settings_are_taken() -> None:
    found = default_sampling(header(temp=0.3, top_p=0.9, top_k=20, min_p=0.1, penalty_repeat=1.1))
    assert found == SamplingSettings(temperature=0.3, top_p=0.9, top_k=20, min_p=0.1, repeat_penalty=1.1)


@pytest.mark.parametrize("metadata", [{"temp": 3.0}, {"temp": "hot"}, {"top_p": 0.0}, {"top_k": -1}, {"temp": True}])
def test_what_no_caller_may_ask_for_is_passed_over(metadata: dict[str, Scalar]) -> None:
    assert default_sampling(header(**metadata)) == SamplingSettings()


def test_the_file_beside_a_model_counts_before_the_models_own(tmp_path: Path) -> None:
    model, own = tmp_path / "small.Q4_1.gguf", header(temp=0.9, top_k=20)
    assert sampling_of(model, own) == default_sampling(own)
    (tmp_path / "small.Q4_1.sampling.json").write_text('{"temperature": 0.2, "top_p": 0.9}')
    assert sampling_of(model, own) == SamplingSettings(temperature=0.2, top_p=0.9, top_k=20)


@pytest.mark.parametrize(
    "text", ['{"temperature": 3}', '{"temprature": 1}', '{"top_p": 0}', "[]", "{", "\udcff", " " * (BESIDE_LIMIT + 1)]
)
def test_a_file_beside_a_model_that_cannot_be_understood_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "small.sampling.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RpcError, match=r"small\.sampling\.json.*Mend the file") as caught:
        sampling_of(tmp_path / "small.gguf", header())
    assert caught.value.reason == "MODEL_LOAD_FAILED"


async def test_a_loaded_model_chooses_tokens_as_the_file_beside_it_says(models: Path, tmp_path: Path) -> None:
    shutil.copy(models / "fixture.gguf", tmp_path)
    (tmp_path / "fixture.sampling.json").write_text('{"temperature": 0}')
    engine = await LlamaEngine.open(tmp_path / "fixture.gguf", LlamaSettings(threads=1))
    assert engine.info.sampling.temperature == 0
    await engine.close()


def test_the_shipped_model_always_takes_the_likeliest_token_and_makes_no_embeddings() -> None:
    shipped = read_header(SHIPPED / "troupe-tiny.gguf")
    assert default_sampling(shipped).temperature == 0
    assert not shipped.embeds


@pytest.mark.parametrize(
    ("told", "embeds"),
    [
        ({}, False),
        ({"troupe.services": "troupe.chat.v1.ChatService,troupe.embedding.v1.EmbeddingService"}, True),
        ({"x.pooling_type": 3}, True),
        ({"x.attention.causal": False}, True),
        ({"x.attention.causal": False, "x.pooling_type": 4}, False),
        ({"x.pooling_type": 3, "troupe.services": "troupe.chat.v1.ChatService"}, False),
    ],
)
def test_vectors_come_from_models_that_were_trained_for_them(told: dict[str, Scalar], embeds: bool) -> None:
    assert ModelHeader({"general.architecture": "x", **told}, 0, 0).embeds is embeds
