"""Grammars at work: compiled once per job, copied per sequence, asked about one token at a time."""

import ctypes
from typing import Any

import llama_cpp.llama_cpp as llama

from actors.llama.binding import last_error
from actors.llama.interface import Constraint
from actors.llama.sampling import Candidates
from actors.llama.vocabulary import Vocabulary
from bus import invalid


class Grammar:
    """A compiled grammar. `close` frees it; gates made from it live on."""

    def __init__(self, constraint: Constraint, vocabulary: Vocabulary) -> None:
        """Raises RpcError INVALID_SCHEMA with the compiler's complaint."""
        last_error()
        handle = llama.llama_sampler_init_grammar(vocabulary.handle, constraint.grammar.encode(), b"root")
        if not handle:
            why = last_error() or "it is not well-formed"
            raise invalid(f"The requested format cannot be compiled: {why}.", "response_format", "INVALID_SCHEMA")
        self._handle: Any = handle
        self._trigger = constraint.trigger
        self._vocabulary = vocabulary

    def gate(self) -> "GrammarGate":
        """The grammar at its beginning, for one sequence."""
        return GrammarGate(llama.llama_sampler_clone(self._handle), self._trigger, self._vocabulary)

    def close(self) -> None:
        """Free the compiled grammar."""
        llama.llama_sampler_free(self._handle)


class GrammarGate:
    """Vetoes the tokens of one sequence, from the trigger's first occurrence on.

    llama.cpp has lazy grammars of its own, but they abort the process when the token that completes the trigger goes on with
    text that the grammar forbids. Here such a token is let through and the grammar is dropped: the model had not been asked.
    """

    def __init__(self, handle: Any, trigger: str, vocabulary: Vocabulary) -> None:
        self._handle = handle
        self._trigger = trigger.encode()
        self._tail = b""
        self._vocabulary = vocabulary
        self._active = not trigger
        self._dropped = False

    def allows(self, candidates: Candidates, token: int) -> bool:
        """Whether the token may come next."""
        if not self._active:
            return True
        candidates.single(token)
        llama.llama_sampler_apply(self._handle, ctypes.byref(candidates.view))
        return candidates.single_allowed

    def filter(self, candidates: Candidates) -> None:
        """Set the logit of every candidate that may not come next to minus infinity."""
        llama.llama_sampler_apply(self._handle, ctypes.byref(candidates.view))

    def accept(self, token: int, piece: bytes) -> None:
        """The token was chosen; it must be allowed, because the library ends the process otherwise."""
        if self._active:
            llama.llama_sampler_accept(self._handle, token)
        elif not self._dropped:
            self._await_trigger(piece)

    def close(self) -> None:
        """Free what the library holds."""
        llama.llama_sampler_free(self._handle)

    def _await_trigger(self, piece: bytes) -> None:
        text = self._tail + piece
        place = text.find(self._trigger)
        if place < 0:
            self._tail = text[-len(self._trigger) :]
            return
        self._active = True
        rest = text[place + len(self._trigger) :]
        self._feed(rest)

    def _feed(self, rest: bytes) -> None:
        """Take what follows the trigger within its last token, as tokens of its own."""
        candidates = Candidates(1)
        for token in self._vocabulary.tokenize(rest.decode("utf-8", "replace"), control=False) if rest else []:
            if not self.allows(candidates, token):
                self._active, self._dropped = False, True
                return
            llama.llama_sampler_accept(self._handle, token)
