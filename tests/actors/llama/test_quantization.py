"""What may be made of which model."""

from collections.abc import Mapping

import pytest

from actors.llama.quantization import (
    KINDS,
    SLACK_BYTES,
    Told,
    check_room,
    check_source,
    kind_of,
    memory_bytes,
    named,
    result_bytes,
    warnings,
)
from actors.model.gguf_header import ModelHeader, Tensor
from bus import Code, RpcError

Q4, Q8, F16 = KINDS["Q4_K_M"], KINDS["Q8_0"], KINDS["F16"]
TYPES = {"F16": (1, 1, 2.0), "Q8_0": (7, 8, 34 / 32)}


def header(kind: str, more: Mapping[str, int] | None = None) -> ModelHeader:
    """Of a model with two large matrices and a norm."""
    number, tensor, width = TYPES[kind]
    shapes = {
        "token_embd.weight": (512, 1000),
        "blk.0.ffn_up.weight": (512, 2048),
        **dict.fromkeys(more or {}, (64, 64)),
    }
    tensors, offset = [Tensor("blk.0.attn_norm.weight", (512,), 0, 0, 2048)], 2048
    for name, (row, rows) in shapes.items():
        size = int(row * rows * width)
        tensors.append(Tensor(name, (row, rows), tensor, offset, size))
        offset += size
    return ModelHeader({"general.architecture": "llama", "general.file_type": number}, 1, offset + 500, tensors)


def test_kinds_are_found_however_they_are_spelled_and_the_nearest_is_told() -> None:
    assert kind_of("q4_k_m") is Q4
    with pytest.raises(
        RpcError, match=r"Did you mean Q4_K_M or Q5_K_M\? There are: Q4_K_M, Q5_K_M, Q8_0, F16\."
    ) as caught:
        kind_of("Q4_KM")
    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "QUANTIZATION_UNKNOWN")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("tiny", "tiny-Q4_K_M"),
        ("tiny-Q8_0", "tiny-Q4_K_M"),
        ("llama-3.2-1b-instruct-f16", "llama-3.2-1b-instruct-Q4_K_M"),
        ("m.IQ2_XXS", "m-Q4_K_M"),
        ("Q8_0", "Q8_0-Q4_K_M"),
        ("a" * 100, f"{'a' * 93}-Q4_K_M"),
    ],
)
def test_a_new_name_tells_the_quantization_once(source: str, expected: str) -> None:
    assert named(source, Q4, "") == expected


@pytest.mark.parametrize("name", ["../m", "a/b", ".m", "-m", "a..b", "m" * 101, "a b", "ổ"])
def test_a_name_that_is_no_name_of_a_file_is_refused(name: str) -> None:
    with pytest.raises(RpcError) as caught:
        named("tiny", Q4, name)
    assert (caught.value.reason, caught.value.field) == ("NAME_INVALID", "new_name")


def test_what_it_is_already_and_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(RpcError, match="is Q8_0 already; others are Q4_K_M, Q5_K_M, F16") as caught:
        check_source("tiny", header("Q8_0"), "", Q8)
    assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "QUANTIZATION_SAME")
    with pytest.raises(RpcError, match=r"cannot be quantized: tiny\.gguf ends\.") as caught:
        check_source("tiny", None, "tiny.gguf ends.", Q8)
    assert caught.value.reason == "QUANTIZATION_UNSUPPORTED"


def test_one_that_is_quantized_already_comes_with_a_warning() -> None:
    assert warnings("m", header("F16"), Q4) == []
    assert "From a file in F16 or BF16 Q4_K_M becomes better." in warnings("m", header("Q8_0"), Q4)[0]
    large = header("Q8_0", dict.fromkeys([f"blk.{each}.ffn_up.weight" for each in range(1, 600)], 0))
    assert "it may become larger, and not better" in warnings("m", large, F16)[0]


def test_the_size_is_bounded_from_above() -> None:
    matrices = 512 * 3048
    assert result_bytes(header("F16"), Q8) == 500 + 2048 + matrices * 34 // 32 + SLACK_BYTES
    assert result_bytes(header("F16"), F16) == header("F16").size_bytes + SLACK_BYTES
    assert (
        result_bytes(header("F16"), Q4) < result_bytes(header("F16"), KINDS["Q5_K_M"]) < result_bytes(header("F16"), Q8)
    )


def test_rows_that_do_not_fit_the_blocks_take_more() -> None:
    narrow = header("F16", {"blk.0.attn_q.weight": 0})
    assert result_bytes(narrow, Q4) - result_bytes(header("F16"), Q4) == 64 * 64 * 5.5 / 8


def test_memory_holds_the_larger_of_both_and_what_is_unpacked() -> None:
    source = header("F16")
    assert memory_bytes(source, Q4, 0) >= source.size_bytes + 8 * 512 * 2048
    assert memory_bytes(header("Q8_0"), F16, 0) >= 2 * result_bytes(header("Q8_0"), F16)


def test_a_full_disk_is_told_with_both_sizes() -> None:
    check_room(10, 10)
    with pytest.raises(RpcError, match="needs 11 MB on the disk; 10 MB are free") as caught:
        check_room(11_000_000, 10_000_000)
    assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert caught.value.metadata == {"needed": "11000000", "free": "10000000"}


def test_progress_counts_the_bytes_of_the_tensors_that_are_done() -> None:
    told = Told([Tensor("a.weight", (1,), 0, 0, 100), Tensor("b.weight", (1,), 0, 100, 300)])
    assert told.hear("llama_model_quantize_impl: begins") is None
    assert told.hear("[   1/   2] b.weight                - [   256,      1], type =    f32, ") == 0
    assert told.hear("converting to q4_K .. ") is None
    assert told.hear("[   2/   2] a.weight                - [   256,      1], type =    f32, ") == 0.75
    assert told.hear("[   3/   2] unknown") == 1
