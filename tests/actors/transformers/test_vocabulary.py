"""Text to tokens and tokens to bytes, for the kinds of tokenizers that models have."""

from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from actors.model.text import TextStream
from actors.transformers.vocabulary import Vocabulary

TEXTS = ["Hello there", "Xin chào các bạn 👋", " two  spaces\n", "<|im_end|>", "日本語 the"]


def byte_level(folder: Path) -> Vocabulary:
    return Vocabulary(transformers.AutoTokenizer.from_pretrained(folder), 300, [0])


def spaced() -> Vocabulary:
    """As SentencePiece has it, with bytes for what it does not know."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁the", "a", "b", "H"]
    tokenizer = Tokenizer(
        models.BPE({word: number for number, word in enumerate(words)}, [], byte_fallback=True, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in ("<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    kind: Any = transformers.PreTrainedTokenizerFast
    fast = kind(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    return Vocabulary(fast, len(words), [2])


@pytest.mark.parametrize("text", TEXTS)
def test_the_bytes_of_a_texts_tokens_are_the_text(folders: Path, text: str) -> None:
    vocabulary = byte_level(folders / "models" / "chat")
    pieces = [vocabulary.piece(token) for token in vocabulary.tokenize(text, control=False)]
    assert b"".join(pieces).decode() == text
    stream = TextStream()
    assert "".join(map(stream.feed, pieces)) + stream.flush() == text


@pytest.mark.parametrize("text", ["Hab", "ab đẹp 👋", "H ab"])
def test_a_space_is_spelled_out_and_bytes_are_put_together(text: str) -> None:
    vocabulary = spaced()
    pieces = [vocabulary.piece(token) for token in vocabulary.tokenize(text, control=False)]
    assert b"".join(pieces).decode() == f" {text}"


def test_only_with_control_do_spellings_become_control_tokens(folders: Path) -> None:
    vocabulary = byte_level(folders / "models" / "chat")
    [end] = vocabulary.tokenize("<|im_end|>", control=True)
    assert vocabulary.controls["<|im_end|>"] == end
    assert end not in vocabulary.tokenize("<|im_end|>", control=False)
    assert vocabulary.visible(end, ()) == b""
    assert vocabulary.visible(end, {"<|im_end|>"}) == b"<|im_end|>"


def test_what_a_model_wants_around_a_text_comes_when_asked_for(folders: Path) -> None:
    vocabulary = spaced()
    assert vocabulary.begins and vocabulary.begin_text == "<s>" and vocabulary.end_text == "</s>"
    assert vocabulary.tokenize("a", control=False, begin=True)[0] == 1
    assert vocabulary.tokenize("a", control=False)[0] != 1
    assert not byte_level(folders / "models" / "chat").begins


def test_rows_that_are_no_tokens_have_no_text(folders: Path) -> None:
    vocabulary = byte_level(folders / "models" / "chat")
    assert vocabulary.size == 300
    assert vocabulary.piece(299) == b""


def test_lone_surrogates_do_not_stop_a_call(folders: Path) -> None:
    assert byte_level(folders / "models" / "chat").tokenize("a\ud800b", control=False)
