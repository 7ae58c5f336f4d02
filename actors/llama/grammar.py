"""Grammars at work: compiled once per job, copied per sequence, asked about one token at a time."""

import codecs
import ctypes
from collections.abc import Collection
from typing import Any

import llama_cpp.llama_cpp as llama

from actors.llama.binding import last_error
from actors.llama.sampling import Candidates
from actors.llama.vocabulary import Vocabulary
from actors.model.grammar.constraints import Gbnf
from actors.model.grammar.trigger import Trigger
from bus import invalid

SURROGATES = b"\xed"
"""First byte of three that would be a surrogate, were the second 0xA0 or more."""


class Grammar:
    """A compiled grammar. `close` frees it; gates made from it live on."""

    def __init__(self, grammar: Gbnf, vocabulary: Vocabulary, markers: Collection[str] = ()) -> None:
        """Of the control tokens only those that end a turn and `markers` may come.

        Raises RpcError INVALID_SCHEMA with the compiler's complaint.
        """
        last_error()
        handle = llama.llama_sampler_init_grammar(vocabulary.handle, grammar.text.encode(), b"root")
        if not handle:
            why = last_error() or "it is not well-formed"
            raise invalid(f"The requested format cannot be compiled: {why}.", "response_format", "INVALID_SCHEMA")
        self._handle: Any = handle
        self._trigger = grammar.trigger
        self._vocabulary = vocabulary
        self._controls = vocabulary.ends | {
            vocabulary.controls[text] for text in markers if text in vocabulary.controls
        }

    def gate(self) -> "GrammarGate":
        """The grammar at its beginning, for one sequence."""
        return GrammarGate(llama.llama_sampler_clone(self._handle), self._trigger, self._vocabulary, self._controls)

    def close(self) -> None:
        """Free the compiled grammar."""
        llama.llama_sampler_free(self._handle)


class GrammarGate:
    """Vetoes the tokens of one sequence, from the trigger's first occurrence on.

    llama.cpp has lazy grammars of its own, but they abort the process when the token that completes the trigger goes
    on with text that the grammar forbids. Here such a token is let through and the grammar is dropped: the model had
    not been asked.
    """

    def __init__(self, handle: Any, trigger: str, vocabulary: Vocabulary, controls: Collection[int]) -> None:
        self._handle = handle
        self._trigger = Trigger(trigger)
        self._vocabulary = vocabulary
        self._controls = controls
        self._active = self._trigger.found
        self._dropped = False
        self._begun = b""

    def allows(self, candidates: Candidates, token: int) -> bool:
        """Whether the token may come next."""
        if not self._active:
            return True
        if not self.legible(token):
            return False
        candidates.single(token)
        llama.llama_sampler_apply(self._handle, ctypes.byref(candidates.view))
        return candidates.single_allowed

    def legible(self, token: int) -> bool:
        """Whether it is text that goes on with UTF-8, or a control token that may come.

        The library takes any byte for the rest of a character, quotes included, and the spelling of a control token
        for text.
        """
        if self._vocabulary.is_control(token):
            return token in self._controls and not self._begun
        return incomplete_end(self._begun + self._vocabulary.piece(token)) is not None

    def filter(self, candidates: Candidates) -> None:
        """Set the logit of every candidate that may not come next to minus infinity."""
        llama.llama_sampler_apply(self._handle, ctypes.byref(candidates.view))

    def accept(self, token: int, piece: bytes) -> None:
        """The token was chosen; it must be allowed, because the library ends the process otherwise."""
        if self._active:
            llama.llama_sampler_accept(self._handle, token)
            self._begun = b"" if self._vocabulary.is_control(token) else incomplete_end(self._begun + piece) or b""
        elif not self._dropped:
            self._await_trigger(piece)

    def close(self) -> None:
        """Free what the library holds."""
        llama.llama_sampler_free(self._handle)

    def _await_trigger(self, piece: bytes) -> None:
        rest = self._trigger.feed(piece)
        if rest is not None:
            self._active = True
            self._feed(rest)

    def _feed(self, rest: bytes) -> None:
        """Take what follows the trigger within its last token, as tokens of its own."""
        candidates = Candidates(1)
        for token in self._vocabulary.tokenize(rest.decode("utf-8", "replace"), control=False) if rest else []:
            if not self.allows(candidates, token):
                self._active, self._dropped = False, True
                return
            llama.llama_sampler_accept(self._handle, token)


def incomplete_end(text: bytes) -> bytes | None:
    """The bytes at the end that begin a character; None if the text is no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(text)
    except UnicodeDecodeError:
        return None
    rest = decoder.getstate()[0]
    # Python waits for the third byte before it refuses half of a surrogate pair: no text could go on from there.
    return None if rest[:1] == SURROGATES and rest[1:2] >= b"\xa0" else rest
