"""Writes the character map of a SentencePiece vocabulary: which texts are replaced before text is cut into pieces.

The form is SentencePiece's `precompiled_charsmap`, as llama.cpp reads it (llama-vocab.cpp, xcda_array_view): the length
of a trie, the trie as a double array of 32-bit units in the manner of darts-clone, then the replacements, each ended
by a zero byte. The longest key that fits at a place wins.
"""

import struct
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import permutations

COMPOSED = range(0xC0, 0x3100)
"""Letters whose decomposed forms are mapped: Latin with Vietnamese, Greek, Cyrillic, Indic, kana.

Unicode promises that the composition of these never changes, so the file is the same under every Python.
"""
HAS_VALUE = 1 << 8
IS_VALUE = 1 << 31
NEAR = 1 << 21
"""Distances below this fit into a unit as they are; a map of this size needs no others."""


RECENT = 4096
"""Units at the end in which room is looked for."""


def charsmap(replacements: Mapping[str, str]) -> bytes:
    """The map in its binary form. Raises ValueError for an empty key, a zero byte, or a map that is too large."""
    texts, places = bytearray(), {}
    for text in sorted(set(replacements.values())):
        places[text] = len(texts)
        texts += text.encode() + b"\0"
    keys = {key.encode(): places[text] for key, text in replacements.items()}
    if b"" in keys or any(b"\0" in key for key in keys) or "\0" in "".join(places):
        raise ValueError("A character map has neither empty keys nor zero bytes.")
    trie = _Trie(keys).units
    return struct.pack(f"<I{len(trie)}I", 4 * len(trie), *trie) + bytes(texts)


def with_decomposed(replacements: Mapping[str, str]) -> dict[str, str]:
    """A map of single characters, extended by the decomposed forms of letters.

    Marks may stand in any order and some may be composed already: a letter then becomes what its composed form becomes.
    """
    found = dict(replacements)
    for code in COMPOSED:
        letter = chr(code)
        for spelled in _spellings(letter):
            found[spelled] = replacements.get(letter, letter)
    return found


def _spellings(letter: str) -> Iterator[str]:
    base, *marks = list(unicodedata.normalize("NFD", letter))
    for ordered in permutations(marks):
        for whole in range(len(marks)):
            begun = unicodedata.normalize("NFC", base + "".join(ordered[:whole]))
            spelled = begun + "".join(ordered[whole:])
            if len(begun) == 1 and unicodedata.normalize("NFC", spelled) == letter:
                yield spelled


class _Trie:
    """A double array: a node's children lie at its base xor their label, and no two nodes have the same base."""

    def __init__(self, keys: Mapping[bytes, int]) -> None:
        self.units = [0] * 256
        self._taken = bytearray(b"\1") + bytearray(255)
        self._bases: set[int] = {0}
        self._place(0, sorted(keys.items()), 0)

    def _place(self, node: int, keys: list[tuple[bytes, int]], depth: int) -> None:
        """Lay out the children of a node whose keys agree in their first `depth` bytes."""
        children: dict[int, list[tuple[bytes, int]]] = {}
        for key, value in keys:
            children.setdefault(key[depth] if len(key) > depth else 0, []).append((key, value))
        base = self._free(list(children))
        for label in children:
            self._taken[base ^ label] = 1
        distance = node ^ base
        if distance >= NEAR:
            raise ValueError("The character map is too large.")
        self.units[node] |= distance << 10 | (HAS_VALUE if 0 in children else 0)
        for label, below in children.items():
            if label == 0:
                self.units[base] = below[0][1] | IS_VALUE
            else:
                self.units[base ^ label] = label
                self._place(base ^ label, below, depth + 1)

    def _free(self, labels: list[int]) -> int:
        """The first base at which all labels have room; what is left of older blocks is given up."""
        slot = max(1, len(self.units) - RECENT)
        while True:
            slot = self._taken.find(0, slot)
            if slot < 0:
                slot = len(self.units)
                self.units += [0] * 256
                self._taken += bytes(256)
            base = slot ^ labels[0]
            if base not in self._bases and not any(self._taken[base ^ label] for label in labels):
                self._bases.add(base)
                return base
            slot += 1
