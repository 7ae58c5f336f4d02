"""The induction circuit copies before any training."""

import random
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from forge.dataset import drill
from forge.induction import start_with_induction, start_words_alike
from forge.train import TINY, answer_loss, new_model, pad


@pytest.fixture(scope="module")
def started() -> Any:
    torch.manual_seed(0)
    model = new_model()
    start_with_induction(model)
    return model


def test_a_fresh_model_with_the_circuit_copies_better_than_chance(started: Any) -> None:
    generator = random.Random(0)
    batch = pad([drill(generator, TINY.vocabulary) for _ in range(16)], generator, 0.0)
    torch.manual_seed(0)
    with torch.no_grad():
        assert answer_loss(started, batch) < answer_loss(new_model(), batch) - 2.0


def test_a_head_looks_behind_the_same_two_tokens(started: Any) -> None:
    generator = random.Random(2)
    few = generator.sample(range(3, TINY.vocabulary), 6)
    tokens = [generator.choice(few) for _ in range(24)]
    started.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = started(torch.tensor([tokens * 2]), output_attentions=True).attentions
    started.set_attn_implementation("sdpa")
    assert (attentions[0][0, 2, 3:].argmax(dim=-1) == torch.arange(1, 46)).all()
    places = attentions[1][0, 2].argmax(dim=-1).tolist()[26:47]
    seen = tokens * 2
    right = [seen[place - 2 : place] == seen[now - 1 : now + 1] for now, place in enumerate(places, 26)]
    assert sum(right) / len(right) > 0.8


def test_a_word_with_a_space_begins_near_the_word_without() -> None:
    torch.manual_seed(0)
    model = new_model()
    start_words_alike(model, [(100, 200), (101, 201)])
    embeddings = model.model.embed_tokens.weight
    alike = torch.cosine_similarity(embeddings[100], embeddings[200], dim=0)
    assert 0.7 < alike < 1.0
    assert torch.cosine_similarity(embeddings[100], embeddings[201], dim=0) < 0.4


def test_the_second_layer_looks_behind_the_same_token(started: Any) -> None:
    tokens = random.Random(1).sample(range(3, TINY.vocabulary), 20)
    started.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = started(torch.tensor([tokens * 2]), output_attentions=True).attentions
    started.set_attn_implementation("sdpa")
    looked = attentions[1][0, 0].argmax(dim=-1)[20:39]
    assert (attentions[0][0, 0, 2:].argmax(dim=-1) == torch.arange(1, 39)).all()
    assert (looked == torch.arange(1, 20)).float().mean() > 0.8
