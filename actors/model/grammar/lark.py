"""Grammars as llguidance takes them: Lark's syntax, where names in capitals are regular expressions.

https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from collections.abc import Callable, Sequence

from actors.model.grammar.tree import (
    Expression,
    Grammar,
    Letters,
    Named,
    OneOf,
    Row,
    Text,
    Times,
    depth,
    names_in,
    recursive,
)

SURROGATES = (0xD800, 0xDFFF)
"""Code points that no text has, and no regular expression may name."""


DEEPEST = 1000
"""The library goes down into a grammar with the stack, and 6,000 have ended the process."""


def lark(grammar: Grammar) -> str:
    """The grammar in Lark's syntax.

    What comes to no rule that refers to itself is one regular expression, so it is matched exactly. Between such
    pieces the longest match is taken, as lexers do; of what `constraints` makes, none begins with what may end
    the one before. Raises ValueError where the grammar is too deep.
    """
    if depth(grammar) > DEEPEST:
        raise ValueError(f"its rules stand more than {DEEPEST} deep in each other")
    return _Writer(grammar).text()


class _Writer:
    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._deep = recursive(grammar)
        self._numbers = {name: number for number, name in enumerate(grammar)}
        self._pieces: dict[str, str] = {}

    def text(self) -> str:
        rules = []
        for name, rule in self._grammar.items():
            if name in self._deep:
                rules.append(f"{self._name(name)}: {self._rule(rule)}")
            else:
                rules.append(f"{self._name(name)}: {_regular(rule, self._name)}")
        pieces = [f"{name}: {expression}" for expression, name in self._pieces.items()]
        return "\n".join(["%llguidance {}", f"start: {self._name('root')}", *rules, *pieces, ""])

    def _name(self, name: str) -> str:
        return f"rule_{self._numbers[name]}" if name in self._deep else f"RULE_{self._numbers[name]}"

    def _rule(self, expression: Expression) -> str:
        if not names_in(expression) & self._deep:
            return self._piece(expression)
        match expression:
            case Row(parts):
                return " ".join(f"({self._rule(part)})" for part in self._joined(parts, Row))
            case OneOf(options):
                return " | ".join(f"({self._rule(option)})" for option in self._joined(options, OneOf))
            case Times(what, low, high):
                return f"({self._rule(what)}){_times(low, high)}"
            case Named(name):
                return self._name(name)
        raise AssertionError(expression)

    def _joined(self, parts: Sequence[Expression], kind: type[Row] | type[OneOf]) -> list[Expression]:
        """Neighbours that are regular are one expression."""
        found: list[Expression] = []
        regular: list[Expression] = []
        for part in [*parts, None]:
            if part is not None and not names_in(part) & self._deep:
                regular.append(part)
                continue
            found += [kind(tuple(regular))] if regular else []
            regular = []
            found += [part] if part is not None else []
        return found

    def _piece(self, expression: Expression) -> str:
        """The name of a regular expression that stands between rules."""
        return self._pieces.setdefault(_regular(expression, self._name), f"PIECE_{len(self._pieces)}")


def _regular(expression: Expression, name: Callable[[str], str]) -> str:
    match expression:
        case Text(characters):
            written = f"/{''.join(map(_code, map(ord, characters)))}/" if characters else '""'
        case Letters(ranges, other):
            written = f"/{_class(ranges, other=other)}/"
        case Row(parts):
            written = " ".join(f"({_regular(part, name)})" for part in parts)
        case OneOf(options):
            written = " | ".join(f"({_regular(option, name)})" for option in options)
        case Times(what, low, high):
            written = f"({_regular(what, name)}){_times(low, high)}"
        case _:
            written = name(expression.name)
    return written


def _times(low: int, high: int | None) -> str:
    return f"{{{low},{'' if high is None else high}}}"


def _class(ranges: Sequence[tuple[int, int]], *, other: bool) -> str:
    before, after = SURROGATES[0] - 1, SURROGATES[1] + 1
    parts = [(low, min(high, before)) for low, high in ranges if low <= before]
    parts += [(max(low, after), high) for low, high in ranges if high >= after]
    if not parts:
        return r"[\s\S]" if other else r"[^\s\S]"
    written = "".join(_code(low) if low == high else f"{_code(low)}-{_code(high)}" for low, high in parts)
    return f"[{'^' if other else ''}{written}]"


def _code(character: int) -> str:
    plain = character < 128 and chr(character).isalnum()
    return chr(character) if plain else f"\\x{{{character:X}}}"
