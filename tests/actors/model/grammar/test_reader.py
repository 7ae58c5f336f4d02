"""GBNF as a tree, and which rules refer to themselves."""

import pytest

from actors.model.grammar.reader import read_gbnf
from actors.model.grammar.tree import Letters, Named, OneOf, Row, Text, Times, depth, recursive, strata


def test_rules_become_trees() -> None:
    grammar = read_gbnf('root ::= "a" [b-d]* | other{2,} # why\nother ::= ("x"\n  | ) [^"\\]-]? .\n')
    assert grammar == {
        "root": OneOf((Row((Text("a"), Times(Letters(((98, 100),)), 0, None))), Times(Named("other"), 2, None))),
        "other": Row(
            (
                OneOf((Text("x"), Text(""))),
                Times(Letters(((34, 34), (93, 93), (45, 45)), other=True), 0, 1),
                Letters((), other=True),
            )
        ),
    }


def test_characters_may_be_written_by_their_numbers() -> None:
    grammar = read_gbnf(r'root ::= "\x41\u00e9\U0001F600\n\"\\" [\x00-\x1F\U0010FFFF]')
    assert grammar["root"] == Row((Text('Aé😀\n"\\'), Letters(((0, 0x1F), (0x10FFFF, 0x10FFFF)))))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no rule 'root' (line 1)"),
        ('root ::= "a"\nx ::= missing', "no rule 'missing' (line 2)"),
        ('root ::= "a', "not closed (line 1)"),
        ('root ::= "a\n"', "not closed (line 1)"),
        ("root ::= [a-b", "not closed"),
        ("root ::= [b-a]", "ends before it begins"),
        ("root ::= []", "lets nothing through"),
        ('root ::= ("a"', "')' is expected"),
        ('root ::= "a")', "')' is not expected"),
        ('root ::= "a"{3,2}', "smaller number first"),
        ('root ::= "a"{9999}', "0 to 2000"),
        ('root ::= "a"{,2}', "not of the form"),
        (r'root ::= "\q"', "cannot be held"),
        (r'root ::= "\x4"', "cannot be held"),
        (r'root ::= "\U00110000"', "no character"),
        ("root = a", "'::=' is expected"),
        ("root ::= <think>", "tokens by their number"),
        ("root ::= " + "(" * 200 + '"a"' + ")" * 200, "more than 100 deep"),
    ],
)
def test_what_is_no_grammar_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ValueError) as refusal:
        read_gbnf(text)
    assert words in str(refusal.value)


def test_rules_that_come_to_themselves_are_told() -> None:
    grammar = read_gbnf('root ::= a plain\na ::= "(" b ")"\nb ::= a | plain\nplain ::= last\nlast ::= "x"')
    assert recursive(grammar) == {"root", "a", "b"}
    assert [set(names) for names in strata(grammar)] == [{"last"}, {"plain"}, {"a", "b"}, {"root"}]
    assert recursive(read_gbnf('root ::= "a" root | b\nb ::= "x"')) == {"root"}


def test_rules_may_be_many_and_deep() -> None:
    chain = "root ::= r0\n" + "\n".join(f"r{n} ::= r{n + 1}" for n in range(3000))
    straight, round_and_round = read_gbnf(f'{chain}\nr3000 ::= "x"'), read_gbnf(f"{chain}\nr3000 ::= root?")
    assert recursive(straight) == frozenset() and depth(straight) == 3002
    assert len(recursive(round_and_round)) == 3002 and depth(round_and_round) == 3003
    wide = "root ::= " + " ".join(f"r{n}" for n in range(3000)) + "\n"
    assert depth(read_gbnf(wide + "\n".join(f'r{n} ::= "x"+' for n in range(3000)))) == 4
