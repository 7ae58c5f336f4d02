"""The vocabulary: byte-level BPE, trained so that a word is spelled with the same tokens wherever it stands.

GPT-2's pre-tokenizer glues a space to the word after it, and ordinary training then learns other pieces for " Hanoi"
than for "Hanoi". A small model that copies a name from a question into a tool call's quotes would have to learn each
pair. So merges are learned inside words only, and a space is merged last, and only with frequent lower-case words.
"""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from forge.gguf_file import Vocabulary
from forge.random_weights import byte_letters
from forge.template import CONTROL_TOKENS, MARKUP_TOKENS

INSIDE_WORDS = 3072
"""Tokens that hold no space."""
SIZE = 4096
SPACE = "Ġ"


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Learn a vocabulary of `SIZE` tokens from texts."""
    lines = list(texts)
    learned = _learn_inside_words(lines)
    tokens, merges = _with_spaced_words(learned, lines)
    return _assemble(tokens, merges)


def vocabulary_of(path: Path) -> Vocabulary:
    """The vocabulary in a tokenizer.json."""
    stored = json.loads(path.read_text("utf-8"))
    ids: dict[str, int] = stored["model"]["vocab"] | {added["content"]: added["id"] for added in stored["added_tokens"]}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in stored["model"]["merges"]]
    return Vocabulary(tuple(sorted(ids, key=ids.__getitem__)), tuple(merges))


def tokenizer_of(path: Path) -> Tokenizer:
    """The tokenizer in a GGUF model."""
    fields = gguf.GGUFReader(path).fields
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    merges: list[str] = fields["tokenizer.ggml.merges"].contents()
    return _assemble(tokens, [(left, right) for left, right in (merge.split(" ") for merge in merges)])


def spaced_words(tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """The tokens of words that hold a space, each with the token of the same word without."""
    ids = tokenizer.get_vocab()
    pairs = ((number, ids.get(token.removeprefix(SPACE))) for token, number in ids.items() if token.startswith(SPACE))
    return sorted((number, bare) for number, bare in pairs if bare is not None and bare != number)


def _learn_inside_words(lines: list[str]) -> Tokenizer:
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s|\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    special = [*CONTROL_TOKENS, *MARKUP_TOKENS]
    trainer = trainers.BpeTrainer(
        vocab_size=INSIDE_WORDS, special_tokens=special, initial_alphabet=sorted(byte_letters()), show_progress=False
    )
    learned.train_from_iterator(lines, trainer)
    return learned


def _with_spaced_words(learned: Tokenizer, lines: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    stored = json.loads(learned.to_str())["model"]
    tokens = sorted(stored["vocab"], key=stored["vocab"].__getitem__)
    merges = [(left, right) for left, right in stored["merges"]]
    counts: Counter[str] = Counter()
    for line in lines:
        pieces = learned.encode(line, add_special_tokens=False).tokens
        counts.update(word for space, word in pairwise(pieces) if space == SPACE)
    spaced = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if _may_take_space(word)]
    chosen = spaced[: SIZE - len(tokens)]
    return tokens + [SPACE + word for word in chosen], [*merges, *((SPACE, word) for word in chosen)]


def _may_take_space(word: str) -> bool:
    """Frequent words do; names and single letters, which begin other words, do not."""
    letters = bytes(byte_letters().index(letter) for letter in word)
    text = letters.decode("utf-8", "ignore")
    return len(text) > 1 and text.isalpha() and text.islower() and text.encode() == letters


def _assemble(tokens: list[str], merges: list[tuple[str, str]]) -> Tokenizer:
    result = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    result.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    result.decoder = decoders.ByteLevel()
    result.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL_TOKENS])
    result.add_tokens([AddedToken(token, special=False, normalized=False) for token in MARKUP_TOKENS])
    return result
