"""llama.cpp's model and context as two objects: memory owned, arrays kept alive, errors with sentences.

Only this module, `vocabulary.py`, `sampling.py`, `grammar.py` and `quantizer.py` call the library. Its structs change
between releases: the version is pinned, and tests/actors/llama/test_binding.py holds what is used here to what the
library does.
"""

import ctypes
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
import numpy.typing as npt

from actors.llama.buffers import LIMIT, Buffer, read_line
from actors.llama.copies import copied_kinds
from actors.llama.engine_limits import UBATCH
from actors.model.refusals import out_of_memory
from bus import Code, RpcError
from bus.errors import cancelled

NO_MEMORY = "out of memory"
WITHOUT_MEMORY = re.compile(r"out of (device )?memory|insufficient memory|(failed|unable) to allocate", re.IGNORECASE)
"""In llama.cpp's and ggml's lines about a buffer that they did not get."""

FloatArray = npt.NDArray[np.float32]
LOG_INFO, LOG_ERROR = 2, 4
"""ggml's levels of lines."""

_errors: deque[str] = deque(maxlen=8)
_buffers: deque[Buffer] = deque(maxlen=LIMIT)
_started = threading.Lock()


_listeners: list[Callable[[str], None]] = []


def _collect(level: int, text: bytes, _: object) -> None:
    said = text.decode("utf-8", "replace")
    if level == LOG_ERROR:
        _errors.append(said.strip())
    elif level == LOG_INFO:
        if (found := read_line(said)) is not None:
            _buffers.append(found)
        for hear in _listeners:
            hear(said)


_collector = llama.llama_log_callback(_collect)
"""The library keeps a pointer to it, so it must live as long as the process."""


def start_library() -> None:
    """Initialise llama.cpp and keep its log to ourselves.

    Its own callback would raise on text cut within a character.
    """
    with _started:
        llama.llama_log_set(_collector, ctypes.c_void_p(0))
        llama.llama_backend_init()


def last_error() -> str:
    """What the library complained about last, as one line; empty: nothing since the last time this was asked."""
    text = "; ".join(_errors)
    _errors.clear()
    return text


@contextmanager
def listening(hear: Callable[[str], None]) -> Iterator[None]:
    """Hear what the library says at the level of information meanwhile, in whatever thread it says it."""
    _listeners.append(hear)
    try:
        yield
    finally:
        _listeners.remove(hear)


def take_buffers() -> list[Buffer]:
    """The buffers that the library has made since this was last asked."""
    found = list(_buffers)
    _buffers.clear()
    return found


class NativeModel:
    """A model's weights."""

    def __init__(self, path: Path, gpu_layers: int, progress: Callable[[float], bool] | None = None) -> None:
        """Load a file; `progress` hears shares from 0 to 1, in this thread, and says whether to go on.

        Raises RpcError MODEL_LOAD_FAILED, and CANCELLED where it was not to go on; then nothing is left of it.
        """
        parameters = llama.llama_model_default_params()
        parameters.n_gpu_layers = gpu_layers
        parameters.use_extra_bufts = not has_tile_kernels()
        self.copied_kinds = copied_kinds(llama.llama_print_system_info(), extra=parameters.use_extra_bufts)
        """Types of tensors that are put into another order, in memory of their own."""
        self.offloaded = gpu_layers != 0 and bool(llama.llama_supports_gpu_offload())
        """Whether a part of it is on a GPU."""
        heard = _Heard(progress)
        parameters.progress_callback = heard.callback
        last_error()
        handle = llama.llama_model_load_from_file(str(path).encode(), parameters)
        if not handle and heard.ended:
            raise cancelled(f"Loading {path.name} was given up.")
        if not handle:
            raise _refused(path.name, f"llama.cpp cannot load {path.name}", last_error() or "it gives no reason")
        self.handle: Any = handle
        self.adapters: dict[str, Any] = {}
        if llama.llama_model_has_encoder(handle) or llama.llama_model_is_diffusion(handle):
            self.close()
            raise load_failed(f"{path.name} is an encoder-decoder or diffusion model; those cannot be served yet.")

    @property
    def recurrent(self) -> bool:
        """Whether its memory is a state that cannot be cut back to an earlier token."""
        return bool(llama.llama_model_is_recurrent(self.handle) or llama.llama_model_is_hybrid(self.handle))

    def load_adapter(self, key: str, path: Path) -> None:
        """Load a LoRA adapter for this model. Raises RpcError MODEL_LOAD_FAILED."""
        last_error()
        adapter = llama.llama_adapter_lora_init(self.handle, str(path).encode())
        if not adapter:
            why = last_error() or "it gives no reason"
            raise _refused(path.name, f"llama.cpp cannot use {path.name} as an adapter of this model", why)
        self.adapters[key] = adapter

    def free_adapter(self, key: str) -> None:
        """Free an adapter that no context uses."""
        llama.llama_adapter_lora_free(self.adapters.pop(key))

    def close(self) -> None:
        """Free the weights and all adapters; contexts must be gone."""
        for key in list(self.adapters):
            self.free_adapter(key)
        llama.llama_model_free(self.handle)


def has_tile_kernels() -> bool:
    """Whether the library was built with AMX kernels.

    Compiled by GCC 12, Debian 12's, they end the process with an illegal instruction: ggml's tile configuration is
    optimised away, because that compiler believes that `_tile_loadconfig` reads 8 of its 64 bytes. They live in the
    extra buffer types, without which the AVX-512 kernels compute.
    """
    return b"AMX_INT8 = 1" in llama.llama_print_system_info()


class _Heard:
    """What the library calls while it loads, and which must live as long; `ended` once it was told not to go on."""

    def __init__(self, progress: Callable[[float], bool] | None) -> None:
        self.ended = False
        self._progress = progress
        self.callback: Any = llama.llama_progress_callback(self._hear)

    def _hear(self, share: float, _: object) -> bool:
        self.ended = self.ended or (self._progress is not None and not self._progress(share))
        return not self.ended


def _refused(name: str, what: str, why: str) -> RpcError:
    """llama.cpp has refused; its log tells by words alone that it got no memory."""
    return out_of_memory(name, why) if WITHOUT_MEMORY.search(why) else load_failed(f"{what}: {why}.")


def load_failed(message: str) -> RpcError:
    """A file is no model that can be used here."""
    return RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_LOAD_FAILED")


class Batch:
    """Tokens of one step in memory that numpy and llama.cpp share."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.token = np.zeros(size, np.int32)
        self.position = np.zeros(size, np.int32)
        self.sequence = np.zeros(size, np.int32)
        self.output = np.zeros(size, np.int8)
        self._sequence_counts = np.ones(size, np.int32)
        self._sequence_pointers = (self.sequence.ctypes.data + 4 * np.arange(size)).astype(np.uint64)
        self.native = llama.llama_batch()
        self.native.token = self._pointer(self.token, "token")
        self.native.pos = self._pointer(self.position, "pos")
        self.native.n_seq_id = self._pointer(self._sequence_counts, "n_seq_id")
        self.native.seq_id = self._pointer(self._sequence_pointers, "seq_id")
        self.native.logits = self._pointer(self.output, "logits")

    @staticmethod
    def _pointer(array: npt.NDArray[Any], member: str) -> Any:
        types: dict[str, Any] = {entry[0]: entry[1] for entry in llama.llama_batch._fields_}
        return ctypes.cast(array.ctypes.data, types[member])

    def put(self, start: int, tokens: npt.NDArray[np.int32], position: int, sequence: int) -> int:
        """Write a run of one sequence's tokens, without output; returns where the next run begins."""
        end = start + len(tokens)
        self.token[start:end] = tokens
        self.position[start:end] = np.arange(position, position + len(tokens))
        self.sequence[start:end] = sequence
        self.output[start:end] = 0
        return end


class NativeContext:
    """A cache and the buffers to compute with. One thread at a time."""

    def __init__(
        self,
        model: NativeModel,
        *,
        cells: int,
        batch: int,
        sequences: int,
        threads: int,
        pooling: int | None = None,
        parted: bool = False,
        every: bool = False,
    ) -> None:
        """`pooling` makes it a context for embeddings. `parted` gives each sequence its own share of the cells.

        every: each token of a batch may have its logits, not one of each sequence alone.

        Raises RpcError MODEL_LOAD_FAILED when memory does not suffice.
        """
        last_error()
        parameters = _context_parameters(cells, batch, sequences, threads, parted)
        if pooling is not None:
            parameters.embeddings, parameters.pooling_type = True, pooling
            parameters.n_ubatch, parameters.n_outputs_max = batch, batch
            parameters.n_outputs_max_per_seq = batch
        if every:
            parameters.n_outputs_max = parameters.n_outputs_max_per_seq = batch
        handle = llama.llama_init_from_model(model.handle, parameters)
        if not handle:
            raise _refused("The model", f"llama.cpp cannot make a context of {cells} tokens", last_error() or NO_MEMORY)
        self.handle: Any = handle
        self._model = model
        self._memory: Any = llama.llama_get_memory(handle)
        self._vocabulary_size = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model.handle))
        self._adapter = ""
        self._parted = parted

    def decode(self, batch: Batch, tokens: int) -> int:
        """Compute the first `tokens` of a batch.

        0 is success, 1 means that the cache had no room and nothing was done.
        """
        batch.native.n_tokens = tokens
        return int(llama.llama_decode(self.handle, batch.native))

    def logits(self, place: int) -> FloatArray:
        """Logits for the token at a place of the last batch: a view that the next decode overwrites."""
        pointer = llama.llama_get_logits_ith(self.handle, place)
        return np.ctypeslib.as_array(pointer, (self._vocabulary_size,))

    def embedding(self, sequence: int, dimensions: int) -> FloatArray:
        """The pooled embedding of a sequence of the last batch, as a copy."""
        pointer = llama.llama_get_embeddings_seq(self.handle, sequence)
        return np.ctypeslib.as_array(pointer, (dimensions,)).copy()

    def token_embeddings(self, tokens: int, dimensions: int) -> FloatArray:
        """Embeddings of all tokens of the last batch, in its order: a view that the next decode overwrites."""
        pointer = llama.llama_get_embeddings(self.handle)
        return np.ctypeslib.as_array(pointer, (tokens, dimensions))

    def cut(self, sequence: int, kept: int) -> bool:
        """Forget a sequence's cells from position `kept` on; False: the model's memory cannot do that."""
        return bool(llama.llama_memory_seq_rm(self._memory, sequence, kept, -1)) if self._memory else True

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Let a sequence have the first tokens of another: the same cells, or copies where each has its own part."""
        if self._parted:  # only a whole part can be copied
            llama.llama_memory_seq_cp(self._memory, source, target, -1, -1)
            llama.llama_memory_seq_rm(self._memory, target, tokens, -1)
        else:
            llama.llama_memory_seq_cp(self._memory, source, target, 0, tokens)

    def use_adapter(self, key: str) -> None:
        """Compute with an adapter from now on; empty: without one."""
        if key == self._adapter:
            return
        adapters = (llama.llama_adapter_lora_p_ctypes * 1)(self._model.adapters[key]) if key else None
        scales = (ctypes.c_float * 1)(1.0) if key else None
        llama.llama_set_adapters_lora(self.handle, adapters, 1 if key else 0, scales)
        self._adapter = key

    def close(self) -> None:
        """Free the context."""
        llama.llama_free(self.handle)


def _context_parameters(cells: int, batch: int, sequences: int, threads: int, parted: bool) -> Any:
    parameters = llama.llama_context_default_params()
    parameters.n_ctx = cells
    parameters.n_batch = batch
    parameters.n_ubatch = min(batch, UBATCH)
    parameters.n_seq_max = sequences
    # One output row per sequence: the default reserves memory for as many rows of logits as the batch has tokens.
    parameters.n_outputs_max = sequences
    parameters.n_outputs_max_per_seq = 1
    parameters.n_threads = parameters.n_threads_batch = threads
    parameters.kv_unified = not parted
    parameters.no_perf = True
    return parameters
