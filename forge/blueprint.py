"""Models of any architecture without their weights: a whole header, and a file with a hole where the weights would be.

Such a file says all that decides about memory, loads like any other and costs no disk. Its weights are zeros.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np

from forge.gguf_file import Vocabulary

ALIGNMENT = 32
Type = gguf.GGMLQuantizationType
F32 = Type.F32


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A model: its architecture, the architecture's own keys without their prefix, and its tensors.

    tensors: axes by name, the row first, and the type of each. A value that is a list becomes an array of numbers.
    """

    architecture: str
    keys: Mapping[str, int | float | bool | Sequence[int]]
    tensors: Mapping[str, tuple[Sequence[int], Type]]
    vocabulary: Vocabulary
    name: str = "blueprint"
    general: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it. The file is as long as its weights are and takes no more room than its header."""
        writer = gguf.GGUFWriter(path, self.architecture)
        writer.add_name(self.name)
        for key, text in self.general.items():
            writer.add_string(key, text)
        for key, value in self.keys.items():
            _add(writer, f"{self.architecture}.{key}", value)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(self.vocabulary.tokens)
        writer.add_token_types(self.vocabulary.types())
        writer.add_token_merges(self.vocabulary.merges)
        for name, end in (("bos", 0), ("eos", 0), ("eot", 0), ("pad", 0), ("unknown", 0), ("seperator", 0)):
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", end)
        if self.architecture == "bert":
            writer.add_uint32("tokenizer.ggml.token_type_count", 2)
        for name, (axes, kind) in self.tensors.items():
            writer.add_tensor_info(name, list(reversed(axes)), np.dtype(np.float32), nbytes(axes, kind), kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        with path.open("r+b") as file:
            start = _aligned(file.seek(0, 2))
            file.truncate(start + sum(_aligned(nbytes(axes, kind)) for axes, kind in self.tensors.values()))


def nbytes(axes: Sequence[int], kind: Type) -> int:
    """Bytes of a tensor."""
    block, width = gguf.GGML_QUANT_SIZES[kind]
    return int(np.prod(axes)) // block * width


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _add(writer: gguf.GGUFWriter, key: str, value: float | bool | Sequence[int]) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_array(key, list(value))
