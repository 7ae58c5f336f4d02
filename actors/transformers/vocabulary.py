"""A model's tokens: text to ids, ids to bytes, and what the special ones are."""

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from tokenizers import Tokenizer

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""A token of one byte, as tokenizers with byte fallback spell it."""
SPACE = "▁"
"""How SentencePiece spells a space."""
INFILL = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
)


class Vocabulary:
    """Read-only after construction, so every thread may use it; pieces are remembered as they are asked for.

    tokenizer: one of transformers, with a fast tokenizer inside. ends: tokens that end a turn.
    """

    def __init__(self, tokenizer: Any, size: int, ends: Iterable[int]) -> None:
        text = tokenizer.backend_tokenizer.to_str()
        self._plain, self._control = _copy(text), _copy(text)
        # Spellings of control tokens in a text of the caller's stay text.
        self._plain.encode_special_tokens = True
        added = self._control.get_added_tokens_decoder()
        self.size = max(size, self._control.get_vocab_size(with_added_tokens=True))
        self.ends = frozenset(ends)
        self.controls = {each.content: number for number, each in added.items() if each.special}
        self._control_ids = frozenset(self.controls.values())
        self._added = {number: each.content for number, each in added.items()}
        self._pieces: dict[int, bytes] = {}
        decoder = json.loads(text).get("decoder") or {}
        steps = [decoder, *decoder.get("decoders", [])]
        kinds = {step.get("type") for step in steps}
        self._letters = _bytes_of_letters() if "ByteLevel" in kinds else None
        self._spaced = "Metaspace" in kinds or any(step.get("pattern") == {"String": SPACE} for step in steps)
        self.begin_text = str(tokenizer.bos_token or "")
        self.end_text = str(tokenizer.eos_token or "")
        self.begins = bool(self.begin_text) and self._starts_with(tokenizer.bos_token_id)
        ids = self._control.token_to_id
        self.infill = next((found for names in INFILL if (found := _all_of([ids(each) for each in names]))), None)

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        """Token ids.

        With `control`, spellings of control tokens become them; `begin` adds what the model wants around a whole text.
        """
        tokenizer = self._control if control else self._plain
        clean = text.encode("utf-8", "replace").decode()
        return list(tokenizer.encode(clean, add_special_tokens=begin).ids)

    def piece(self, token: int) -> bytes:
        """The bytes that a token adds to a text, control tokens included."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._read(token)
        return piece

    def visible(self, token: int, markers: Collection[str]) -> bytes:
        """What a token adds to an answer's text: of the control tokens only `markers` do, by their spelling."""
        if token in self._control_ids and self._added[token] not in markers:
            return b""
        return self.piece(token)

    def _read(self, token: int) -> bytes:
        if token in self._added:
            return str(self._added[token]).encode()
        spelling = self._control.id_to_token(token)
        if spelling is None:  # rows of the matrix that no text leads to
            return b""
        if self._letters is not None:
            letters = self._letters
            return b"".join([letters.get(letter, letter.encode()) for letter in str(spelling)])
        single = BYTE.fullmatch(spelling)
        if single is not None:
            return bytes([int(single[1], 16)])
        if self._spaced:
            return str(spelling).replace(SPACE, " ").encode()
        return str(self._control.decode([token], skip_special_tokens=False)).encode()

    def _starts_with(self, begin: int | None) -> bool:
        return bool(self._control.encode("a", add_special_tokens=True).ids[:1] == [begin])


def _copy(text: str) -> Any:
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _all_of(tokens: list[int | None]) -> tuple[int, int, int] | None:
    first, second, third = tokens
    return None if first is None or second is None or third is None else (first, second, third)


def _bytes_of_letters() -> dict[str, bytes]:
    """Byte-level tokenizers spell each byte as a printable letter: those that have one as it is, others from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): bytes([byte]) for byte in printable}
    return letters | {chr(256 + place): bytes([byte]) for place, byte in enumerate(others)}
