"""The whole way to troupe-tiny: vocabulary, training, conversion, parity, evaluation, card."""

import json
import platform
import random
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from forge.card import Making, card
from forge.convert import to_gguf
from forge.dataset import Conversations, corpus
from forge.evaluate import evaluate
from forge.gguf_file import F16, Q8_0, Label
from forge.knowledge import facts
from forge.llama import GreedyModel
from forge.parity import Parity, compare
from forge.phrasings import questions
from forge.template import render
from forge.tokenizer import train_tokenizer, vocabulary_of
from forge.train import TINY, History, Plan, practise, train

NAME = "troupe-tiny"
LABEL = Label(
    NAME,
    "A guide to the Troupe hub, in English and Vietnamese, and a test instrument. Trained from nothing.",
    languages=("en", "vi"),
    # Its vectors mean nothing, and a guide whose answers are drawn at random is none.
    services=("troupe.chat.v1.ChatService",),
    temperature=0.0,
)
CORPUS_CONVERSATIONS = 4000
PARITY_PROMPTS = 80
QUANTIZED_SHARE = 0.95
"""Of the prompts, whose greedy answers a quantized file has to give as the trained model does."""
Report = Callable[[str], None]


class UntrainedTokensError(Exception):
    """Some vocabulary entries never occurred in training."""


def make(work: Path, out: Path, plan: Plan, report: Report = print) -> None:
    """Train, then release; `work` keeps the checkpoint, `out` receives the model, its card and its scores."""
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(corpus(plan.seed, CORPUS_CONVERSATIONS))
    tokenizer.save(str(work / "tokenizer.json"))
    model, history = train(tokenizer, plan, report)
    practise(model, tokenizer, plan, history, report)
    if history.unseen_tokens:
        raise UntrainedTokensError(
            f"{len(history.unseen_tokens)} vocabulary entries never occurred; train for more steps."
        )
    model.save_pretrained(work)
    (work / "history.json").write_text(json.dumps({"plan": asdict(plan), "history": _plain(history)}))
    release(work, out, report)


def release(work: Path, out: Path, report: Report = print) -> None:
    """Convert a checkpoint, check it against the original, measure it, and write model, card and scores."""
    model, tokenizer = LlamaForCausalLM.from_pretrained(work), load_tokenizer(work)
    vocabulary = vocabulary_of(work / "tokenizer.json")
    parity = []
    # Equal answers in F16 show that the conversion is right; quantization may turn a choice between near equals.
    for suffix, quantization, share in (("f16", F16, 1.0), ("q8_0", Q8_0, QUANTIZED_SHARE)):
        path = work / f"{NAME}-{suffix}.gguf"
        to_gguf(model, path, LABEL, TINY, vocabulary, quantization)
        parity.append(_gate(model, tokenizer, path, share, report))
    shipped = work / f"{NAME}-q8_0.gguf"
    measured = GreedyModel(shipped)
    evaluation = evaluate(measured, report)
    measured.close()
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{NAME}.gguf").write_bytes(shipped.read_bytes())
    (out / f"{NAME}.eval.json").write_text(evaluation.as_json(), "utf-8")
    (out / f"{NAME}.md").write_text(card(_making(work, shipped, parity), evaluation), "utf-8")
    report(f"{out / NAME}.gguf  {shipped.stat().st_size / 1e6:.1f} MB")


def load_tokenizer(work: Path) -> Tokenizer:
    """The tokenizer of a checkpoint."""
    return Tokenizer.from_file(str(work / "tokenizer.json"))


def parity_texts() -> list[str]:
    """Every question and answer about the facts, and conversations with tools."""
    asked = questions(facts())
    texts = [text for question in [*asked.train, *asked.kept, *asked.new] for text in (question.text, question.answer)]
    stream = Conversations(1, TINY.vocabulary)
    drawn = [stream.draw() for _ in range(500)]
    return list(dict.fromkeys(texts)) + [
        render(one.messages, one.tools, prompt=False) for one in drawn if not one.spliced
    ]


def parity_prompts() -> list[str]:
    """Prompts whose greedy answers are compared: questions, dialogues, tool calls."""
    asked = random.Random(5).sample(questions(facts()).train, PARITY_PROMPTS - 20)
    stream = Conversations(2, TINY.vocabulary)
    prompts: list[str] = []
    while len(prompts) < 20:
        one = stream.draw()
        if not one.spliced and len(one.messages) < 12:
            prompts.append(render(one.messages[:-1], one.tools))
    return [render([{"role": "user", "content": question.text}]) for question in asked] + prompts


def _gate(model: LlamaForCausalLM, tokenizer: Tokenizer, path: Path, share: float, report: Report) -> Parity:
    parity = compare(model, tokenizer, path, parity_texts(), parity_prompts())
    report(
        f"{parity.file}: same tokens {parity.texts_equal}/{parity.texts}, same answers "
        f"{parity.prompts_equal}/{parity.prompts}, largest logit difference {parity.largest_logit_difference}"
    )
    parity.require(share)
    return parity


def _making(work: Path, shipped: Path, parity: list[Parity]) -> Making:
    stored = json.loads((work / "history.json").read_text())
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "transformers", "tokenizers", "gguf", "llama-cpp-python")
    )
    return Making(
        Plan(**stored["plan"]),
        History(**stored["history"]),
        len(facts()),
        len(questions(facts()).train),
        shipped.stat().st_size,
        parity,
        f"Python {platform.python_version()}, {packages}",
    )


def _plain(history: History) -> dict[str, float]:
    kept = ("steps", "tokens", "conversations", "cpu_seconds", "loss")
    return {name: getattr(history, name) for name in kept}
