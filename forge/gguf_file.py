"""Writes GGUF files: llama-architecture models with a byte-level BPE vocabulary, and LoRA adapters for them.

The format is described in ggml's docs/gguf.md. llama.cpp turns pairs of neighbouring rows in its rotary embedding
where Transformers turns the two halves of a head; `interleave` converts a query or key projection from the second to
the first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from forge.template import CHAT_TEMPLATE, CONTROL_TOKENS, END_OF_TEXT, MARKUP_TOKENS, TURN_END, TURN_START

Array = npt.NDArray[np.float32]
Q8_0 = gguf.GGMLQuantizationType.Q8_0
F16 = gguf.GGMLQuantizationType.F16

SERVICES, TEMPERATURE = "troupe.services", "general.sampling.temp"
"""Keys of what a model is for, Troupe's own, and of its temperature, llama.cpp's."""

ROTARY = ("attn_q", "attn_k")
"""Projections whose rows `interleave` reorders."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a llama-architecture model."""

    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    context: int
    rope_theta: float = 10000.0
    tied: bool = True
    """The output projection is the token embedding."""

    def matrices(self) -> dict[str, tuple[int, int]]:
        """Shape (outputs, inputs) of each matrix of one layer, by its name in GGUF."""
        queries, keys = self.heads * self.head_width, self.kv_heads * self.head_width
        return {
            "attn_q": (queries, self.width),
            "attn_k": (keys, self.width),
            "attn_v": (keys, self.width),
            "attn_output": (self.width, queries),
            "ffn_gate": (self.feed_forward, self.width),
            "ffn_up": (self.feed_forward, self.width),
            "ffn_down": (self.width, self.feed_forward),
        }

    def heads_of(self, matrix: str) -> int:
        """How many heads share the rows of a rotary projection."""
        return self.heads if matrix == "attn_q" else self.kv_heads

    def parameters(self) -> int:
        """How many numbers the model has."""
        layer = sum(rows * columns for rows, columns in self.matrices().values()) + 2 * self.width
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return layer * self.layers + embeddings + self.width


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, in GPT-2's spelling of bytes, and BPE merges in order of rank."""

    tokens: tuple[str, ...]
    merges: tuple[str, ...]

    def types(self) -> list[gguf.TokenType]:
        """What each token is to a reader of the file."""
        kinds = dict.fromkeys(CONTROL_TOKENS, gguf.TokenType.CONTROL)
        kinds |= dict.fromkeys(MARKUP_TOKENS, gguf.TokenType.USER_DEFINED)
        return [kinds.get(token, gguf.TokenType.NORMAL) for token in self.tokens]


@dataclass(frozen=True, slots=True)
class Label:
    """What the file says about itself to people."""

    name: str
    description: str
    license: str = "Apache-2.0"
    languages: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    """Full names of what the model is for; empty: all that its architecture can."""
    temperature: float | None = None
    """What is best where a caller says nothing; None: what is usual."""


def interleave(rows: Array, heads: int) -> Array:
    """Reorder a projection's output rows, head by head, from two halves to neighbouring pairs."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def deinterleave(rows: Array, heads: int) -> Array:
    """The inverse of `interleave`."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def write_model(
    path: Path,
    label: Label,
    shape: Shape,
    vocabulary: Vocabulary,
    tensors: Iterable[tuple[str, npt.NDArray[np.generic]]],
    *,
    quantization: gguf.GGMLQuantizationType = Q8_0,
) -> None:
    """Write a model. Tensors carry GGUF names; matrices come as float32, or as uint8 if already quantized."""
    writer = gguf.GGUFWriter(path, "llama")
    _add_label(writer, label)
    _add_shape(writer, shape)
    _add_vocabulary(writer, vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quantization == Q8_0 else gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, values in tensors:
        _add_tensor(writer, name, values, quantization)
    _finish(writer, path)


def write_adapter(path: Path, label: Label, alpha: float, pairs: Mapping[str, tuple[Array, Array]]) -> None:
    """Write a LoRA adapter: for each matrix by GGUF name, A (rank, inputs) and B (outputs, rank), rows interleaved."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    _add_label(writer, label)
    for name, (a, b) in pairs.items():
        writer.add_tensor(f"{name}.lora_a", a.astype(np.float16))
        writer.add_tensor(f"{name}.lora_b", b.astype(np.float16))
    _finish(writer, path)


def relabel(path: Path, label: Label) -> None:
    """Write a model's label anew and leave everything else, to the last bit of its weights."""
    reader = gguf.GGUFReader(path)
    written = path.with_suffix(".relabelled")
    writer = gguf.GGUFWriter(written, reader.fields["general.architecture"].contents())
    _add_label(writer, label)
    kept = [name for name in reader.fields if not name.startswith(("GGUF.", "general."))] + ["general.file_type"]
    for name in [*kept, "general.quantization_version"]:
        field = reader.fields[name]
        if name not in (SERVICES, "general.architecture"):
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    _finish(writer, written)
    written.replace(path)


def _add_label(writer: gguf.GGUFWriter, label: Label) -> None:
    writer.add_name(label.name)
    writer.add_description(label.description)
    writer.add_license(label.license)
    if label.languages:
        writer.add_languages(label.languages)
    if label.services:
        writer.add_string(SERVICES, ",".join(label.services))
    if label.temperature is not None:
        writer.add_float32(TEMPERATURE, label.temperature)


def _add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    ids = {token: number for number, token in enumerate(vocabulary.tokens)}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types())
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(ids[TURN_START])
    writer.add_eos_token_id(ids[TURN_END])
    writer.add_eot_token_id(ids[TURN_END])
    writer.add_pad_token_id(ids[END_OF_TEXT])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _add_tensor(
    writer: gguf.GGUFWriter, name: str, values: npt.NDArray[np.generic], quantization: gguf.GGMLQuantizationType
) -> None:
    if values.dtype == np.uint8:
        writer.add_tensor(name, values, raw_dtype=quantization)
    elif values.ndim == 1:
        writer.add_tensor(name, values.astype(np.float32))
    else:
        packed = gguf.quants.quantize(values.astype(np.float32), quantization)
        writer.add_tensor(name, packed, raw_dtype=quantization)


def _finish(writer: gguf.GGUFWriter, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
