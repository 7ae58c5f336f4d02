"""A model's tokens: text to ids, ids to bytes, and what the special ones are."""

import ctypes
from collections.abc import Collection
from itertools import compress, repeat
from typing import Any

import llama_cpp.llama_cpp as llama

from actors.llama.binding import NativeModel

END_OF_MESSAGE = b"tokenizer.ggml.eom_token_id"
NO_TOKEN = -1
"""llama.cpp's answer where a vocabulary lacks a token."""


class Vocabulary:
    """Read-only after construction, so every thread may use it; pieces are remembered as they are asked for."""

    def __init__(self, model: NativeModel) -> None:
        self.handle: Any = llama.llama_model_get_vocab(model.handle)
        self.size = int(llama.llama_vocab_n_tokens(self.handle))
        self._pieces: dict[int, bytes] = {}
        tokens = range(self.size)
        # A quarter of a million calls are 0.1 s of each load, so only one thing is asked of every token.
        control = list(compress(tokens, map(llama.llama_vocab_is_control, repeat(self.handle), tokens)))
        self.controls = {self.spelling(token): token for token in control}
        self._control_ids = frozenset(control)
        ends = {token for token in (*control, *self._named(model)) if token in tokens}
        self.ends = frozenset(token for token in ends if llama.llama_vocab_is_eog(self.handle, token))

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        """Token ids.

        With `control`, spellings of control tokens become them; `begin` adds what the model begins with.
        """
        data = text.encode("utf-8", "replace")
        room = len(data) + 16
        tokens = (ctypes.c_int32 * room)()
        count = llama.llama_tokenize(self.handle, data, len(data), tokens, room, begin, control)
        if count < 0:
            raise ValueError(f"a text of {len(data)} bytes makes {-count} tokens, more than its bytes")
        return tokens[:count]

    def piece(self, token: int) -> bytes:
        """The bytes that a token adds to a text, control tokens included."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._read_piece(token)
        return piece

    def visible(self, token: int, markers: Collection[str]) -> bytes:
        """What a token adds to an answer's text: of the control tokens only `markers` do, by their spelling."""
        if self.is_control(token) and self.spelling(token) not in markers:
            return b""
        return self.piece(token)

    def is_control(self, token: int) -> bool:
        """Whether the token steers the conversation and is no text."""
        return token in self._control_ids

    def spelling(self, token: int) -> str:
        """How a token is written; empty for none."""
        return "" if token == NO_TOKEN else self.piece(token).decode("utf-8", "replace")

    @property
    def begin(self) -> int:
        """The token that begins a text, or NO_TOKEN."""
        return int(llama.llama_vocab_bos(self.handle))

    @property
    def end(self) -> int:
        """The token that ends a turn, or NO_TOKEN."""
        turn = int(llama.llama_vocab_eot(self.handle))
        return turn if turn != NO_TOKEN else int(llama.llama_vocab_eos(self.handle))

    @property
    def begins(self) -> bool:
        """Whether every text begins with the begin token."""
        return bool(llama.llama_vocab_get_add_bos(self.handle)) and self.begin != NO_TOKEN

    @property
    def infill(self) -> tuple[int, int, int] | None:
        """Tokens before prefix, suffix and middle of a text with a gap."""
        tokens = (
            int(llama.llama_vocab_fim_pre(self.handle)),
            int(llama.llama_vocab_fim_suf(self.handle)),
            int(llama.llama_vocab_fim_mid(self.handle)),
        )
        return None if NO_TOKEN in tokens else tokens

    def _named(self, model: NativeModel) -> list[int]:
        """Tokens that end a text because the file names them, though they may be no control tokens; -1 for none."""
        asked = (
            llama.llama_vocab_eos,
            llama.llama_vocab_eot,
            llama.llama_vocab_fim_pad,
            llama.llama_vocab_fim_rep,
            llama.llama_vocab_fim_sep,
        )
        buffer = ctypes.create_string_buffer(16)
        found = llama.llama_model_meta_val_str(model.handle, END_OF_MESSAGE, buffer, len(buffer))
        message = int(buffer.value) if found > 0 and buffer.value.isdigit() else NO_TOKEN
        return [*(int(ask(self.handle)) for ask in asked), message]

    def _read_piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        length = llama.llama_token_to_piece(self.handle, token, buffer, 64, 0, True)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = llama.llama_token_to_piece(self.handle, token, buffer, -length, 0, True)
        return buffer.raw[:length]
