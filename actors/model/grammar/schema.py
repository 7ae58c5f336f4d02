"""JSON schemas as GBNF grammars, so that every text the grammar lets through satisfies the schema.

What a keyword demands is either held or refused with INVALID_SCHEMA and its place; nothing is ignored but annotations.
Two deliberate narrowings: properties come in one order (required ones as listed, then the others by name), and `oneOf`
lets through what `anyOf` would.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.model.grammar.numerals import integer_expression, number_expression
from actors.model.grammar.pattern import pattern_expression
from actors.model.grammar.rules import RuleBook, either, literal
from bus import RpcError, invalid

Schema = Mapping[str, Any]

REPETITION_LIMIT = 2000
"""llama.cpp unrolls repetitions and refuses longer ones."""
DEPTH_LIMIT = 64

REFUSED = (
    *("not", "if", "then", "else", "multipleOf", "uniqueItems", "contains", "minContains", "maxContains"),
    *("patternProperties", "propertyNames", "minProperties", "maxProperties", "dependencies"),
    *("dependentRequired", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties"),
    *("$dynamicRef", "$recursiveRef"),
)
"""Keywords that demand something a grammar cannot hold."""

KEYWORDS_OF = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems", "additionalItems"},
    "string": {"minLength", "maxLength", "pattern", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
}
MERGED = {"properties", "required", "$defs", "definitions"}


class SchemaCompiler:
    """Collects the rules of a grammar. One compiler may take several schemas, as the tools of a call."""

    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules
        self._references: dict[tuple[int, str], str] = {}
        self._document: Any = {}
        self._depth = 0

    def add(self, schema: object, name: str, field: str = "schema") -> str:
        """Compile a schema; returns the expression that stands for it. Raises RpcError INVALID_SCHEMA."""
        self._document = schema
        return self._rules.add(name, self._visit(schema, name, field))

    def _visit(self, schema: object, name: str, path: str) -> str:
        if schema is True or schema == {}:
            return self._rules.primitive("value")
        if not isinstance(schema, Mapping):
            raise _refuse(path, f"{path} is {json.dumps(schema)[:60]}, not a schema that something could satisfy.")
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise _refuse(path, f"{path} is nested more than {DEPTH_LIMIT} deep.")
        try:
            return self._expression(schema, name, path)
        finally:
            self._depth -= 1

    def _expression(self, schema: Schema, name: str, path: str) -> str:
        for keyword in REFUSED:
            if keyword in schema and schema[keyword] is not False:
                raise _refuse(
                    path, f"{path}.{keyword}: this keyword cannot be held; leave it out or rewrite the schema."
                )
        if "$ref" in schema or "allOf" in schema:
            return self._combined(schema, name, path)
        if "const" in schema:
            return literal(_dump(schema["const"]))
        if "enum" in schema:
            return self._enumeration(schema, path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._union(schema, keyword, name, path)
        return self._typed(schema, name, path)

    def _combined(self, schema: Schema, name: str, path: str) -> str:
        """$ref and allOf: a lone reference becomes a rule of its own, which may be recursive; the rest is merged."""
        others = {key for key in schema if key in _ASSERTIONS} - {"$ref"}
        if "$ref" in schema and not others:
            return self._reference(str(schema["$ref"]), path)
        merged = {key: value for key, value in schema.items() if key not in ("allOf", "$ref")}
        parts = [*([{"$ref": schema["$ref"]}] if "$ref" in schema else []), *_array_of(schema, "allOf", path)]
        for place, part in enumerate(parts):
            merged = _merge(merged, self._resolved(part, f"{path}.allOf[{place}]"), f"{path}.allOf[{place}]")
        return self._visit(merged, name, path)

    def _resolved(self, schema: object, path: str) -> Schema:
        seen = 0
        while isinstance(schema, Mapping) and "$ref" in schema and seen < DEPTH_LIMIT:
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema, seen = _merge(rest, self._target(str(schema["$ref"]), path), path), seen + 1
        if not isinstance(schema, Mapping) or "$ref" in schema:
            raise _refuse(path, f"{path} is no object that could be combined with others.")
        return schema

    def _reference(self, reference: str, path: str) -> str:
        key = (id(self._document), reference)
        if key not in self._references:
            name = self._references[key] = self._rules.reserve(f"ref-{len(self._references)}")
            self._rules.define(name, self._visit(self._target(reference, path), name, reference))
        return self._references[key]

    def _target(self, reference: str, path: str) -> Any:
        if not reference.startswith("#"):
            raise _refuse(path, f"{path}.$ref is {reference!r}; only references within the schema (#/…) are followed.")
        found = self._document
        for step in reference[1:].split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and step in found:
                found = found[step]
            elif isinstance(found, Sequence) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            else:
                raise _refuse(path, f"{path}.$ref is {reference!r}, but the schema has no {step!r} there.")
        return found

    def _enumeration(self, schema: Schema, path: str) -> str:
        values = [value for value in _array_of(schema, "enum", path) if _has_type(value, schema.get("type"))]
        if not values:
            raise _refuse(path, f"{path}.enum leaves no value to choose.")
        return either(literal(_dump(value)) for value in values)

    def _union(self, schema: Schema, keyword: str, name: str, path: str) -> str:
        rest = {key: value for key, value in schema.items() if key != keyword and key in _ASSERTIONS}
        found = []
        for place, option in enumerate(_array_of(schema, keyword, path)):
            where = f"{path}.{keyword}[{place}]"
            merged = _merge(rest, self._resolved(option, where), where) if rest else option
            found.append(self._rules.add(f"{name}-{place}", self._visit(merged, f"{name}-{place}", where)))
        if not found:
            raise _refuse(path, f"{path}.{keyword} is empty, so nothing could satisfy it.")
        return either(found)

    def _typed(self, schema: Schema, name: str, path: str) -> str:
        kind = schema.get("type") or _implied_type(schema)
        if isinstance(kind, Sequence) and not isinstance(kind, str):
            options = [self._typed({**schema, "type": each}, f"{name}-{each}", path) for each in kind]
            return either(options) if options else self._unknown_type(kind, path)
        builders: dict[object, Callable[[Schema, str, str], str]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
        }
        if kind in builders:
            return builders[kind](schema, name, path)
        if kind in ("boolean", "null"):
            return self._rules.primitive(str(kind))
        return self._rules.primitive("value") if kind is None else self._unknown_type(kind, path)

    def _unknown_type(self, kind: object, path: str) -> str:
        known = "object, array, string, integer, number, boolean or null"
        raise _refuse(path, f"{path}.type is {json.dumps(kind)[:60]}; it must be {known}.")

    def _object(self, schema: Schema, name: str, path: str) -> str:
        properties = schema.get("properties", {})
        required = [str(each) for each in schema.get("required", [])]
        extra = schema.get("additionalProperties", not (properties or required))
        if not isinstance(properties, Mapping):
            raise _refuse(path, f"{path}.properties must be an object.")
        if not properties and not required and extra is True:
            return self._rules.primitive("object")
        self._rules.primitive("space")
        optional = sorted(each for each in properties if each not in required)
        pairs = {each: self._pair(each, properties.get(each, True), name, path) for each in [*required, *optional]}
        others = self._extra_pair(list(pairs), extra, name, path)
        body = _members([pairs[each] for each in required], [pairs[each] for each in optional], others)
        return f'"{{" space {body} "}}"'

    def _pair(self, key: str, schema: object, name: str, path: str) -> str:
        value = self._visit(schema, f"{name}-{key}", f"{path}.properties.{key}")
        return self._rules.add(f"{name}-{key}-pair", f'{literal(_dump(key))} ":" space ({value})')

    def _extra_pair(self, keys: list[str], schema: object, name: str, path: str) -> str:
        if schema is False:
            return ""
        value = self._visit(schema, f"{name}-extra", f"{path}.additionalProperties")
        key = self._rules.add(f"{name}-key", rf'"\"" {_other_than(set(keys))} "\""')
        return self._rules.add(f"{name}-extra-pair", f'{key} ":" space ({value})')

    def _array(self, schema: Schema, name: str, path: str) -> str:
        self._rules.primitive("space")
        items, prefix = schema.get("items", True), schema.get("prefixItems", [])
        if isinstance(items, Sequence):
            items, prefix = schema.get("additionalItems", False), items
        low, high = _bounds(schema, "minItems", "maxItems", path)
        fixed = [
            self._rules.add(f"{name}-{place}", self._visit(each, f"{name}-{place}", f"{path}.prefixItems[{place}]"))
            for place, each in enumerate(prefix)
        ]
        if fixed:
            return self._tuple(fixed, items, low, high, path)
        item = self._rules.add(f"{name}-item", self._visit(items, f"{name}-item", f"{path}.items"))
        return _list_of(item, low, high)

    def _tuple(self, fixed: list[str], rest: object, low: int, high: int | None, path: str) -> str:
        if (rest is not False and high != len(fixed)) or low not in (0, len(fixed)):
            raise _refuse(
                path, f"{path}: prefixItems can only be held for arrays of exactly that length (items: false)."
            )
        return '"[" space ' + ' "," space '.join(fixed) + ' space "]"'

    def _string(self, schema: Schema, name: str, path: str) -> str:
        low, high = _bounds(schema, "minLength", "maxLength", path)
        if "pattern" in schema:
            if low or high is not None:
                raise _refuse(path, f"{path}: pattern together with minLength or maxLength cannot be held.")
            return rf'"\"" {self._pattern(schema, path)} "\""'
        if schema.get("format") == "date-time":
            return rf'"\"" {self._rules.primitive("date")} "T" {self._rules.primitive("time")} "\""'
        if schema.get("format") in ("date", "time", "uuid", "ipv4"):
            return rf'"\"" {self._rules.primitive(schema["format"])} "\""'
        if low == 0 and high is None:
            return self._rules.primitive("string")
        return rf'"\"" {self._rules.primitive("char")}{_times(low, high)} "\""'

    def _pattern(self, schema: Schema, path: str) -> str:
        self._rules.primitive("char")
        try:
            return pattern_expression(str(schema["pattern"]))
        except ValueError as problem:
            raise _refuse(path, f"{path}.pattern: {problem}") from None

    def _integer(self, schema: Schema, name: str, path: str) -> str:
        low, high = _numeric(schema, "minimum", path), _numeric(schema, "maximum", path)
        above, below = _numeric(schema, "exclusiveMinimum", path), _numeric(schema, "exclusiveMaximum", path)
        low = above + 1 if above is not None and (low is None or above >= low) else low
        high = below - 1 if below is not None and (high is None or below <= high) else high
        if low is None and high is None:
            return self._rules.primitive("integer")
        return _ranged(lambda: integer_expression(low, high), path)

    def _number(self, schema: Schema, name: str, path: str) -> str:
        low, high = _numeric(schema, "minimum", path), _numeric(schema, "maximum", path)
        above, below = _numeric(schema, "exclusiveMinimum", path), _numeric(schema, "exclusiveMaximum", path)
        if low is None and high is None and above is None and below is None:
            return self._rules.primitive("number")
        open_low = above is not None and (low is None or above >= low)
        open_high = below is not None and (high is None or below <= high)
        bounds = (above if open_low else low, below if open_high else high)
        return _ranged(lambda: number_expression(*bounds, open_low=open_low, open_high=open_high), path)


_ASSERTIONS = {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}.union(*KEYWORDS_OF.values())


def compile_schema(schema: object, field: str = "schema") -> str:
    """The grammar of one schema. Raises RpcError INVALID_SCHEMA, which names the place in `field` at fault."""
    rules = RuleBook()
    return rules.grammar(SchemaCompiler(rules).add(schema, "answer", field))


def _refuse(path: str, message: str) -> RpcError:
    return invalid(message, path, "INVALID_SCHEMA")


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _array_of(schema: Schema, keyword: str, path: str) -> Sequence[Any]:
    value = schema.get(keyword, [])
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _refuse(path, f"{path}.{keyword} must be an array.")
    return value


def _merge(left: Schema, right: Schema, path: str) -> dict[str, Any]:
    merged = dict(left)
    for key, value in right.items():
        if key == "properties" and key in merged:
            merged[key] = {**merged[key], **value}
        elif key == "required" and key in merged:
            merged[key] = list(dict.fromkeys([*merged[key], *value]))
        elif key in _ASSERTIONS and key not in MERGED and merged.get(key, value) != value:
            raise _refuse(path, f"{path}: two different values of {key} cannot both be held.")
        else:
            merged[key] = value
    return merged


def _has_type(value: object, kind: object) -> bool:
    if isinstance(kind, Sequence) and not isinstance(kind, str):
        return any(_has_type(value, each) for each in kind)
    if isinstance(value, bool):
        return kind in (None, "boolean")
    kinds: dict[object, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "null": (type(None),),
        "array": (list,),
        "object": (dict,),
    }
    return kind is None or isinstance(value, kinds.get(kind, ()))


def _implied_type(schema: Schema) -> str | None:
    return next((kind for kind, keywords in KEYWORDS_OF.items() if keywords & schema.keys()), None)


def _numeric(schema: Schema, keyword: str, path: str) -> int | None:
    value = schema.get(keyword)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(path, f"{path}.{keyword} must be a number.")
    if value != int(value):
        raise _refuse(path, f"{path}.{keyword} is {value}; only whole numbers can be held as bounds.")
    return int(value)


def _bounds(schema: Schema, least: str, most: str, path: str) -> tuple[int, int | None]:
    low, high = _numeric(schema, least, path) or 0, _numeric(schema, most, path)
    if max(low, high or 0) > REPETITION_LIMIT or low < 0 or (high is not None and high < low):
        raise _refuse(path, f"{path}: {least} and {most} must be 0 to {REPETITION_LIMIT}, in this order.")
    return low, high


def _ranged(build: Callable[[], str], path: str) -> str:
    try:
        return build()
    except ValueError as problem:
        raise _refuse(path, f"{path}: {problem}") from None


def _times(low: int, high: int | None) -> str:
    return f"{{{low},{'' if high is None else high}}}"


def _list_of(item: str, low: int, high: int | None) -> str:
    if high == 0:
        return '"[" space "]"'
    more = f'("," space {item}){_times(max(low - 1, 0), None if high is None else high - 1)}'
    body = f"{item} {more} space"
    return f'"[" space {body} "]"' if low else f'"[" space ({body})? "]"'


def _members(required: list[str], optional: list[str], others: str) -> str:
    """The members of an object, commas included, in one order."""
    tails = [f'("," space {each})?' for each in optional] + ([f'("," space {others})*'] if others else [])
    if required:
        return " ".join(['"," space '.join(f"{each} " for each in required), *tails, "space"])
    heads = [*optional, *([others] if others else [])]
    options = [
        " ".join([head, *tails[place if head == others and others else place + 1 :]])
        for place, head in enumerate(heads)
    ]
    return f"(({' | '.join(options)}) space)?" if options else ""


def _other_than(words: set[str]) -> str:
    """Text of a key that is none of these words. Escapes are left out, as they could spell one of them."""
    firsts = sorted({word[0] for word in words if word})
    barred = "".join(f"\\U{ord(character):08X}" for character in firsts)
    options = [rf'[^"\\\x7F\x00-\x1F{barred}] [^"\\\x7F\x00-\x1F]*']
    options += [
        f"{literal(first)} {_other_than({word[1:] for word in words if word[:1] == first})}" for first in firsts
    ]
    return f"({' | '.join(options)})" + ("" if "" in words else "?")
