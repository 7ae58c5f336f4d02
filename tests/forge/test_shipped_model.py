"""The committed troupe-tiny: labelled for what it is, and answering what it should."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

gguf = pytest.importorskip("gguf")

from forge.forms import LANGUAGES, Language
from forge.knowledge import facts
from forge.out_of_domain import REFUSALS, held_out_off_topic
from forge.phrasings import questions
from forge.template import CHAT_TEMPLATE, render, tool_call
from forge.tools import tool

MODELS = Path(__file__).parents[2] / "actors/llama/models"
SHIPPED = MODELS / "troupe-tiny.gguf"
WEATHER = tool("get_weather", "Get the weather of a city", {"city": "string"})


@pytest.fixture(scope="module")
def fields() -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(SHIPPED).fields.items()}


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    pytest.importorskip("llama_cpp")
    from forge.llama import GreedyModel

    loaded = GreedyModel(SHIPPED)
    yield loaded
    loaded.close()


def test_it_is_a_few_megabytes() -> None:
    assert 2e6 < SHIPPED.stat().st_size < 8e6


def test_it_is_labelled(fields: dict[str, Any]) -> None:
    assert fields["general.name"] == "troupe-tiny"
    assert fields["general.architecture"] == "llama"
    assert "guide" in fields["general.description"]
    assert "test instrument" in fields["general.description"]
    assert fields["general.languages"] == ["en", "vi"]
    assert fields["general.file_type"] == gguf.LlamaFileType.MOSTLY_Q8_0


def test_it_carries_the_template_and_the_context_that_the_sources_have(fields: dict[str, Any]) -> None:
    assert fields["tokenizer.chat_template"] == CHAT_TEMPLATE
    assert fields["llama.context_length"] == 4096


def test_a_turn_ends_it_and_nothing_is_put_before_a_prompt(fields: dict[str, Any]) -> None:
    tokens = fields["tokenizer.ggml.tokens"]
    assert tokens[fields["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert tokens[fields["tokenizer.ggml.eot_token_id"]] == "<|im_end|>"
    assert fields["tokenizer.ggml.add_bos_token"] is False


def test_its_card_tells_the_scores_that_were_measured() -> None:
    card = (MODELS / "troupe-tiny.md").read_text("utf-8")
    for score in json.loads((MODELS / "troupe-tiny.eval.json").read_text("utf-8"))["scores"]:
        assert f"{score['right']}/{score['total']}" in card


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_answers_held_out_questions(model: Any, language: Language) -> None:
    held = [one for one in questions(facts()).kept if one.language == language]
    asked = random.Random(7).sample(held, 25)
    right = sum(model.answer(render([{"role": "user", "content": one.text}])) == one.answer for one in asked)
    assert right >= 21


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_says_that_it_does_not_know_what_is_not_its_domain(model: Any, language: Language) -> None:
    asked = random.Random(7).sample(held_out_off_topic(language), 12)
    refused = sum(model.answer(render([{"role": "user", "content": one.text}])) == REFUSALS[language] for one in asked)
    assert refused >= 10


@pytest.mark.parametrize(
    ("question", "city"),
    [
        ("What is the weather in Hanoi?", "Hanoi"),
        ("Thời tiết ở Huế thế nào?", "Huế"),
        ("Tell me the weather in Paris.", "Paris"),
    ],
)
def test_it_calls_a_tool_that_fits(model: Any, question: str, city: str) -> None:
    prompt = render([{"role": "user", "content": question}], [WEATHER])
    assert model.answer(prompt) == tool_call("get_weather", {"city": city})


def test_it_does_not_call_a_tool_that_does_not_fit(model: Any) -> None:
    prompt = render([{"role": "user", "content": "What is a frame?"}], [WEATHER])
    assert "<tool_call>" not in model.answer(prompt)


def test_it_tells_a_tools_result(model: Any) -> None:
    call = {"function": {"name": "get_weather", "arguments": {"city": "Hanoi"}}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "What is the weather in Hanoi?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "sunny"},
    ]
    assert "sunny" in model.answer(render(messages, [WEATHER]))
