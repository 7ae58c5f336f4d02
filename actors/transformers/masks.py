"""Constraints as masks of tokens: which ones may come next under a grammar. llguidance computes them."""

import threading
from collections.abc import Collection
from typing import Any

import llguidance
import numpy as np
import numpy.typing as npt

from actors.model.constraint import Constraint
from actors.model.grammar.constraints import compile_constraint
from actors.model.grammar.lark import lark
from actors.model.grammar.reader import read_gbnf
from actors.model.grammar.trigger import Trigger
from actors.transformers.vocabulary import Vocabulary
from bus import RpcError, invalid

SILENT = 0
"""Level of the library's log, which goes to the standard error."""

Mask = npt.NDArray[np.bool_]


class Masks:
    """Compiles the constraints of jobs for one vocabulary. From any thread."""

    def __init__(self, vocabulary: Vocabulary, markers: Collection[str] = ()) -> None:
        """markers: those that most jobs will have; what the library needs for them is made at once."""
        self._vocabulary = vocabulary
        self._tokenizers: dict[frozenset[str], Any] = {}
        self._making = threading.Lock()
        self._tokenizer(markers)

    def compiled(self, constraint: Constraint, markers: Collection[str] = ()) -> "Gate | None":
        """The constraint at its beginning, to be copied for each choice; None where it holds nothing.

        Of the control tokens only those that end a turn and `markers` may come. Raises RpcError INVALID_SCHEMA.
        """
        found = compile_constraint(constraint)
        if found is None:
            return None
        try:
            grammar = lark(read_gbnf(found.text))
        except ValueError as problem:
            raise _refused(str(problem)) from None
        matcher = llguidance.LLMatcher(self._tokenizer(markers), grammar, log_level=SILENT)
        if matcher.is_error():
            raise _refused(matcher.get_error().splitlines()[0][:300])
        return Gate(matcher, Trigger(found.trigger), self._vocabulary)

    def _tokenizer(self, markers: Collection[str]) -> Any:
        """What the library knows of the vocabulary. It takes a while to make; there are very few sets of markers."""
        shown = frozenset(markers).intersection(self._vocabulary.controls)
        with self._making:
            if shown not in self._tokenizers:
                self._tokenizers[shown] = _known_to_library(self._vocabulary, shown)
            return self._tokenizers[shown]


class Gate:
    """Says which tokens of one choice may come, from the trigger's first occurrence on. One thread at a time.

    Where the token that completes the trigger goes on with text that the grammar forbids, the grammar is dropped: the
    model had not been asked.
    """

    def __init__(self, matcher: Any, trigger: Trigger, vocabulary: Vocabulary) -> None:
        self._matcher = matcher
        self._trigger = trigger
        self._vocabulary = vocabulary
        self._active = trigger.found

    def copy(self) -> "Gate":
        """The same, to go its own way. For one that has not begun."""
        return Gate(self._matcher.deep_copy(), self._trigger.fresh(), self._vocabulary)

    def allows(self, token: int) -> bool:
        """Whether the token may come next."""
        if not self._active:
            return True
        if self._matcher.is_stopped():  # nothing can follow, and the library no longer tells the end from other tokens
            return token in self._vocabulary.ends
        return bool(self._matcher.validate_tokens([token]))

    def mask(self) -> Mask:
        """Of each token whether it may come next. Raises RpcError INVALID_SCHEMA where the grammar is too large."""
        size = self._vocabulary.size
        if not self._active:
            return np.ones(size, np.bool_)
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        return np.unpackbits(bits, count=size, bitorder="little").view(np.bool_)

    def accept(self, token: int) -> None:
        """The token was chosen; it must be allowed."""
        if self._active:
            self._matcher.consume_token(token)
            self._check()
        elif not self._trigger.found:
            rest = self._trigger.feed(self._vocabulary.piece(token))
            self._active = rest is not None and self._begins_with(rest)

    def _begins_with(self, rest: bytes) -> bool:
        """Take what follows the trigger within its last token, as tokens of its own."""
        tokens = self._vocabulary.tokenize(rest.decode("utf-8", "replace"), control=False) if rest else []
        return bool(self._matcher.validate_tokens(tokens) == len(tokens) and self._matcher.consume_tokens(tokens))

    def _check(self) -> None:
        if self._matcher.is_error():
            raise _refused(self._matcher.get_error().splitlines()[0][:300])


class _Words:
    """A vocabulary as the library asks for one. It wants texts in tokens where a grammar leaves only one way on."""

    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary, markers: Collection[str]) -> None:
        self.tokens = [vocabulary.piece(token) for token in range(vocabulary.size)]
        self.special_token_ids = [token for text, token in vocabulary.controls.items() if text not in markers]
        self.eos_token_id = min(vocabulary.ends)
        self._vocabulary = vocabulary
        hidden = {*self.special_token_ids, *vocabulary.ends}
        self._numbers = {piece: number for number, piece in enumerate(self.tokens) if piece and number not in hidden}
        self._longest = max(map(len, self._numbers), default=0)

    def __call__(self, text: bytes) -> list[int]:
        """The text in the model's own tokens, where these spell it: some tokenizers put a space before it."""
        tokens = self._vocabulary.tokenize(text.decode("utf-8", "replace"), control=False)
        return tokens if b"".join(map(self._vocabulary.piece, tokens)) == text else self._longest_first(text)

    def _longest_first(self, text: bytes) -> list[int]:
        tokens, place = [], 0
        while place < len(text):
            ends = range(min(len(text), place + self._longest), place, -1)
            end = next((end for end in ends if text[place:end] in self._numbers), None)
            if end is None:  # this vocabulary has no token for such a byte
                break
            tokens.append(self._numbers[text[place:end]])
            place = end
        return tokens


def _known_to_library(vocabulary: Vocabulary, markers: Collection[str]) -> Any:
    words = llguidance.TokenizerWrapper(_Words(vocabulary, markers))
    return llguidance.LLTokenizer(words, n_vocab=vocabulary.size, eos_token=sorted(vocabulary.ends))


def _refused(why: str) -> RpcError:
    return invalid(f"The requested format cannot be held: {why}.", "response_format", "INVALID_SCHEMA")
