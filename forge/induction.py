"""Starts a model with an induction circuit: two attention heads that copy what followed the same token before.

Learning to copy is what takes a small model longest, and calling tools needs little else: names and values stand in the
prompt. Large models find this circuit by themselves (Olsson et al., "In-context Learning and Induction Heads", 2022);
here its shape is written into the first weights, in the spirit of mimetic initialization (Trockman and Kolter, 2023),
and training does the rest.

A head of the first layer looks at the token before and writes it, projected, into the residual stream. Heads of the
second layer look for a place whose token before is the present token, and say what stands there.
"""

import math
from typing import Any

import torch
from transformers import LlamaForCausalLM

SHARED = 0.7
"""Length of the part that all embeddings share, by the length of the part in which they differ."""
SPREAD = 3.0
"""Embeddings begin this much larger than Transformers draws them, so that the last layer can tell tokens apart."""
SHARPNESS = 2.8
"""How much a match counts against other places."""
LOUDNESS = 0.9
"""How much what is copied counts against what else the model would say."""
NEAR_PAIRS = 8
"""Rotary pairs that tell neighbours apart: the fastest."""
FAR_PAIRS = 16
"""Rotary pairs slow enough that a match counts alike at any distance that is common in training: the slowest."""


@torch.no_grad()
def start_with_induction(model: LlamaForCausalLM) -> None:
    """Write the circuit into the first two layers of a fresh model; needs two of them and head widths of 32 or more."""
    config = model.config
    width, head = config.hidden_size, int(config.head_dim or 0)
    shared = _directions(1, width)[0]
    projection = _directions(head, width, besides=shared)
    written = _directions(head, width, besides=shared)
    embeddings = model.model.embed_tokens.weight
    embeddings *= SPREAD
    embeddings -= torch.outer(embeddings @ shared, shared)
    embeddings += SHARED * embeddings.norm(dim=1).mean() * shared
    _look_at_the_token_before(model.model.layers[0].self_attn, shared, projection, written, config.rope_parameters)
    _say_what_followed(model.model.layers[1].self_attn, shared, projection, written)


def _look_at_the_token_before(
    attention: Any,
    shared: torch.Tensor,
    projection: torch.Tensor,
    written: torch.Tensor,
    rope: Any,
) -> None:
    head = len(projection)
    half = head // 2
    turns = rope["rope_theta"] ** (-torch.arange(NEAR_PAIRS) / half)
    query, key = torch.zeros(head), torch.zeros(head)
    query[:NEAR_PAIRS] = 1.0
    key[:NEAR_PAIRS], key[half : half + NEAR_PAIRS] = turns.cos(), turns.sin()
    attention.q_proj.weight[:head] = 0.7 * torch.outer(query, shared)
    attention.k_proj.weight[:head] = 0.7 * torch.outer(key, shared)
    attention.v_proj.weight[:head] = projection
    attention.o_proj.weight[:, :head] = 0.15 * written.T


def _say_what_followed(attention: Any, shared: torch.Tensor, projection: torch.Tensor, written: torch.Tensor) -> None:
    head, width = projection.shape
    half = head // 2
    slow = torch.cat([torch.arange(half - FAR_PAIRS, half), torch.arange(head - FAR_PAIRS, head)])
    query, key = torch.zeros(head, width), torch.zeros(head, width)
    query[slow], key[slow] = projection[: 2 * FAR_PAIRS], written[: 2 * FAR_PAIRS]
    key_heads = attention.k_proj.weight.shape[0] // head
    heads_per_key = attention.q_proj.weight.shape[0] // head // key_heads
    for number in range(key_heads):
        rows, first = slice(number * head, (number + 1) * head), number * heads_per_key * head
        said = _directions(head, width, besides=shared)
        attention.q_proj.weight[first : first + head] = SHARPNESS * query
        attention.k_proj.weight[rows] = SHARPNESS * key
        attention.v_proj.weight[rows] = said
        attention.o_proj.weight[:, first : first + head] = LOUDNESS * said.T


def _directions(count: int, width: int, besides: torch.Tensor | None = None) -> torch.Tensor:
    """Orthonormal rows, all at right angles to `besides`."""
    drawn = torch.randn(width, count) / math.sqrt(width)
    if besides is not None:
        drawn -= torch.outer(besides, besides @ drawn)
    rows: torch.Tensor = torch.linalg.qr(drawn).Q.T.contiguous()
    return rows
