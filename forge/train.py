"""Trains troupe-tiny on one CPU thread, from nothing, the same way each time.

Matrices of the layers are trained with Muon (orthogonalised momentum, arXiv:2502.16982), embeddings and norms with
AdamW. The learning rate warms up, holds, and falls linearly to zero at the end.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from forge.dataset import Conversations, Encoded, drill, encode
from forge.gguf_file import Shape
from forge.induction import start_with_induction, start_words_alike
from forge.muon import Muon, fast_precision
from forge.template import CONTROL_TOKENS, END_OF_TEXT, TURN_END, TURN_START
from forge.tokenizer import spaced_words

TINY = Shape(layers=4, width=256, feed_forward=768, heads=4, kv_heads=2, head_width=64, vocabulary=4096, context=4096)
PADDING = CONTROL_TOKENS.index(END_OF_TEXT)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard to train."""

    steps: int = 2900
    batch_tokens: int = 3072
    """Padded tokens per step at most; a longer conversation makes a batch of its own."""
    matrix_rate: float = 0.02
    embedding_rate: float = 0.003
    warmup: int = 40
    decay_share: float = 0.4
    drill_steps: int = 120
    """Steps at the beginning that only practise copying: it takes root much sooner by itself than among sentences."""
    drill_pace: float = 0.5
    """Rates of those steps, by the full ones: the circuit that is there from the start is to be honed, not replaced."""
    drill_share: float = 0.04
    """Share of later batches that practise it again."""
    tool_share: float = 0.4
    """Share of conversations with tools."""
    practice_steps: int = 500
    """Steps of the second stage, at half the rates and falling."""
    practice_tool_share: float = 0.55
    seed: int = 0
    pool: int = 384
    """Conversations that are sorted by length together."""
    gap_share: float = 0.3
    """Share of conversations of several turns that are stretched over the whole context."""


@dataclass(slots=True)
class Batch:
    """Padded token ids, targets and positions; (conversations, tokens)."""

    tokens: torch.Tensor
    target: torch.Tensor
    positions: torch.Tensor


@dataclass(slots=True)
class History:
    """What training went through."""

    steps: int = 0
    tokens: int = 0
    conversations: int = 0
    cpu_seconds: float = 0.0
    loss: float = 0.0
    losses: list[float] = field(default_factory=list)
    unseen_tokens: set[int] = field(default_factory=set)
    """Vocabulary entries that never occurred; a good run leaves none."""


def new_model(shape: Shape = TINY) -> LlamaForCausalLM:
    """A llama-architecture model of a shape with fresh weights."""
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        max_position_embeddings=shape.context,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.tied,
        bos_token_id=CONTROL_TOKENS.index(TURN_START),
        eos_token_id=CONTROL_TOKENS.index(TURN_END),
        pad_token_id=PADDING,
    )
    return LlamaForCausalLM(config)


def train(tokenizer: Tokenizer, plan: Plan, report: Callable[[str], None] = print) -> tuple[LlamaForCausalLM, History]:
    """Train a new model; the same plan gives the same weights on the same machine."""
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    model = new_model()
    start_words_alike(model, spaced_words(tokenizer))
    start_with_induction(model)
    history = History(unseen_tokens=set(range(TINY.vocabulary)))
    _run(model, plan, batches(tokenizer, plan, history), history, report)
    return model, history


def practise(
    model: LlamaForCausalLM, tokenizer: Tokenizer, plan: Plan, history: History, report: Callable[[str], None] = print
) -> None:
    """Train a trained model on, mostly on tools, which come last to a small model."""
    torch.set_num_threads(1)
    later = replace(
        plan,
        steps=plan.practice_steps,
        seed=plan.seed + 1,
        drill_steps=0,
        tool_share=plan.practice_tool_share,
        matrix_rate=plan.matrix_rate / 2,
        embedding_rate=plan.embedding_rate / 2,
        decay_share=1.0,
    )
    _run(model, later, batches(tokenizer, later, history), history, report)


def _run(
    model: LlamaForCausalLM, plan: Plan, source: Iterator[Batch], history: History, report: Callable[[str], None]
) -> None:
    model.train()
    optimizers = _optimizers(model, plan)
    began, spent = time.process_time(), history.cpu_seconds
    for step, batch in zip(range(plan.steps), source, strict=False):
        history.losses.append(_step(model, optimizers, batch, _rate(step, plan)))
        history.steps += 1
        history.cpu_seconds = spent + time.process_time() - began
        if (step + 1) % 50 == 0:
            history.loss = sum(history.losses[-50:]) / 50
            report(f"step {step + 1}/{plan.steps}  loss {history.loss:.4f}  {history.cpu_seconds:.0f} s CPU")


def batches(tokenizer: Tokenizer, plan: Plan, history: History) -> Iterator[Batch]:
    """Batches of conversations of like length, in random order."""
    generator = random.Random(plan.seed)
    for group in _groups(tokenizer, plan, generator):
        history.conversations += len(group)
        history.tokens += sum(len(one.tokens) for one in group)
        history.unseen_tokens.difference_update(*(one.tokens for one in group))
        yield pad(group, generator, plan.gap_share)


def answer_loss(model: Any, batch: Batch) -> torch.Tensor:
    """Cross entropy of the assistant's tokens; the rest of the vocabulary's logits are never computed."""
    precision = fast_precision()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
        hidden = model.model(input_ids=batch.tokens, position_ids=batch.positions).last_hidden_state
        wanted = batch.target[:, 1:]
        logits = F.linear(hidden[:, :-1][wanted], model.model.embed_tokens.weight)
    return F.cross_entropy(logits.float(), batch.tokens[:, 1:][wanted])


def _step(model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer], batch: Batch, scale: float) -> float:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full_rate"] * scale
    loss = answer_loss(model, batch)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item()


def _optimizers(model: LlamaForCausalLM, plan: Plan) -> list[torch.optim.Optimizer]:
    layers = model.model.layers.parameters()
    matrices = [weight for weight in layers if weight.ndim == 2]
    held = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in held]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=plan.matrix_rate, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=plan.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["full_rate"] = group["lr"]
    return optimizers


def _rate(step: int, plan: Plan) -> float:
    falling = plan.steps * plan.decay_share
    highest = plan.drill_pace if step < plan.drill_steps else 1.0
    return min(highest, (step + 1) / plan.warmup, (plan.steps - step) / falling)


def _groups(tokenizer: Tokenizer, plan: Plan, generator: random.Random) -> Iterator[list[Encoded]]:
    conversations = Conversations(plan.seed, TINY.vocabulary, plan.tool_share)
    for _ in range(plan.drill_steps):
        yield _drills(plan, generator)
    while True:
        drawn = [encode(tokenizer, conversations.draw()) for _ in range(plan.pool)]
        groups = _group(sorted(drawn, key=lambda one: len(one.tokens)), plan.batch_tokens)
        groups += [_drills(plan, generator) for _ in groups if generator.random() < plan.drill_share]
        generator.shuffle(groups)
        yield from groups


def _drills(plan: Plan, generator: random.Random) -> list[Encoded]:
    drawn = sorted((drill(generator, TINY.vocabulary) for _ in range(plan.pool)), key=lambda one: len(one.tokens))
    return generator.choice(_group(drawn, plan.batch_tokens)[:-1])


def _group(pool: list[Encoded], batch_tokens: int) -> list[list[Encoded]]:
    groups: list[list[Encoded]] = [[]]
    for one in pool:
        if groups[-1] and len(one.tokens) * (len(groups[-1]) + 1) > batch_tokens:
            groups.append([])
        groups[-1].append(one)
    return groups


def pad(group: list[Encoded], generator: random.Random, gap_share: float) -> Batch:
    """Conversations as one batch; `gap_share` of those with several turns are stretched over the whole context."""
    shape = len(group), max(len(one.tokens) for one in group)
    batch = Batch(
        torch.full(shape, PADDING), torch.zeros(shape, dtype=torch.bool), torch.arange(shape[1]).repeat(len(group), 1)
    )
    for row, one in enumerate(group):
        batch.tokens[row, : len(one.tokens)] = torch.tensor(one.tokens)
        batch.target[row, : len(one.tokens)] = torch.tensor(one.target)
        if len(one.turns) > 2 and generator.random() < gap_share:
            _stretch(batch.positions[row], one, generator)
    return batch


def _stretch(positions: torch.Tensor, one: Encoded, generator: random.Random) -> None:
    """Leave gaps between turns, so that distances of the whole context are met without its cost."""
    room = TINY.context - len(positions)
    for turn in one.turns[2::2]:
        gap = generator.randint(0, room // 2)
        positions[turn:] += gap
        room -= gap
