"""Made-up tools: the right call can be told from the prompt alone."""

import json
import random

import pytest

from forge.forms import LANGUAGES, Language
from forge.tool_families import FAMILIES, NEW_ATTRIBUTES, NEW_PLACES
from forge.tools import offered, result, use


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_argument_stands_in_the_question(language: Language, held_out: bool) -> None:
    generator = random.Random(0)
    for _ in range(500):
        used = use(generator, language, held_out=held_out)
        assert all(str(value).lower() in used.question.lower() for value in used.arguments.values())
        assert list(used.arguments) == list(used.tool["function"]["parameters"]["properties"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_names_and_values_are_never_trained(language: Language) -> None:
    generator = random.Random(0)
    trained = [use(generator, language) for _ in range(5_000)]
    names = {used.name for used in trained}
    values = {str(value) for used in trained for value in used.arguments.values()}
    assert not any(attribute in name for name in names for attribute in NEW_ATTRIBUTES)
    assert values.isdisjoint(NEW_PLACES)


def test_the_wanted_tool_is_offered_once_and_no_other_does_its_work() -> None:
    generator = random.Random(0)
    for _ in range(500):
        used = use(generator, "en")
        names = [tool["function"]["name"] for tool in offered(generator, used.tool)]
        family = next((family.names for family in FAMILIES if used.name in family.names), (used.name,))
        assert sum(name in family for name in names) == 1


def test_something_is_always_offered() -> None:
    generator = random.Random(0)
    assert all(offered(generator) for _ in range(200))


def test_a_result_is_told_with_its_own_words() -> None:
    generator = random.Random(0)
    for _ in range(200):
        returned, said = result(generator, use(generator, "en"))
        values = json.loads(returned).values() if returned.startswith("{") else [returned]
        assert all(str(value) in said for value in values)
