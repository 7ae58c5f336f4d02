"""Names on NATS."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import subjects

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT)
def test_any_name_becomes_one_token_and_back(name: str) -> None:
    token = subjects.escape(name)
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", token)
    assert subjects.unescape(token) == name


@given(TEXT, TEXT)
def test_different_names_have_different_tokens(one: str, two: str) -> None:
    assert (subjects.token(one) == subjects.token(two)) == (one == two)


@pytest.mark.parametrize("name", ["x" * 5000, "đ" * 5000, "x" * 200 + "a", "x" * 200 + "b"])
def test_a_long_name_has_a_token_of_bounded_length(name: str) -> None:
    token = subjects.token(name)
    assert len(token) <= subjects.MAX_TOKEN + 40
    assert token != subjects.token(name[:-1])


def test_a_plain_name_is_its_own_token() -> None:
    assert subjects.token("troupe-tiny_2") == "troupe-tiny_2"
    assert subjects.token("a.b") == "a=2Eb"
    assert subjects.token("") == "="


def test_subjects_are_what_the_wire_says() -> None:
    assert subjects.call("a.v1.B", "C") == "rpc.a.v1.B.C"
    assert subjects.call("a.v1.B", "C", "m.gguf") == "rpc.a.v1.B.C.m=2Egguf"
    assert subjects.calls_of("a.v1.B") == "rpc.a.v1.B.*"
    assert subjects.calls_of("a.v1.B", "m") == "rpc.a.v1.B.*.m"
    assert subjects.reply("p", "c") == "reply.p.c"
    assert subjects.replies("p") == "reply.p.*"
    assert subjects.control("p", "c") == "control.p.c"
    assert subjects.controls("p") == "control.p.*"
    assert subjects.event("actor.failed") == "event.actor.failed"


def test_a_subject_tells_whose_it_is() -> None:
    for subject in (
        subjects.reply("llama-1-x", "c", 2),
        subjects.control("llama-1-x", "c"),
        subjects.gone("llama-1-x"),
    ):
        assert subjects.process_of(subject) == "llama-1-x"
    assert subjects.process_of("") == ""


@given(TEXT, st.integers(0, 1000))
def test_a_reply_tells_its_call_and_attempt_whatever_its_process_is_called(name: str, attempt: int) -> None:
    process = f"llama-{subjects.token(name)}-1"
    first = subjects.reply(process, "call_1")
    assert subjects.attempt_of(subjects.reply(process, "call_1", attempt)) == (first, attempt)
    assert subjects.process_of(first) == process
