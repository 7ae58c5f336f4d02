"""The vocabulary: words are spelled alike everywhere, and nothing is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

tokenizers = pytest.importorskip("tokenizers")

SHIPPED = Path(__file__).parents[2] / "actors/llama/models/troupe-tiny.gguf"


@pytest.fixture(scope="module")
def encode() -> Callable[[str], list[str]]:
    from forge.tokenizer import tokenizer_of

    tokenizer = tokenizer_of(SHIPPED)

    def tokens(text: str) -> list[str]:
        return list(tokenizer.encode(text, add_special_tokens=False).tokens)

    return tokens


@pytest.mark.parametrize("name", ["Hanoi", "Helsinki", "Đà Lạt", "Buenos", "RA-4915", "xqzvw"])
def test_a_name_is_spelled_alike_after_a_space_and_after_a_quote(encode: Callable[[str], list[str]], name: str) -> None:
    spelled = encode(name)
    assert encode(f"in {name}")[-len(spelled) :] == spelled
    assert encode(f'"{name}"')[1:-1] == spelled


def test_digits_are_single_tokens(encode: Callable[[str], list[str]]) -> None:
    assert encode("50051") == list("50051")


def test_control_tokens_and_markup_are_one_token_each(encode: Callable[[str], list[str]]) -> None:
    assert encode("<|im_start|><|im_end|><tool_call></tools>") == [
        "<|im_start|>",
        "<|im_end|>",
        "<tool_call>",
        "</tools>",
    ]


def test_spaced_words_are_paired_with_the_words_without() -> None:
    from forge.tokenizer import spaced_words, tokenizer_of

    tokenizer = tokenizer_of(SHIPPED)
    pairs = spaced_words(tokenizer)
    assert len(pairs) > 900
    assert all(tokenizer.id_to_token(spaced) == f"Ġ{tokenizer.id_to_token(bare)}" for spaced, bare in pairs)


def test_any_text_comes_back_as_it_was() -> None:
    from forge.tokenizer import tokenizer_of

    tokenizer = tokenizer_of(SHIPPED)
    text = "Đường dẫn\n\t 日本語 🙂 x\u00a0y"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text
