"""Made-up tools: the right call can be told from the prompt alone."""

import json
import random

import pytest

from forge.forms import LANGUAGES, Language
from forge.tool_families import FAMILIES
from forge.tool_words import NEW_ATTRIBUTES, NEW_PEOPLE, NEW_PLACES, NEW_WORDS
from forge.tools import apart, offered, result, tempting, tool, use


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_argument_stands_in_the_question(language: Language, held_out: bool) -> None:
    generator = random.Random(0)
    for _ in range(500):
        used = use(generator, language, held_out=held_out)
        assert all(str(value).lower() in used.question.lower() for value in used.arguments.values())
        assert list(used.arguments) == used.tool["function"]["parameters"]["required"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_names_and_values_are_never_trained(language: Language) -> None:
    generator = random.Random(0)
    trained = [use(generator, language) for _ in range(5_000)]
    names = {used.name for used in trained}
    values = {str(value) for used in trained for value in used.arguments.values()}
    assert not any(attribute in name for name in names for attribute in NEW_ATTRIBUTES)
    assert values.isdisjoint({*NEW_PLACES, *NEW_PEOPLE, *NEW_WORDS})


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


def test_nothing_tempting_is_offered_for_a_question_that_is_to_be_refused() -> None:
    generator = random.Random(0)
    for _ in range(200):
        tools = offered(generator, asked="What is the weather today?")
        assert not any(tempting(made, "What is the weather today?") for made in tools)
    assert tempting(tool("get_weather", "", {}), "Thời tiết hôm nay thế nào?")
    assert tempting(tool("findCapital", "", {}), "What is the capital of Japan?")
    assert not tempting(tool("get_weather", "", {}), "What is a frame?")


def test_an_absent_tool_is_not_offered() -> None:
    generator = random.Random(0)
    for _ in range(200):
        used = use(generator, "vi")
        names = {made["function"]["name"] for made in offered(generator, asked=used.question, unmet=used.tool)}
        family = next((family.names for family in FAMILIES if used.name in family.names), (used.name,))
        assert names.isdisjoint(family)


def test_two_tools_of_one_purpose_are_not_apart() -> None:
    generator = random.Random(0)
    uses = [use(generator, "en") for _ in range(50)]
    assert apart(uses[:1])
    assert not apart([uses[0], uses[0]])


def test_a_result_is_told_with_its_own_words() -> None:
    generator = random.Random(0)
    for _ in range(200):
        returned, said = result(generator, use(generator, "en"))
        values = json.loads(returned).values() if returned.startswith("{") else [returned]
        assert all(str(value) in said for value in values)
