"""Starts a model with an induction circuit: attention heads that copy what followed the same tokens before.

Learning to copy is what takes a small model longest, and calling tools needs little else: names and values stand in the
prompt. Large models find this circuit by themselves (Olsson et al., "In-context Learning and Induction Heads", 2022);
here its shape is written into the first weights, in the spirit of mimetic initialization (Trockman and Kolter, 2023),
and training does the rest.

Heads of the first layer look at the token before and at the one before that, and write them, projected, into the
residual stream. A head of the second layer looks for a place whose token before is the present token, another one for a
place whose two tokens before are the present and the last, and they say what stands there. One token is enough among
words; in numbers, where each digit comes again, it takes two. Everything else writes nothing at first (as in Zhang et
al., "Fixup Initialization", 2019), so that the circuit reads what it expects.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LlamaForCausalLM

SHARED = 1.5
"""Length of the part that all embeddings share, by the length of the part in which they differ."""
SPREAD = 3.0
"""Embeddings begin this much larger than Transformers draws them, so that the last layer can tell tokens apart."""
SPACED = 0.5
"""Length by which a word with a space differs from the same word without, by the usual length of an embedding."""
NEARNESS = 1.5
"""How much the wanted distance counts against other distances."""
NOTE = 0.1
"""Length of what is noted about the tokens before; more would be heard in what the model says."""
SHARPNESS = 2.8
"""How much a match counts against other places."""
LAST = 2.0
"""How much the last token counts in a match of two tokens, where the present one counts 1."""
LOUDNESS = 2.0
"""How much what is copied counts against what else the model would say."""
NEAR_PAIRS = 8
"""Rotary pairs that tell neighbours apart: the fastest."""
FAR_PAIRS = 16
"""Rotary pairs slow enough that a match counts alike at any distance that is common in training: the slowest."""


@torch.no_grad()
def start_with_induction(model: LlamaForCausalLM) -> None:
    """Write the circuit into the first two layers of a fresh model; needs two heads with keys, of width 32 or more."""
    config = model.config
    width, head = config.hidden_size, int(config.head_dim or 0)
    shared = _directions(1, width)[0]
    projection = _directions(head, width, besides=shared)
    both = _directions(2 * head, width, besides=shared)
    notes = both[:head], both[head:]
    embeddings = model.model.embed_tokens.weight
    embeddings *= SPREAD
    embeddings -= torch.outer(embeddings @ shared, shared)
    embeddings += SHARED * embeddings.norm(dim=1).mean() * shared
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    rope: Any = config.rope_parameters
    for number, note in enumerate(notes):
        _note_the_token_before(_Head(first, number), number + 1, shared, projection, note, rope["rope_theta"])
    half = FAR_PAIRS
    asked = projection[: 2 * half], torch.cat([projection[:half], LAST * notes[0][:half]])
    found = notes[0][: 2 * half], torch.cat([notes[0][:half], notes[1][:half]])
    for number in range(2):
        _say_what_followed(_Head(second, number), asked[number], found[number], shared)


@torch.no_grad()
def start_words_alike(model: LlamaForCausalLM, spaced: Sequence[tuple[int, int]]) -> None:
    """Give each word with a space the embedding of the word without, moved by what all of them share.

    A value may begin with a word that has its space in the question and none after the quote of a call; whoever copies
    the one then has nearly said the other. `spaced` has the tokens of both, with the space first.
    """
    embeddings = model.model.embed_tokens.weight
    with_space, without = (torch.tensor(tokens) for tokens in zip(*spaced, strict=True))
    move = _directions(1, embeddings.shape[1])[0] * embeddings.norm(dim=1).mean() * SPACED
    embeddings[with_space] = embeddings[without] + move


class _Head:
    """The weights of one head: the first of those that share a key head."""

    def __init__(self, attention: Any, number: int) -> None:
        self.width = int(attention.head_dim)
        first = number * int(attention.num_key_value_groups) * self.width
        own, shared = slice(first, first + self.width), slice(number * self.width, (number + 1) * self.width)
        self.query, self.key = attention.q_proj.weight[own], attention.k_proj.weight[shared]
        self.value, self.output = attention.v_proj.weight[shared], attention.o_proj.weight[:, own]


def _note_the_token_before(
    head: _Head, distance: int, shared: torch.Tensor, projection: torch.Tensor, note: torch.Tensor, theta: float
) -> None:
    half = head.width // 2
    turns = distance * theta ** (-torch.arange(NEAR_PAIRS) / half)
    query, key = torch.zeros(head.width), torch.zeros(head.width)
    query[:NEAR_PAIRS] = 1.0
    key[:NEAR_PAIRS], key[half : half + NEAR_PAIRS] = turns.cos(), turns.sin()
    head.query.copy_(NEARNESS * torch.outer(query, shared))
    head.key.copy_(NEARNESS * torch.outer(key, shared))
    head.value.copy_(projection)
    head.output.copy_(NOTE * note.T)


def _say_what_followed(head: _Head, asked: torch.Tensor, found: torch.Tensor, shared: torch.Tensor) -> None:
    half = head.width // 2
    slow = torch.cat([torch.arange(half - FAR_PAIRS, half), torch.arange(head.width - FAR_PAIRS, head.width)])
    for weight, wanted in ((head.query, asked), (head.key, found)):
        weight.zero_()
        weight[slow] = SHARPNESS * wanted
    said = _directions(head.width, len(shared), besides=shared)
    head.value.copy_(said)
    head.output.copy_(LOUDNESS * said.T)


def _directions(count: int, width: int, besides: torch.Tensor | None = None) -> torch.Tensor:
    """Orthonormal rows, all at right angles to `besides`."""
    drawn = torch.randn(width, count) / math.sqrt(width)
    if besides is not None:
        drawn -= torch.outer(besides, besides @ drawn)
    rows: torch.Tensor = torch.linalg.qr(drawn).Q.T.contiguous()
    return rows
