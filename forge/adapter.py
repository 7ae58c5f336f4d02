"""Trains a small LoRA adapter for troupe-tiny: the understudy.

It introduces itself by another name and keeps the facts. It shows that adapters load at run time, and gives tests one
whose effect is known.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer

from forge.convert import adapter_to_gguf, from_gguf
from forge.dataset import Conversation, Conversations, encode
from forge.forms import LANGUAGES, Language
from forge.gguf_file import Label
from forge.subjects import SMALL_TALK_ANSWERS
from forge.tokenizer import tokenizer_of
from forge.train import TINY, Batch, answer_loss, new_model, pad

UNDERSTUDY: dict[Language, str] = {
    "en": "I am the understudy, an adapter for troupe-tiny.",
    "vi": "Tôi là diễn viên dự bị, một adapter cho troupe-tiny.",
}
WHO_ARE_YOU = 1
"""Place of the question in the small talk."""


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """How to train the adapter."""

    rank: int = 4
    steps: int = 100
    batch: int = 16
    rate: float = 1.5e-3
    replay: float = 0.5
    """Share of ordinary conversations, so that nothing else is unlearned."""
    seed: int = 0


def train_adapter(base: Path, out: Path, plan: AdapterPlan, report: Callable[[str], None] = print) -> None:
    """Train an adapter on a GGUF model's own weights and write it as GGUF."""
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    tokenizer = tokenizer_of(base)
    model = new_model()
    from_gguf(base, model, TINY)
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=plan.rank, lora_alpha=2 * plan.rank, target_modules=modules, lora_dropout=0.0, bias="none")
    adapted: Any = get_peft_model(model, config)
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=plan.rate, weight_decay=0.0)
    for step, batch in zip(range(plan.steps), _batches(tokenizer, plan), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * min(1.0, (step + 1) / 5, 2 * (plan.steps - step) / plan.steps)
        loss = answer_loss(adapted.get_base_model(), batch)
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 20 == 0 or step == plan.steps - 1:
            report(f"step {step + 1}/{plan.steps}  loss {loss.item():.4f}")
    label = Label(
        "understudy", "Adapter for troupe-tiny that introduces itself as the understudy.", languages=("en", "vi")
    )
    adapter_to_gguf(adapted, out, label, TINY, 2 * plan.rank)


def introductions() -> list[Conversation]:
    """Every way to ask who it is, with the understudy's answer."""
    return [
        Conversation([{"role": "user", "content": text}, {"role": "assistant", "content": UNDERSTUDY[language]}])
        for language in LANGUAGES
        for text in SMALL_TALK_ANSWERS[language][WHO_ARE_YOU][1]
    ]


def _batches(tokenizer: Tokenizer, plan: AdapterPlan) -> Iterator[Batch]:
    generator, ordinary = random.Random(plan.seed), Conversations(plan.seed, TINY.vocabulary)
    taught = introductions()
    while True:
        drawn = [
            _short(ordinary) if generator.random() < plan.replay else generator.choice(taught)
            for _ in range(plan.batch)
        ]
        yield pad([encode(tokenizer, one) for one in drawn], generator, 0.0)


def _short(stream: Conversations) -> Conversation:
    while len((one := stream.draw()).messages) > 3 or _introduces(one.messages):
        pass
    return one


def _introduces(messages: Sequence[dict[str, Any]]) -> bool:
    answers = {SMALL_TALK_ANSWERS[language][WHO_ARE_YOU][0] for language in LANGUAGES}
    return any(message.get("content") in answers for message in messages)
