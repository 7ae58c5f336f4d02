"""Values of every kind can be told from the question, and held-out ones stay held out."""

import json
import random

import pytest

from forge.tool_families import FAMILIES
from forge.values import HELD_OUT, MAKERS, NEW_VALUES, value_of


@pytest.mark.parametrize("kind", MAKERS)
def test_values_stand_in_json_as_they_stand_in_a_question(kind: str) -> None:
    generator = random.Random(0)
    for _ in range(300):
        value = value_of(generator, kind)
        assert json.dumps(value, ensure_ascii=False).strip('"') == str(value)
        assert value not in HELD_OUT


@pytest.mark.parametrize("kind", NEW_VALUES)
def test_held_out_values_come_when_asked_for(kind: str) -> None:
    generator = random.Random(0)
    assert {value_of(generator, kind, held_out=True) for _ in range(200)} == set(NEW_VALUES[kind])


def test_every_kind_that_a_tool_names_can_be_made() -> None:
    assert {argument[1] for family in FAMILIES for argument in family.arguments} <= set(MAKERS)
