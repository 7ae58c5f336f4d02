"""The text after which a constraint holds, however it is cut."""

from actors.model.grammar.trigger import Trigger


def test_it_is_found_across_tokens_and_what_follows_is_told() -> None:
    trigger = Trigger("</think>")
    assert [trigger.feed(piece) for piece in (b"a</", b"th", b"ink", b">\nb")] == [None, None, None, b"\nb"]
    assert trigger.found
    assert not trigger.fresh().found


def test_what_looks_like_its_beginning_is_no_hindrance() -> None:
    trigger = Trigger("aab")
    assert [trigger.feed(piece) for piece in (b"a", b"a", b"a", b"b")] == [None, None, None, b""]


def test_without_a_text_it_was_there_from_the_start() -> None:
    assert Trigger("").found
