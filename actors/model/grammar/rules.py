"""Grammars as text: rules by name, those of JSON itself, and the little syntax that GBNF has."""

from collections.abc import Iterable

from bus import invalid

GRAMMAR_LIMIT = 256 * 1024
"""Characters of a grammar; what is larger would take seconds to compile."""

PRIMITIVES = {
    "space": r'| " " | "\n"{1,2} [ \t]{0,20}',
    "char": r'[^"\\\x7F\x00-\x1F] | [\\] (["\\/bfnrt] | "u" [0-9a-fA-F]{4})',
    "string": r'"\"" char* "\""',
    "integer": r'"-"? ("0" | [1-9] [0-9]{0,15})',
    "number": r'"-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "member": 'string ":" space value',
    "object": '"{" space (member ("," space member)* space)? "}"',
    "array": '"[" space (value ("," space value)* space)? "]"',
    "value": "object | array | string | number | boolean | null",
}
"""Rules of JSON itself."""

FORMATS = {
    "date": r'[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
    "time": r'clock ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [-+] clock)',
    "clock": r'([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]',
    "uuid": r'[0-9a-f]{8} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{12}',
    "ipv4": r'ipv4-byte "." ipv4-byte "." ipv4-byte "." ipv4-byte',
    "ipv4-byte": r'"25" [0-5] | "2" [0-4] [0-9] | "1" [0-9] [0-9] | [1-9]? [0-9]',
}
"""Formats of strings that are held.

Others are annotations, as the specification has it. Days end at 28: always valid.
"""


def literal(text: str) -> str:
    """A GBNF literal."""
    return '"' + "".join(_escape(character) for character in text) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08X}"


class RuleBook:
    """Collects the rules of a grammar."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}

    def add(self, name: str, expression: str) -> str:
        """Add a rule; returns its name, which differs from the wanted one if that is taken or is none."""
        base = (
            "".join(character if character.isalnum() and character.isascii() else "-" for character in name) or "rule"
        )
        key, number = base, 1
        while key == "root" or key in PRIMITIVES or key in FORMATS or self._rules.get(key, expression) != expression:
            key, number = f"{base}-{number}", number + 1
        self._rules[key] = expression
        return key

    def reserve(self, name: str) -> str:
        """A name for a rule that refers to itself; to be given its expression by `define`."""
        return self.add(name, f"reserved for {name}")

    def define(self, name: str, expression: str) -> None:
        """Give a reserved name its expression."""
        self._rules[name] = expression

    def primitive(self, name: str) -> str:
        """The name of one of JSON's own rules, which is added together with what it needs."""
        if name not in self._rules:
            expression = self._rules[name] = PRIMITIVES.get(name) or FORMATS[name]
            for other in (*PRIMITIVES, *FORMATS):
                if other != name and other in _words(expression):
                    self.primitive(other)
        return name

    def grammar(self, root: str) -> str:
        """The whole grammar.

        `root` is the expression it begins with. Raises RpcError INVALID_SCHEMA if it is too large.
        """
        text = "\n".join([f"root ::= {root}", *(f"{name} ::= {rule}" for name, rule in self._rules.items())])
        if len(text) > GRAMMAR_LIMIT:
            message = f"The schema's grammar has {len(text)} characters; {GRAMMAR_LIMIT} are allowed."
            raise invalid(message, "schema", "INVALID_SCHEMA")
        return text


def _words(expression: str) -> set[str]:
    """Names of rules in an expression: its words outside literals and character classes."""
    outside, quote, previous = [], "", ""
    for character in expression:
        if quote:
            if character == quote and previous != "\\":
                quote = ""
            previous = "" if previous == "\\" else character
            continue
        quote = {'"': '"', "[": "]"}.get(character, "")
        outside.append(" " if quote or character in "()*+?|{}," else character)
        previous = ""
    return set("".join(outside).split())


def either(options: Iterable[str]) -> str:
    """One of several expressions."""
    unique = list(dict.fromkeys(options))
    return unique[0] if len(unique) == 1 else "(" + " | ".join(unique) + ")"
