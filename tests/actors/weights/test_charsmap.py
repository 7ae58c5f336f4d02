"""The character map, read back as llama.cpp reads it."""

import struct
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.weights.charsmap import charsmap, with_decomposed

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4)


def longest(data: bytes, text: str) -> tuple[str, int] | None:
    """The replacement of the longest key at the beginning of a text, and the key's bytes (llama-vocab.cpp)."""
    (size,) = struct.unpack_from("<I", data)
    units = struct.unpack_from(f"<{size // 4}I", data, 4)
    texts = data[4 + size :]

    def base(index: int) -> int:
        unit = int(units[index])
        return (unit >> 10) << ((unit & (1 << 9)) >> 6)

    node, found = base(0), None
    for length, byte in enumerate(text.encode(), 1):
        node ^= byte
        if byte == 0 or node >= len(units) or units[node] & (1 << 31 | 0xFF) != byte:
            break
        has_value = units[node] >> 8 & 1
        node ^= base(node)
        if has_value:
            place = units[node] & ((1 << 31) - 1)
            found = texts[place : texts.index(b"\0", place)].decode(), length
    return found


@given(st.dictionaries(TEXT, st.one_of(st.just(""), TEXT), min_size=1), TEXT)
def test_the_longest_key_wins_and_what_is_no_key_is_left(replacements: dict[str, str], text: str) -> None:
    data = charsmap(replacements)
    for key, to in replacements.items():
        assert longest(data, key) == (to, len(key.encode()))
    keys = [key for key in replacements if text.startswith(key)]
    best = max(keys, key=len, default=None)
    assert longest(data, text) == (None if best is None else (replacements[best], len(best.encode())))


@pytest.mark.parametrize("bad", [{"": "x"}, {"a\0": "x"}, {"a": "x\0"}])
def test_empty_keys_and_zero_bytes_are_refused(bad: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="neither"):
        charsmap(bad)


@pytest.mark.parametrize("word", ["ệ", "ữ", "Ắ", "ồ", "đẹp", "が", "й", "ñ"])
def test_a_decomposed_letter_becomes_what_its_composed_form_is(word: str) -> None:
    found = with_decomposed({})
    for letter in word:
        apart = unicodedata.normalize("NFD", letter)
        if apart != letter:
            assert found[apart] == letter


def test_marks_may_stand_in_any_order_and_be_composed_in_part() -> None:
    found = with_decomposed({})
    assert {found[spelled] for spelled in ("e\u0302\u0323", "e\u0323\u0302", "ê\u0323", "ẹ\u0302")} == {"ệ"}


def test_a_letter_that_is_replaced_is_replaced_in_its_decomposed_form_too() -> None:
    assert with_decomposed({"ṩ": "s"})["s\u0323\u0307"] == "s"
