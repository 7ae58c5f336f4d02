"""A grammar as a tree: what GBNF text says, for engines that take grammars in another form."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """These characters, one after the other; empty: nothing."""

    characters: str


@dataclass(frozen=True, slots=True)
class Letters:
    """One character out of ranges, bounds included; or, with `other`, one that is in none of them."""

    ranges: tuple[tuple[int, int], ...]
    other: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """What another rule says."""

    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """One after the other."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several; at least one."""

    options: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Times:
    """Several times. high: None is without end."""

    what: "Expression"
    low: int
    high: int | None


Expression = Text | Letters | Named | Row | OneOf | Times
Grammar = Mapping[str, Expression]
"""Rules by name; it begins with "root"."""


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """What an expression is made of."""
    match expression:
        case Row(parts):
            return parts
        case OneOf(options):
            return options
        case Times(what):
            return (what,)
    return ()


def names_in(expression: Expression) -> set[str]:
    """Rules that an expression refers to."""
    if isinstance(expression, Named):
        return {expression.name}
    return set[str]().union(*map(names_in, parts_of(expression)))


def strata(grammar: Grammar) -> list[list[str]]:
    """Rules that come to each other stand together; what others come to stands before them. After Tarjan (1972).

    Without recursion of its own, so that no grammar is too deep for it.
    """
    leads = {name: sorted(names_in(rule)) for name, rule in grammar.items()}
    found: list[list[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    together: list[str] = []
    stands: dict[str, int] = {}
    done: set[str] = set()
    for start, first in leads.items():
        way = [] if start in number else [(start, iter(first))]
        while way:
            name, others = way[-1]
            if name not in number:
                number[name] = lowest[name] = len(number)
                stands[name] = len(together)
                together.append(name)
            other = next(others, None)
            if other is not None:
                if other not in number:
                    way.append((other, iter(leads[other])))
                elif other not in done:
                    lowest[name] = min(lowest[name], number[other])
                continue
            way.pop()
            if way:
                lowest[way[-1][0]] = min(lowest[way[-1][0]], lowest[name])
            if lowest[name] == number[name]:
                found.append(together[stands[name] :])
                done.update(found[-1])
                del together[stands[name] :]
    return found


def recursive(grammar: Grammar) -> frozenset[str]:
    """Rules that come to a rule which refers to itself, by whatever way."""
    deep: set[str] = set()
    for names in strata(grammar):
        others = set[str]().union(*(names_in(grammar[name]) for name in names))
        if len(names) > 1 or others & {*names, *deep}:
            deep.update(names)
    return frozenset(deep)


def depth(grammar: Grammar) -> int:
    """How deep things stand within each other at most, once each rule is put where it is referred to."""
    found: dict[str, int] = {}
    for names in strata(grammar):
        below = max((found.get(other, 0) for name in names for other in names_in(grammar[name])), default=0)
        own = sum(_depth(grammar[name]) for name in names)
        found.update(dict.fromkeys(names, own + below))
    return max(found.values(), default=0)


def _depth(expression: Expression) -> int:
    return 1 + max(map(_depth, parts_of(expression)), default=0)
