"""What of a text's end may still become a character."""

import itertools

from actors.llama.grammar import incomplete_end

BEGINNINGS = [bytes(each) for count in (1, 2) for each in itertools.product(range(256), repeat=count)]


def test_the_beginning_of_a_character_is_kept_only_where_a_character_can_follow() -> None:
    """Otherwise a constrained answer that took it would have no way on."""
    for beginning in BEGINNINGS:
        rest = incomplete_end(beginning)
        if rest:
            follows = [incomplete_end(beginning + bytes([byte])) for byte in range(256)]
            assert any(each is not None for each in follows), beginning


def test_every_character_may_be_written_byte_by_byte() -> None:
    for code in (0x24, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF):
        spelled = chr(code).encode()
        assert [incomplete_end(spelled[:end]) for end in range(1, len(spelled))] == [
            spelled[:end] for end in range(1, len(spelled))
        ]
        assert incomplete_end(spelled) == b""


def test_half_of_a_surrogate_pair_is_no_text() -> None:
    assert incomplete_end(b"\xed\xa0") is None
    assert incomplete_end(b"a\xed\xbf") is None
    assert incomplete_end(b"\xed\x9f") == b"\xed\x9f"
