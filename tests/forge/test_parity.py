"""The gate lets nothing through that differs."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llama_cpp")

from forge.parity import Parity, ParityError


def test_full_agreement_passes() -> None:
    Parity("f.gguf", 10, 10, 5, 5, 0.1).require()


@pytest.mark.parametrize(("texts", "prompts"), [(9, 5), (10, 4)])
def test_one_difference_is_refused_with_the_counts(texts: int, prompts: int) -> None:
    with pytest.raises(ParityError, match=f"{texts} of 10 texts .* {prompts} of 5 prompts"):
        Parity("f.gguf", 10, texts, 5, prompts, 0.1).require()


def test_the_gate_compares_at_least_60_prompts_of_every_sort() -> None:
    from forge.pipeline import parity_prompts, parity_texts

    prompts = parity_prompts()
    assert len(prompts) >= 60
    assert any("<tools>" in prompt for prompt in prompts)
    assert len(parity_texts()) > 10_000


def test_a_quantized_file_may_answer_a_few_prompts_otherwise_and_no_text_in_other_tokens() -> None:
    Parity("f.gguf", 10, 10, 80, 76, 0.1).require(0.95)
    for texts, prompts in ((10, 75), (9, 80)):
        with pytest.raises(ParityError):
            Parity("f.gguf", 10, texts, 80, prompts, 0.1).require(0.95)
