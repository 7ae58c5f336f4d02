"""The card tells how the model was made and how it did."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llama_cpp")

from forge.card import Making, card
from forge.evaluate import Evaluation, Score
from forge.parity import Parity
from forge.train import History, Plan


def test_every_score_stands_in_the_table() -> None:
    scores = [Score("greetings", "en", 3, 4), Score("greetings", "vi", 1, 2), Score("without accents", "vi", 0, 5)]
    scores += [Score("tool call, unseen value", one, right, 100) for one, right in (("en", 41), ("vi", 43))]
    scores += [Score("tool call, unseen tool", one, right, 100) for one, right in (("en", 13), ("vi", 11))]
    making = Making(
        Plan(), History(steps=7, tokens=2_000_000), 366, 15_000, 4_600_000, [Parity("m", 9, 9, 8, 8, 0.25)], "Python 3"
    )
    text = card(making, Evaluation(scores, []))
    assert "| greetings | 75.0 % (3/4) | 50.0 % (1/2) |" in text
    assert "| without accents |  | 0.0 % (0/5) |" in text
    assert "| m | 9/9 | 8/8 | 0.25 |" in text
    assert f"{Plan().steps} steps and" in text
    assert "2.0 million tokens" in text
    assert "366 facts" in text
    assert "41 to 43 %" in text
    assert "11 to 13 %" in text
    assert all(len(line) <= 130 for line in text.splitlines() if not line.startswith("|"))
