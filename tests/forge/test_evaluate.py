"""Scores mean what they say: measured with models whose answers are known."""

import json
from dataclasses import dataclass

import pytest

from forge.evaluate import Evaluation, Score, evaluate
from forge.knowledge import facts
from forge.out_of_domain import REFUSALS
from forge.phrasings import questions


@dataclass
class Same:
    """Always gives the same answer."""

    said: str

    def answer(self, prompt: str) -> str:
        return self.said


class Cheat:
    """Knows the held-out questions by heart."""

    def __init__(self) -> None:
        split = questions(facts())
        self._answers = {one.text: one.answer for one in [*split.train, *split.kept, *split.new]}

    def answer(self, prompt: str) -> str:
        question = prompt.rsplit("<|im_start|>user\n", maxsplit=1)[-1].split("<|im_end|>", maxsplit=1)[0]
        return self._answers.get(question, "")


@pytest.fixture(scope="module")
def refusing() -> Evaluation:
    return evaluate(Same(REFUSALS["en"]), lambda line: None)


def test_a_model_that_always_refuses_is_right_out_of_domain_alone(refusing: Evaluation) -> None:
    assert refusing.share("out of domain: says that it does not know", "en") == 1.0
    assert refusing.share("held-out questions, trained form", "en") == 0.0
    assert refusing.share("tool call, unseen value", "en") == 0.0
    assert refusing.share("refused though it is in its domain (lower is better)", "en") == 1.0


def test_a_refusal_in_the_wrong_language_is_wrong(refusing: Evaluation) -> None:
    assert refusing.share("out of domain: says that it does not know", "vi") == 0.0
    assert refusing.share("refused though it is in its domain (lower is better)", "vi") == 0.0


def test_the_right_answers_score_in_full() -> None:
    found = evaluate(Cheat(), lambda line: None)
    for measure in (
        "held-out questions, trained form",
        "held-out questions, new form",
        "fourth question of a conversation",
    ):
        assert found.share(measure, "en") == found.share(measure, "vi") == 1.0
    assert found.share("out of domain: says that it does not know", "en") == 0.0


def test_scores_and_some_mistakes_are_stored(refusing: Evaluation) -> None:
    stored = json.loads(refusing.as_json())
    assert {row["language"] for row in stored["scores"]} == {"en", "vi"}
    assert all(mistake["said"] != mistake["wanted"] for mistake in stored["mistakes"])
    assert len(stored["mistakes"]) < 12 * len({row["measure"] for row in stored["scores"]}) + 1


def test_a_score_of_nothing_is_nothing() -> None:
    assert Score("m", "en", 0, 0).share == 0.0
