"""Schemas as grammars: what they let through, and what is refused with its place."""

import json
import re
from typing import Any

import pytest

from actors.model.grammar.pattern import pattern_expression
from actors.model.grammar.schema import compile_schema
from bus import RpcError

RULE = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[A-Za-z0-9-]+|\S', re.DOTALL)


def matches(grammar: str, text: str) -> bool:
    """Whether a grammar lets a text through, by turning it into a regular expression; rules must not be recursive."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())
    return re.fullmatch(expand("root", rules, ()), text) is not None


def expand(name: str, rules: dict[str, str], within: tuple[str, ...]) -> str:
    assert name not in within, "the grammar is recursive"
    return f"(?:{regex(rules[name], rules, (*within, name))})"


def regex(expression: str, rules: dict[str, str], within: tuple[str, ...]) -> str:
    found = []
    brace = 0
    for token in RULE.findall(expression):
        brace += {"{": 1, "}": -1}.get(token, 0)
        if token[0] == '"' and len(token) > 1:
            found.append(f"(?:{re.escape(json.loads(unescaped(token)))})")
        elif token[0] == "[" or brace or not (token[0].isalnum()):
            found.append(token)
        else:
            found.append(expand(token, rules, within))
    return "".join(found)


def unescaped(literal: str) -> str:
    """A GBNF literal as a JSON string."""
    return re.sub(r"\\U([0-9A-F]{8})", lambda found: json.dumps(chr(int(found[1], 16)))[1:-1], literal)


ACCEPTED: list[tuple[str, Any, list[Any], list[str]]] = [
    ("a constant", {"const": "Việt"}, ["Việt"], ['"Viet"', "1"]),
    ("choices", {"enum": ["a", 1, None, [2]]}, ["a", 1, None, [2]], ['"c"', "2"]),
    ("choices of a type", {"enum": ["a", 1], "type": "string"}, ["a"], ["1"]),
    ("a switch", {"type": "boolean"}, [True, False], ["null", "1"]),
    ("nothing", {"type": "null"}, [None], ["false", '""']),
    ("a text", {"type": "string"}, ["", "xin chào", 'q"\\\n', "é\u0001"], ["'a'", '"a', '"a\nb"', '"\\x"']),
    ("a text of a length", {"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "ệệệ"], ['"a"', '"abcd"']),
    ("a date", {"type": "string", "format": "date"}, ["2026-11-20"], ['"2026-13-01"', '"today"']),
    ("a moment", {"type": "string", "format": "date-time"}, ["2026-11-20T13:40:00Z"], ['"2026-11-20"']),
    ("an address", {"type": "string", "format": "ipv4"}, ["127.0.0.1", "255.255.255.255"], ['"256.0.0.1"']),
    ("a format nobody checks", {"type": "string", "format": "email"}, ["a@b", "c"], ["1"]),
    ("a pattern", {"type": "string", "pattern": "^[a-z]{2,3}-\\d+$"}, ["ab-1", "abc-123"], ['"a-1"', '"ab-"']),
    ("a port", {"type": "integer", "minimum": 1, "maximum": 65535}, [1, 8080, 65535], ["0", "65536", "01", "1.0"]),
    ("above zero", {"type": "number", "exclusiveMinimum": 0}, [0.5, 3, 10.25], ["0", "-1", "0.0"]),
    ("a number", {"type": "number"}, [0, -1.5, 1e5, 2.5e-3], ["01", ".5", "1."]),
    ("several types", {"type": ["integer", "null"]}, [3, None], ['"3"', "true"]),
    ("a list", {"type": "array", "items": {"type": "integer"}}, [[], [1], [1, 2, 3]], ["[1,]", '["a"]']),
    (
        "a list of a size",
        {"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 3},
        [[1, 1]],
        ["[1]", "[1,1,1,1]"],
    ),
    ("an empty list", {"type": "array", "maxItems": 0}, [[]], ["[1]"]),
    (
        "a pair",
        {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False},
        [[1, 2]],
        ["[1]", "[2,1]"],
    ),
    ("no members", {"type": "object", "properties": {}, "additionalProperties": False}, [{}], ['{"a":1}']),
    (
        "required and optional members",
        {"properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}, "required": ["b"]},
        [{"b": 2}, {"b": 2, "a": 1}, {"b": 2, "c": 3}, {"b": 2, "a": 1, "c": 3}],
        ["{}", '{"a":1}', '{"a":1,"b":2}', '{"b":2,}', '{"b":2,"d":4}'],
    ),
    (
        "only optional members",
        {"properties": {"a": {"const": 1}, "b": {"const": 2}}, "additionalProperties": False},
        [{}, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}],
        ['{"b":2,"a":1}', "{,}"],
    ),
    (
        "members of other names",
        {"properties": {"ab": {"const": 1}}, "required": ["ab"], "additionalProperties": {"const": 2}},
        [{"ab": 1}, {"ab": 1, "a": 2}, {"ab": 1, "abc": 2, "": 2}, {"ab": 1, "b": 2}],
        ['{"ab":1,"ab":2}', '{"ab":2}', '{"ab":1,"a":3}'],
    ),
    ("one of several", {"anyOf": [{"const": 1}, {"type": "null"}]}, [1, None], ["2"]),
    ("one of several, with a frame", {"type": "integer", "oneOf": [{"minimum": 5}, {"maximum": -5}]}, [7, -7], ["0"]),
    ("a reference", {"$ref": "#/$defs/x", "$defs": {"x": {"const": 4}}}, [4], ["5"]),
    (
        "a reference with an addition",
        {
            "$defs": {"x": {"properties": {"a": {"const": 1}}, "required": ["a"]}},
            "$ref": "#/$defs/x",
            "required": ["b"],
        },
        [{"b": 1, "a": 1}],
        ['{"a":1}'],
    ),
    (
        "all of several",
        {"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"const": 2}}}]},
        [{"a": 1}, {"a": 1, "b": 2}],
        ['{"b":2}'],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_what_satisfies_the_schema_passes_and_nothing_else(schema: Any, good: list[Any], bad: list[str]) -> None:
    grammar = without_free_values(compile_schema(schema))
    for value in good:
        for text in (
            json.dumps(value, ensure_ascii=False),
            json.dumps(value, separators=(",", ":"), ensure_ascii=False),
        ):
            assert matches(grammar, text), text
    for text in bad:
        assert not matches(grammar, text), text


def without_free_values(grammar: str) -> str:
    """Any value is recursive; here it is a number."""
    return re.sub(r"^value ::= .*$", "value ::= number", grammar, flags=re.MULTILINE)


REFUSED: list[tuple[Any, str, str]] = [
    ({"type": "colour"}, "schema", "must be object"),
    ({"properties": {"a": {"not": {}}}}, "schema.properties.a", "not: this keyword cannot be held"),
    ({"type": "integer", "multipleOf": 5}, "schema", "multipleOf"),
    ({"type": "integer", "minimum": 5, "maximum": 4}, "schema", "no whole number"),
    ({"type": "number", "minimum": 0.5}, "schema", "only whole numbers"),
    ({"$ref": "#/$defs/missing"}, "schema", "has no '$defs' there"),
    ({"$ref": "https://example.com/schema"}, "schema", "only references within the schema"),
    ({"type": "string", "pattern": "(?=a)"}, "schema", "cannot be held"),
    ({"type": "string", "pattern": "(a"}, "schema", "ends too early"),
    ({"type": "string", "maxLength": 100000}, "schema", "0 to 2000"),
    ({"enum": []}, "schema", "leaves no value"),
    ({"anyOf": []}, "schema", "is empty"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "schema.allOf[1]", "two different values of type"),
    (False, "schema", "not a schema"),
    ("text", "schema", "not a schema"),
    ({"properties": []}, "schema", "must be an object"),
]


@pytest.mark.parametrize(("schema", "field", "words"), REFUSED)
def test_what_cannot_be_held_is_refused_with_its_place(schema: Any, field: str, words: str) -> None:
    with pytest.raises(RpcError) as refusal:
        compile_schema(schema)
    assert refusal.value.reason == "INVALID_SCHEMA"
    assert refusal.value.field == field
    assert words in refusal.value.message


def test_a_schema_that_is_nested_without_end_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"type": "array", "items": schema or True}
    with pytest.raises(RpcError, match="nested more than"):
        compile_schema(schema)


def test_a_schema_whose_grammar_is_too_large_is_refused() -> None:
    with pytest.raises(RpcError, match="characters"):
        compile_schema({"enum": ["x" * 100 + str(number) for number in range(4000)]})


def test_a_recursive_schema_becomes_a_recursive_rule() -> None:
    schema = {"$ref": "#/$defs/node", "$defs": {"node": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}
    grammar = compile_schema(schema)
    assert grammar.count("ref-0 ::=") == 1
    assert "ref-0-item ::= ref-0" in grammar


def test_names_that_are_no_rule_names_do_not_collide() -> None:
    grammar = compile_schema({"properties": {"a b": {"const": 1}, "a-b": {"const": 2}, "ä": {"const": 3}}})
    names = [line.split(" ::= ")[0] for line in grammar.splitlines()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", name) for name in names)


PATTERNS = [
    ("^abc$", ["abc"], ["ab", "abcd"]),
    ("b+", ["b", "abba"], ["a"]),
    ("^(?:a|bc)*$", ["", "abc", "bcbc"], ["b"]),
    ("^[^0-9]{2}$", ["ab", "ệ!"], ["a1", "a"]),
    (r"^\w+\.\w{2,}$", ["a.bc"], ["a.b", "abc"]),
    (r"^[\d.-]+?$", ["1.2-3"], ["a", ""]),
    (r"^[\s\da-c]+$", ["1 a"], ["d", ""]),
    ("^.$", ["a", "ệ"], ["", "ab"]),
    ("^[ -~]{2}$", ["ab", "!~"], ["a\u00e0", "a"]),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), PATTERNS)
def test_patterns_are_held_as_regular_expressions_are(pattern: str, good: list[str], bad: list[str]) -> None:
    rules = {"root": pattern_expression(pattern), "char": r'[^"\\\x00-\x1F]'}
    compiled = expand("root", rules, ())
    for text in good:
        assert re.search(pattern, text) and re.fullmatch(compiled, text), text
    for text in bad:
        assert not re.search(pattern, text) and not re.fullmatch(compiled, text), text


def test_a_range_over_a_quote_leaves_it_out_of_a_json_string() -> None:
    compiled = expand("root", {"root": pattern_expression("^[ -~]+$")}, ())
    assert re.fullmatch(compiled, "a !#[]~")
    assert not re.fullmatch(compiled, 'a"b') and not re.fullmatch(compiled, "a\\b")
