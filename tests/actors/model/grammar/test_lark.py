"""Grammars in Lark's syntax let through what GBNF says, as llguidance reads them."""

import json
from typing import Any

import pytest

llguidance = pytest.importorskip("llguidance", reason="the part transformers is not installed")

from actors.model.grammar.lark import lark
from actors.model.grammar.reader import read_gbnf
from actors.model.grammar.schema import compile_schema

from .test_schema import ACCEPTED

END = 256


class Bytes:
    """A vocabulary of single bytes."""

    tokens = (*(bytes([byte]) for byte in range(256)), b"<end>")
    eos_token_id, bos_token_id, special_token_ids = END, None, (END,)

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))


def passes(tokenizer: Any, gbnf: str, text: str) -> bool:
    matcher = llguidance.LLMatcher(tokenizer, lark(read_gbnf(gbnf)), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    data = list(text.encode())
    return bool(matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting())


@pytest.mark.parametrize(("schema", "good", "bad"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_what_satisfies_the_schema_passes_and_nothing_else(
    tokenizer: Any, schema: Any, good: list[Any], bad: list[str]
) -> None:
    grammar = compile_schema(schema)
    for value in good:
        for separators in (None, (",", ":")):
            text = json.dumps(value, separators=separators, ensure_ascii=False)
            assert passes(tokenizer, grammar, text), text
    for text in bad:
        assert not passes(tokenizer, grammar, text), text


@pytest.mark.parametrize(
    ("gbnf", "good", "bad"),
    [
        ('root ::= [a-c]* "ab"', ["ab", "ccab", "abab"], ["a", "abc"]),
        ('root ::= "" | [\\U0000D000-\\U0000F000]', ["", "\ud000", "\uf000"], ["a"]),
        ("root ::= [^/\\x00-\\x20]{2,3}", ["ab", "é[]"], ["a", "a/", "abcd"]),
        ('root ::= "(" root? ")" [0-9]*', ["()", "(())12", "(()1)"], ["(", "())"]),
        ('root ::= a\na ::= "x" a | ', ["", "xxx"], ["y"]),
        ('root ::= ("-" | .) Ab ab\nab ::= "1"\nAb ::= "2"', ["-21", "\n21"], ["-12"]),
    ],
)
def test_grammars_mean_what_they_say(tokenizer: Any, gbnf: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        assert passes(tokenizer, gbnf, text), text
    for text in bad:
        assert not passes(tokenizer, gbnf, text), text
