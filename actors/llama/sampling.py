"""Choosing the next token: a chain of llama.cpp's samplers per sequence, and grammars by rejection.

A plain greedy choice is numpy's argmax, a tenth of the chain's cost at 150,000 tokens. A grammar at the head of the
chain would test the whole vocabulary at each token; here one token is chosen first and only that one is tested, and
the whole vocabulary only after a rejection.
"""

import ctypes
import hashlib
import secrets
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import llama_cpp.llama_cpp as llama
import numpy as np

from actors.llama.binding import FloatArray, NativeContext
from actors.llama.vocabulary import Vocabulary
from actors.model.interface import SamplingSettings
from actors.model.refusals import dead_end
from bus.errors import continuation_unsupported

REPEAT_WINDOW = 64
"""Tokens that the repeat penalty looks back on, those of the prompt included."""
EVERYTHING = 1 << 16
"""Window of frequency and presence: in practice the whole answer."""
CANDIDATE = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])
"""llama_token_data."""


SEEDED = struct.Struct("<QQ")
"""Seed and place of a token."""


class Gate(Protocol):
    """What may veto tokens: a grammar."""

    def allows(self, candidates: "Candidates", token: int) -> bool:
        """Whether the token may come next."""

    def legible(self, token: int) -> bool:
        """Whether the token goes on with characters, and does not break one off or begin an impossible one."""

    def filter(self, candidates: "Candidates") -> None:
        """Set the logit of every candidate that may not come next to minus infinity."""

    def accept(self, token: int, piece: bytes) -> None:
        """The token was chosen."""

    def close(self) -> None:
        """Free what the library holds."""


class Candidates:
    """One array of (token, logit) for all sequences of an engine; they take turns."""

    def __init__(self, vocabulary: int) -> None:
        self._ids = np.arange(vocabulary, dtype=np.int32)
        self._all = np.zeros(vocabulary, CANDIDATE)
        self._one = np.zeros(1, CANDIDATE)
        self.view: Any = llama.llama_token_data_array()

    def fill(self, logits: FloatArray) -> None:
        """All tokens with their logits."""
        self._all["id"] = self._ids
        self._all["logit"] = logits
        self._point(self._all)

    def single(self, token: int) -> None:
        """Only one token."""
        self._one["id"] = token
        self._one["logit"] = 1.0
        self._point(self._one)

    @property
    def single_allowed(self) -> bool:
        """Whether the only token was left its logit."""
        return bool(self._one["logit"][0] != -np.inf)

    def bar(self, tokens: list[int]) -> None:
        """Take these tokens out, right after `fill`."""
        self._all["logit"][tokens] = -np.inf

    def best(self) -> int:
        """The token with the highest logit."""
        return int(self._all["id"][int(self._all["logit"].argmax())])

    def any_left(self) -> bool:
        """Whether any token may come next."""
        return bool(self._all["logit"].max() != -np.inf)

    def apply(self, chain: Any) -> int:
        """Run a chain over the candidates and return the token that it selects."""
        llama.llama_sampler_apply(chain, ctypes.byref(self.view))
        return int(self.view.data[self.view.selected].id)

    def _point(self, array: Any) -> None:
        self.view.data = ctypes.cast(array.ctypes.data, llama.llama_token_data_p)
        self.view.size = len(array)
        self.view.selected = -1
        self.view.sorted = False


class Sampler:
    """Chooses the tokens of one sequence. One thread at a time; `close` frees what the library holds."""

    def __init__(
        self,
        settings: SamplingSettings,
        vocabulary: Vocabulary,
        candidates: Candidates,
        gate: Gate | None = None,
        *,
        choice: int = 0,
        prompt: Sequence[int] = (),
    ) -> None:
        self._vocabulary = vocabulary
        self._candidates = candidates
        self._gate = gate
        plain = settings.temperature <= 0 and not settings.logit_bias and not _penalises(settings)
        self._chain = None if plain else build_chain(settings, vocabulary.size, prompt)
        self._seed = settings.seed + choice if settings.seed is not None and settings.temperature > 0 else None
        self._position = 0

    def choose(self, context: NativeContext, place: int) -> int:
        """The next token, from the logits at a place of the last batch. Raises RpcError if the grammar leaves none."""
        if self._seed is not None:
            self._draw_by(self._seed)
        self._position += 1
        if self._gate is not None:
            return self._choose_gated(context.logits(place), self._gate)
        if self._chain is None:
            return int(context.logits(place).argmax())
        return int(llama.llama_sampler_sample(self._chain, context.handle, place))

    def accept(self, token: int) -> None:
        """Take a token that another process chose here, as if it had been chosen now.

        Raises RpcError CONTINUATION_UNSUPPORTED if the grammar forbids it: the library would end the process.
        """
        self._position += 1
        if self._gate is not None:
            if not self._gate.allows(self._candidates, token):
                raise continuation_unsupported("what was said before breaks the requested format.")
            self._gate.accept(token, self._vocabulary.piece(token))
        if self._chain is not None:
            llama.llama_sampler_accept(self._chain, token)

    def _draw_by(self, seed: int) -> None:
        """Draw the next token by a seed of its own, so that an answer that goes on elsewhere draws as it would here.

        How many numbers a draw takes depends on the logits, so nobody can wind a generator forward to a later token.
        """
        last = llama.llama_sampler_chain_n(self._chain) - 1
        llama.llama_sampler_free(llama.llama_sampler_chain_remove(self._chain, last))
        drawn = llama.llama_sampler_init_dist(seed_of(seed, self._position))
        llama.llama_sampler_chain_add(self._chain, drawn)

    def close(self) -> None:
        """Free the chain and the grammar. May be called again."""
        if self._chain is not None:
            llama.llama_sampler_free(self._chain)
            self._chain = None
        if self._gate is not None:
            self._gate.close()
            self._gate = None

    def _choose_gated(self, logits: FloatArray, gate: Gate) -> int:
        token = self._draw(logits)
        if not gate.allows(self._candidates, token):
            token = self._redraw(logits, gate)
        gate.accept(token, self._vocabulary.piece(token))
        if self._chain is not None:
            llama.llama_sampler_accept(self._chain, token)
        return token

    def _draw(self, logits: FloatArray) -> int:
        if self._chain is None:
            return int(logits.argmax())
        self._candidates.fill(logits)
        return self._candidates.apply(self._chain)

    def _redraw(self, logits: FloatArray, gate: Gate) -> int:
        barred: list[int] = []
        while True:
            self._candidates.fill(logits)
            gate.filter(self._candidates)
            self._candidates.bar(barred)
            if not self._candidates.any_left():
                raise dead_end()
            token = self._candidates.best() if self._chain is None else self._candidates.apply(self._chain)
            if gate.legible(token):
                return token
            barred.append(token)


def _penalises(settings: SamplingSettings) -> bool:
    return bool(settings.frequency_penalty or settings.presence_penalty or settings.repeat_penalty != 1.0)


def seed_of(seed: int, position: int) -> int:
    """The seed by which one token is drawn: 31 bits, since llama.cpp takes 2^32 - 1 for "any"."""
    mixed = hashlib.blake2b(SEEDED.pack(seed, position), digest_size=4).digest()
    return int.from_bytes(mixed, "little") & 0x7FFFFFFF


def build_chain(settings: SamplingSettings, vocabulary: int, prompt: Sequence[int]) -> Any:
    """llama.cpp's chain for a request, in the order bias, penalties, top-k, top-p, min-p, temperature, draw."""
    parameters = llama.llama_sampler_chain_default_params()
    parameters.no_perf = True
    chain = llama.llama_sampler_chain_init(parameters)
    if settings.logit_bias:
        llama.llama_sampler_chain_add(chain, _bias(settings.logit_bias, vocabulary))
    for penalty in _penalties(settings, vocabulary, prompt):
        llama.llama_sampler_chain_add(chain, penalty)
    for sampler in _draws(settings):
        llama.llama_sampler_chain_add(chain, sampler)
    return chain


def _bias(bias: Mapping[int, float], vocabulary: int) -> Any:
    entries = (llama.llama_logit_bias * len(bias))(*(llama.llama_logit_bias(*entry) for entry in bias.items()))
    return llama.llama_sampler_init_logit_bias(vocabulary, len(bias), entries)


def _penalties(settings: SamplingSettings, vocabulary: int, prompt: Sequence[int]) -> list[Any]:
    found = []
    if settings.repeat_penalty != 1.0:
        repeat = llama.llama_sampler_init_penalties(vocabulary, REPEAT_WINDOW, settings.repeat_penalty, 0.0, 0.0)
        for token in prompt[-REPEAT_WINDOW:]:
            llama.llama_sampler_accept(repeat, int(token))
        found.append(repeat)
    if settings.frequency_penalty or settings.presence_penalty:
        counts = settings.frequency_penalty, settings.presence_penalty
        found.append(llama.llama_sampler_init_penalties(vocabulary, EVERYTHING, 1.0, *counts))
    return found


def _draws(settings: SamplingSettings) -> list[Any]:
    if settings.temperature <= 0:
        return [llama.llama_sampler_init_greedy()]
    found = []
    if settings.top_k > 0:
        found.append(llama.llama_sampler_init_top_k(settings.top_k))
    if settings.top_p < 1:
        found.append(llama.llama_sampler_init_top_p(settings.top_p, 1))
    if settings.min_p > 0:
        found.append(llama.llama_sampler_init_min_p(settings.min_p, 1))
    # Any draw, until a seed says which (`Sampler._draw_by`).
    drawn = llama.llama_sampler_init_dist(secrets.randbits(31))
    return [*found, llama.llama_sampler_init_temp(settings.temperature), drawn]
