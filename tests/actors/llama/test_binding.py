"""What Troupe relies on in llama.cpp's Python binding, which changes between releases."""

import ctypes
from importlib.metadata import version
from pathlib import Path

import llama_cpp.llama_cpp as llama
import numpy as np
import pytest

from actors.llama import binding
from actors.llama.binding import Batch, NativeContext, NativeModel, last_error, start_library
from actors.llama.vocabulary import Vocabulary
from bus import Code, RpcError


@pytest.fixture
def model(models: Path) -> NativeModel:
    start_library()
    return NativeModel(models / "fixture.gguf", 0)


def test_the_version_is_the_one_this_was_written_for() -> None:
    assert version("llama-cpp-python") == "0.3.36"


def test_the_parameters_that_are_set_exist() -> None:
    fields = {entry[0] for entry in llama.llama_context_params._fields_}
    assert fields >= {
        "n_ctx",
        "n_batch",
        "n_ubatch",
        "n_seq_max",
        "n_outputs_max",
        "n_outputs_max_per_seq",
        "kv_unified",
    }
    assert {entry[0] for entry in llama.llama_model_params._fields_} >= {"n_gpu_layers", "progress_callback"}
    assert [entry[0] for entry in llama.llama_token_data._fields_] == ["id", "logit", "p"]


def test_a_log_line_that_is_cut_within_a_character_does_no_harm() -> None:
    last_error()
    binding._collector(binding.LOG_ERROR, "ệ".encode()[:2], None)
    binding._collector(1, b"not an error", None)
    assert last_error() == "\ufffd"
    assert last_error() == ""


def test_a_batch_shares_its_memory_with_the_library() -> None:
    batch = Batch(8)
    end = batch.put(2, np.array([5, 6, 7], np.int32), 10, 3)
    assert end == 5
    assert list(batch.native.token[2:5]) == [5, 6, 7]
    positions: list[object] = [batch.native.pos[place] for place in range(2, 5)]
    assert positions == [10, 11, 12]
    assert all(batch.native.seq_id[place][0] == 3 for place in range(2, 5))
    assert all(batch.native.n_seq_id[place] == 1 for place in range(8))
    assert ctypes.sizeof(llama.llama_token_data) == 12


def test_progress_of_loading_goes_from_zero_to_one(models: Path) -> None:
    start_library()
    heard: list[float] = []

    def progress(share: float) -> bool:
        heard.append(share)
        return True

    NativeModel(models / "fixture.gguf", 0, progress).close()
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_a_load_that_is_given_up_ends_with_the_next_step_and_another_can_follow(models: Path) -> None:
    start_library()
    heard: list[float] = []

    def progress(share: float) -> bool:
        heard.append(share)
        return len(heard) < 3

    with pytest.raises(RpcError) as given_up:
        NativeModel(models / "fixture.gguf", 0, progress)
    assert given_up.value.code is Code.CANCELLED
    assert len(heard) == 3 and heard[-1] < 1.0
    NativeModel(models / "fixture.gguf", 0).close()


def test_what_the_library_complains_about_becomes_the_sentence(tmp_path: Path) -> None:
    start_library()
    path = tmp_path / "no-model.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(RpcError, match=r"cannot load no-model\.gguf: .*version") as refusal:
        NativeModel(path, 0)
    assert refusal.value.reason == "MODEL_LOAD_FAILED"


@pytest.mark.parametrize("parted", [False, True])
def test_cutting_and_copying_do_what_the_slots_count_on(model: NativeModel, parted: bool) -> None:
    context = NativeContext(model, cells=512, batch=64, sequences=2, threads=1, parted=parted)
    batch = Batch(64)
    batch.output[batch.put(0, np.arange(20, 30, dtype=np.int32), 0, 0) - 1] = 1
    assert context.decode(batch, 10) == 0
    first = context.logits(9).copy()
    context.copy(0, 1, 9)
    batch.output[batch.put(0, np.array([29], np.int32), 9, 1) - 1] = 1
    assert context.decode(batch, 1) == 0
    assert np.abs(context.logits(0) - first).max() < 0.1
    assert context.cut(0, 5)
    batch.output[batch.put(0, np.arange(25, 30, dtype=np.int32), 5, 0) - 1] = 1
    assert context.decode(batch, 5) == 0
    assert np.abs(context.logits(4) - first).max() < 0.1
    context.close()
    model.close()


def test_a_cache_without_room_says_so_and_changes_nothing(model: NativeModel) -> None:
    context = NativeContext(model, cells=256, batch=200, sequences=1, threads=1)
    batch = Batch(200)
    batch.output[batch.put(0, np.full(200, 20, np.int32), 0, 0) - 1] = 1
    assert context.decode(batch, 200) == 0
    batch.output[batch.put(0, np.full(100, 20, np.int32), 200, 0) - 1] = 1
    assert context.decode(batch, 100) == 1
    assert context.decode(batch, 56) == 0
    context.close()
    model.close()


def test_tokens_and_bytes_are_each_others_inverse(model: NativeModel) -> None:
    vocabulary = Vocabulary(model)
    text = "Xin chào, the end 😀\n"
    tokens = vocabulary.tokenize(text, control=True)
    assert b"".join(vocabulary.piece(token) for token in tokens).decode() == text
    assert vocabulary.tokenize("", control=True) == []
    model.close()


def test_the_tokens_that_end_a_text_are_all_that_the_library_has(model: NativeModel) -> None:
    vocabulary = Vocabulary(model)
    every = {token for token in range(vocabulary.size) if llama.llama_vocab_is_eog(vocabulary.handle, token)}
    assert every and vocabulary.ends == every
    model.close()


def test_control_tokens_come_only_where_they_are_allowed(model: NativeModel) -> None:
    vocabulary = Vocabulary(model)
    assert vocabulary.tokenize("<|im_end|>", control=True) == [vocabulary.controls["<|im_end|>"]]
    assert len(vocabulary.tokenize("<|im_end|>", control=False)) > 1
    assert vocabulary.controls["<|im_end|>"] in vocabulary.ends
    model.close()


@pytest.mark.parametrize(
    ("said", "memory"),
    [
        (
            "alloc_buffer: allocating 512.00 MiB on device 0: cudaMalloc failed: out of memory",
            True,
        ),
        (
            "alloc_tensor_range: failed to allocate CUDA0 buffer of size 536870912; unable to allocate CUDA0 buffer",
            True,
        ),
        ("ggml_aligned_malloc: insufficient memory (attempted to allocate 900.00 MB)", True),
        ("llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache", True),
        ("llama_model_load: error loading model: missing tensor 'blk.1.attn_q.weight'", False),
        ("it gives no reason", False),
    ],
)
def test_that_there_was_no_memory_is_told_from_a_file_that_is_no_good(said: str, memory: bool) -> None:
    refused = binding._refused("m", "llama.cpp cannot load m", said)
    assert refused.reason == ("INSUFFICIENT_MEMORY" if memory else "MODEL_LOAD_FAILED")
    assert said in refused.message
