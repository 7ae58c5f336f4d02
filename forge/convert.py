"""Converts between Transformers' and GGUF's llama models, and PEFT's LoRA adapters to GGUF."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from transformers import LlamaForCausalLM

from forge.gguf_file import (
    ROTARY,
    Array,
    Label,
    Shape,
    Vocabulary,
    deinterleave,
    interleave,
    write_adapter,
    write_model,
)

MODULES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""GGUF's name of each part of a layer, by Transformers'."""

EMBEDDING = ("model.embed_tokens.weight", "token_embd.weight")
FINAL_NORM = ("model.norm.weight", "output_norm.weight")


def to_gguf(
    model: LlamaForCausalLM,
    path: Path,
    label: Label,
    shape: Shape,
    vocabulary: Vocabulary,
    quantization: gguf.GGMLQuantizationType,
) -> None:
    """Write a trained model. The output projection is left out: it is tied, and readers take the embedding."""
    tensors = ((name, values) for name, values in _tensors(model.state_dict(), shape))
    write_model(path, label, shape, vocabulary, tensors, quantization=quantization)


def from_gguf(path: Path, model: LlamaForCausalLM, shape: Shape) -> None:
    """Load a GGUF model's weights, dequantized, into a Transformers model of the same shape."""
    names = {gguf_name: name for name, gguf_name in _names(shape)}
    state = {}
    for tensor in gguf.GGUFReader(path).tensors:
        values = np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)
        matrix = tensor.name.split(".")[-2]
        if matrix in ROTARY:
            values = deinterleave(values, shape.heads_of(matrix))
        state[names[tensor.name]] = torch.from_numpy(values.copy())
    model.load_state_dict(state, strict=False)
    model.tie_weights()


def adapter_to_gguf(model: Any, path: Path, label: Label, shape: Shape, alpha: float) -> None:
    """Write the LoRA weights of a PEFT model. Only B's rows are the projection's rows, so only they are reordered."""
    write_adapter(path, label, alpha, _pairs(model.state_dict(), shape))


def _pairs(state: Mapping[str, torch.Tensor], shape: Shape) -> dict[str, tuple[Array, Array]]:
    pairs = {}
    for layer in range(shape.layers):
        for module, matrix in MODULES.items():
            prefix = f"base_model.model.model.layers.{layer}.{module}.lora"
            if f"{prefix}_A.default.weight" not in state:
                continue
            a, b = (state[f"{prefix}_{half}.default.weight"].float().numpy() for half in "AB")
            pairs[f"blk.{layer}.{matrix}.weight"] = (a, _rows(matrix, b, shape))
    return pairs


def _tensors(state: Mapping[str, torch.Tensor], shape: Shape) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    for name, gguf_name in _names(shape):
        yield gguf_name, _rows(gguf_name.split(".")[-2], state[name].float().numpy(), shape)


def _rows(matrix: str, values: Array, shape: Shape) -> Array:
    return interleave(values, shape.heads_of(matrix)) if matrix in ROTARY else values


def _names(shape: Shape) -> list[tuple[str, str]]:
    layers = [
        (f"model.layers.{layer}.{module}.weight", f"blk.{layer}.{part}.weight")
        for layer in range(shape.layers)
        for module, part in MODULES.items()
    ]
    return [EMBEDDING, *layers, FINAL_NORM]
