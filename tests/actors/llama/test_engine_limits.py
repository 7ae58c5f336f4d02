"""What a model may use, from its file and the settings."""

import pytest

from actors.llama.engine_limits import cache_is_parted, cache_tokens, context_tokens, embedding_tokens, threads
from actors.llama.settings import LlamaSettings, physical_cores
from actors.model.gguf_header import ModelHeader


def header(trained: int, parameters: int = 0) -> ModelHeader:
    return ModelHeader({"general.architecture": "x", "x.context_length": trained}, parameters, 0)


@pytest.mark.parametrize(
    ("trained", "wanted", "context"),
    [(2048, 0, 2048), (131072, 0, 8192), (131072, 32768, 32768), (2048, 4096, 2048), (0, 0, 8192)],
)
def test_the_context_is_what_is_wanted_and_never_more_than_was_trained(trained: int, wanted: int, context: int) -> None:
    assert context_tokens(header(trained), LlamaSettings(context=wanted)) == context


def test_the_cache_holds_at_least_one_call() -> None:
    assert cache_tokens(header(2048), LlamaSettings()) == 4096
    assert cache_tokens(header(2048), LlamaSettings(cache_tokens=100)) == 2048


def test_a_slot_has_a_part_of_the_cache_where_each_part_holds_a_whole_call() -> None:
    assert not cache_is_parted(header(2048), LlamaSettings())
    assert cache_is_parted(header(2048), LlamaSettings(slots=2))
    assert cache_is_parted(header(2048), LlamaSettings(cache_tokens=8 * 2048))
    assert not cache_is_parted(header(2048), LlamaSettings(cache_tokens=8 * 2048 - 1))


def test_embeddings_take_no_more_than_was_trained() -> None:
    assert embedding_tokens(header(512), LlamaSettings()) == 512
    assert embedding_tokens(header(131072), LlamaSettings(embedding_context=4096)) == 4096


def test_small_models_use_one_thread_and_large_ones_the_cores() -> None:
    assert threads(header(1, parameters=4_000_000), LlamaSettings()) == 1
    assert threads(header(1, parameters=10**12), LlamaSettings()) == physical_cores()
    assert threads(header(1), LlamaSettings(threads=3)) == 3
