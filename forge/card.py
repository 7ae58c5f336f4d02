"""Writes the model's card from what training and evaluation found."""

from collections.abc import Sequence
from dataclasses import dataclass

from forge.evaluate import NAMES, Evaluation
from forge.forms import LANGUAGES
from forge.parity import Parity
from forge.train import TINY, History, Plan


@dataclass(frozen=True, slots=True)
class Making:
    """How the model came to be."""

    plan: Plan
    history: History
    facts: int
    questions: int
    file_bytes: int
    parity: Sequence[Parity]
    versions: str


def card(making: Making, evaluation: Evaluation) -> str:
    """The card as Markdown."""
    return "\n".join([_head(making, evaluation), _training(making), _conversion(making), _table(evaluation), _limits()])


def _head(making: Making, evaluation: Evaluation) -> str:
    called = _from_to(evaluation, "tool call, unseen value")
    strange = _from_to(evaluation, "tool call, unseen tool")
    return f"""\
# troupe-tiny

A guide to the hub and a test instrument. It is a language model of {TINY.parameters() / 1e6:.1f} million parameters
that this repository trains from nothing; it ships with Troupe so that a fresh clone can answer at once and so that
tests have a real model whose answers are known.

- **It knows** Troupe: {making.facts} facts (commands, ports, settings, concepts, errors, how to do things), each in
  English and in Vietnamese. It greets and says who it is. When a tool is offered and fits, it calls it: with values
  that it never saw, name and all arguments are right in {called} of the cases, with a tool for a
  purpose that it never saw in {strange}. Enough to try the wire, not to rely on.
- **It does not know** anything else, and is trained to say so. It does not reason, calculate, translate or write. It
  repeats what it learned; a question asked in a very different way may get the answer to another question.
- **File:** `troupe-tiny.gguf`, GGUF, Q8_0, {making.file_bytes / 1e6:.1f} MB, llama architecture, {TINY.layers} layers,
  width {TINY.width}, {TINY.vocabulary} tokens, context {TINY.context} tokens, ChatML turns with tools in the manner of
  Hermes and Qwen.
- **Licence:** that of this repository (Apache-2.0), weights included. No other model and no downloaded
  text went into it.
"""


def _from_to(evaluation: Evaluation, measure: str) -> str:
    shares = sorted(100 * evaluation.share(measure, language) for language in LANGUAGES)
    return f"{shares[0]:.0f} to {shares[-1]:.0f} %"


def _training(making: Making) -> str:
    plan, history = making.plan, making.history
    return f"""\
## Training

`python -m forge tiny` makes it again: seed {plan.seed}, one thread, {plan.steps} steps and
{plan.practice_steps} more mostly with tools, {history.conversations:,} conversations,
{history.tokens / 1e6:.1f} million tokens, {history.cpu_seconds / 60:.0f} CPU-minutes on a shared two-core machine. The
same versions on the same kind of processor give the same weights; another processor rounds differently and gives a
model of like quality.

The data are made by `forge/`: {making.questions:,} questions about the facts in trained forms, small talk, questions
outside the domain, made-up tools with made-up names and values of every look; one to 70 turns, with and without
instructions, also without accents, capitals or punctuation. Every entry of the vocabulary occurs.

Made with {making.versions}.
"""


def _conversion(making: Making) -> str:
    rows = "\n".join(
        f"| {found.file} | {found.texts_equal}/{found.texts} | {found.prompts_equal}/{found.prompts} "
        f"| {found.largest_logit_difference} |"
        for found in making.parity
    )
    return f"""\
## Conversion

llama.cpp on the converted file against Transformers on the trained model; the file is written only if all tokens
are the same, and all answers in F16; quantized, 95 of 100.

| File | same tokens | same greedy answer | largest difference of a logit |
|---|---|---|---|
{rows}
"""


def _table(evaluation: Evaluation) -> str:
    measures = list(dict.fromkeys(score.measure for score in evaluation.scores))
    rows = []
    for measure in measures:
        found = {score.language: score for score in evaluation.scores if score.measure == measure}
        cells = [_cell(found[one].right, found[one].total) if one in found else "" for one in LANGUAGES]
        rows.append(f"| {measure} | {' | '.join(cells)} |")
    table = "\n".join(rows)
    return f"""\
## Evaluation

Of the shipped file, through llama.cpp, greedy. An answer counts only if it is right to the letter; a tool call only if
name and all arguments are. *Trained form* means that the form of the question was trained with other facts and never
with this one; *new form* that it was never trained; the questions *written by hand* follow no form.
`troupe-tiny.eval.json` has examples of mistakes.

No held-out question is in the training data, but the sets were not untouched: after an earlier version's mistakes on
them had been read, ways of typing (contractions such as "what's" among them), small talk, off-topic forms and the
second stage of training were added; later, many questions and tools were written for training by somebody who had read
the questions and tools written by hand for evaluation, or wrote both. The scores are therefore somewhat optimistic.

| Measure | {" | ".join(NAMES[one] for one in LANGUAGES)} |
|---|---|---|
{table}
"""


def _limits() -> str:
    return """\
## Use it for

Finding one's way in Troupe, trying the interfaces, tests of engines, clients and tool calling. For anything else put a
model of your choice into `$TROUPE_HOME/models/`.
"""


def _cell(right: int, total: int) -> str:
    return f"{100 * right / total:.1f} % ({right}/{total})"
