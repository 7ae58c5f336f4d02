"""What each layer remembers, for every kind of attention and for those that have a state instead."""

from collections.abc import Mapping, Sequence

import pytest

from actors.model.gguf_header import ModelHeader, Scalar
from actors.model.layers import Layer, layers_of

BASE: Mapping[str, Scalar] = {
    "block_count": 4,
    "attention.head_count": 8,
    "attention.head_count_kv": 2,
    "embedding_length": 64,
}


def header(
    architecture: str,
    arrays: Mapping[str, Sequence[float]] | None = None,
    said: Mapping[str, Scalar] | None = None,
    **more: Scalar,
) -> ModelHeader:
    said = {**BASE, **(said or {}), **{key.replace("__", "."): value for key, value in more.items()}}
    metadata: dict[str, Scalar] = {f"{architecture}.{key}": value for key, value in said.items()}
    own = {f"{architecture}.{key}": value for key, value in (arrays or {}).items()}
    for key in own:
        metadata.pop(key, None)
    return ModelHeader({"general.architecture": architecture, **metadata}, 0, 0, (), own)


def test_every_layer_keeps_keys_and_values_of_its_shared_heads() -> None:
    assert layers_of(header("x")) == [Layer(16, 16)] * 4


def test_heads_have_the_width_that_the_file_says() -> None:
    assert layers_of(header("x", attention__key_length=16, attention__value_length=4))[0] == Layer(32, 8)


def test_a_number_for_each_layer_is_taken_layer_by_layer() -> None:
    found = layers_of(header("x", {"attention.head_count_kv": [2, 1, 8, 4]}))
    assert [layer.keys for layer in found] == [16, 8, 64, 32]


@pytest.mark.parametrize(
    ("architecture", "windows"), [("gemma2", [9, 0, 9, 0]), ("cohere2", [9, 9, 9, 0]), ("smallthinker", [0, 9, 9, 9])]
)
def test_windows_follow_the_architecture(architecture: str, windows: list[int]) -> None:
    assert [each.window for each in layers_of(header(architecture, attention__sliding_window=9))] == windows


def test_windows_follow_the_file_where_it_lists_them() -> None:
    listed = header("gemma3", {"attention.sliding_window_pattern": [1, 0, 0, 1]}, attention__sliding_window=9)
    assert [each.window for each in layers_of(listed)] == [9, 0, 0, 9]


def test_a_window_that_nothing_applies_is_none() -> None:
    assert [each.window for each in layers_of(header("llama", attention__sliding_window=9))] == [0, 0, 0, 0]


def test_compressed_attention_keeps_keys_alone() -> None:
    said: dict[str, Scalar] = {"attention.head_count_kv": 1, "attention.key_length": 576, "attention.value_length": 512}
    plain = header("deepseek2", None, said, attention__key_length_mla=192, attention__value_length_mla=128)
    assert layers_of(plain)[0] == Layer(576, 0)


def test_an_encoder_keeps_nothing() -> None:
    assert layers_of(header("bert")) == [Layer()] * 4
    assert layers_of(header("x", attention__causal=False)) == [Layer()] * 4


def test_a_recurrent_model_has_a_state_and_no_cache() -> None:
    said: dict[str, Scalar] = {"ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 16}
    assert layers_of(header("mamba", None, said)) == [Layer(state=4 * (3 * 128 + 16 * 128))] * 4


def test_a_hybrid_has_either_layer_by_layer() -> None:
    found = layers_of(header("lfm2", {"attention.head_count_kv": [0, 2, 0, 0]}, shortconv__l_cache=3))
    assert [(each.keys, each.state) for each in found] == [(0, 512), (16, 0), (0, 512), (0, 512)]


def test_a_hybrid_may_attend_at_intervals() -> None:
    said: dict[str, Scalar] = {"ssm.conv_kernel": 4, "ssm.inner_size": 8, "ssm.state_size": 8, "ssm.group_count": 1}
    found = layers_of(header("qwen3next", None, said, full_attention_interval=2))
    assert [bool(each.keys) for each in found] == [False, True, False, True]
    assert [bool(each.state) for each in found] == [True, False, True, False]


def test_layers_that_use_those_of_others_keep_none() -> None:
    assert [bool(each.keys) for each in layers_of(header("gemma4", attention__shared_kv_layers=3))] == [True] + [
        False
    ] * 3


def test_layers_that_predict_ahead_are_no_part_of_answers() -> None:
    assert len(layers_of(header("x", nextn_predict_layers=1))) == 3


def test_a_file_that_does_not_say_has_no_layers() -> None:
    assert layers_of(ModelHeader({"general.architecture": "x"}, 0, 0)) == []
