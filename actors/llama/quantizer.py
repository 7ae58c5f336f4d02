"""llama.cpp's quantizer: one file in, one file out. Blocks; for a process of its own, which is all that can stop it."""

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama

from actors.llama.binding import last_error, listening
from actors.llama.quantization import Kind
from bus import Code, RpcError

TEXT_BYTES = 127
"""Of a value that is put into the new file: the library's struct holds no more."""


def quantize(
    source: Path, target: Path, kind: Kind, threads: int, said: Mapping[str, str], hear: Callable[[str], None]
) -> None:
    """Write a model in another quantization; a target that is there is written over.

    source: a file, or the first of several, which become one. said: texts that the new file says besides, at most 127
    bytes each. hear: gets the library's lines, in this thread. Raises RpcError QUANTIZATION_FAILED; then a part of the
    target may be there.
    """
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = kind.number
    parameters.nthread = threads
    parameters.allow_requantize = True
    overrides = _overrides(said)
    parameters.kv_overrides = ctypes.cast(overrides, type(parameters.kv_overrides))
    with listening(hear):
        code = llama.llama_model_quantize(str(source).encode(), str(target).encode(), parameters)
    if code != 0:
        message = f"llama.cpp cannot write {source.name} as {kind.name}: {last_error() or 'it gives no reason'}."
        raise RpcError(Code.INTERNAL, message, reason="QUANTIZATION_FAILED")


def _overrides(said: Mapping[str, str]) -> Any:
    """Ended by an entry without a key, as the library wants it."""
    overrides = (llama.llama_model_kv_override * (len(said) + 1))()
    for entry, (key, text) in zip(overrides, said.items(), strict=False):
        entry.tag = llama.LLAMA_KV_OVERRIDE_TYPE_STR
        entry.key = key.encode()
        entry.value.val_str = text.encode()[:TEXT_BYTES].decode("utf-8", "ignore").encode()
    return overrides
