"""Training conversations: repeatable, balanced, and with targets where the assistant speaks."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tokenizers")

from forge.dataset import Conversation, Conversations, drill, encode, keywords, other_words, vary
from forge.free_questions import FREE_QUESTIONS
from forge.knowledge import facts
from forge.phrasings import normalised, questions
from forge.template import tool_call
from forge.tokenizer import tokenizer_of

SHIPPED = Path(__file__).parents[2] / "actors/llama/models/troupe-tiny.gguf"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tokenizer_of(SHIPPED)


def test_the_same_seed_draws_the_same_conversations() -> None:
    first, second, other = Conversations(3, 4096), Conversations(3, 4096), Conversations(4, 4096)
    drawn = [first.draw() for _ in range(50)]
    assert [second.draw() for _ in range(50)] == drawn
    assert [other.draw() for _ in range(50)] != drawn


def test_conversations_are_of_all_sorts() -> None:
    stream = Conversations(0, 4096)
    drawn = [stream.draw() for _ in range(2_000)]
    assert any(len(one.messages) > 30 for one in drawn)
    assert 0.4 < sum(bool(one.tools) for one in drawn) / len(drawn) < 0.5
    roles = Counter(message["role"] for one in drawn for message in one.messages)
    assert set(roles) == {"system", "user", "assistant", "tool"}


def test_every_vocabulary_entry_comes_up_among_the_copied_tokens() -> None:
    stream = Conversations(0, 64)
    met = {token for _ in range(1_500) for token in stream.draw().spliced}
    assert met == {0, *range(3, 64)}


def test_a_drill_repeats_itself_and_its_repetitions_are_targets() -> None:
    encoded = drill(random.Random(0), 4096)
    first = encoded.target.index(True)
    assert encoded.tokens[:first] == encoded.tokens[first : 2 * first]
    assert all(encoded.target[first:])


def test_varied_questions_are_never_held_out_ones() -> None:
    split, stream = questions(facts()), Conversations(0, 4096)
    held = {normalised(one.text) for one in [*split.kept, *split.new]}
    held |= {normalised(text) for written in FREE_QUESTIONS.values() for text, _ in written}
    drawn = (stream.draw() for _ in range(1_500))
    asked = {normalised(turn["content"]) for one in drawn for turn in one.messages if turn["role"] == "user"}
    assert asked & held == set()


def test_people_type_in_many_ways() -> None:
    generator = random.Random(0)
    varied = {vary(generator, "Đặt khóa API thế nào?", "vi", plain=False) for _ in range(300)}
    assert "dat khoa api the nao" in varied
    assert any(text.startswith("Bạn ơi, ") for text in varied)


def test_other_words_and_keywords_ask_the_same() -> None:
    generator = random.Random(0)
    said = {other_words(generator, "How do I change the data folder?", "en") for _ in range(200)}
    assert {"How can I modify the data directory?", "How could I set the data folder?"} & said
    assert all("data" in text for text in said)
    assert {other_words(generator, "What does make up do?", "en") for _ in range(50)} == {"What does make up do?"}
    assert keywords("What is the gRPC port?", "en") == "gRPC port"
    assert keywords("What is a lease?", "en") == "What is a lease?"


def test_tools_are_asked_several_things_in_one_conversation() -> None:
    stream = Conversations(0, 4096, tool_share=1.0)
    calls = Counter(sum("tool_calls" in turn for turn in stream.draw().messages) for _ in range(400))
    assert set(calls) >= {0, 1, 2, 3, 4}


def test_only_the_assistants_words_are_targets(tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Goodbye!"}]
    encoded = encode(tokenizer, Conversation(messages))
    target = [token for token, wanted in zip(encoded.tokens, encoded.target, strict=True) if wanted]
    assert tokenizer.decode(target, skip_special_tokens=False) == "Goodbye!<|im_end|>"


def test_an_answer_is_tokenized_as_it_is_generated(tokenizer: Any) -> None:
    stream = Conversations(5, 4096)
    for _ in range(100):
        encoded = encode(tokenizer, stream.draw())
        assert encoded.turns[0] == 0
        assert not encoded.target[0]
        assert encoded.target[-1]


def test_tokens_are_put_in_where_the_placeholder_stands(tokenizer: Any) -> None:
    answer = tool_call("copy", {"text": "\ue000"})
    messages = [{"role": "user", "content": "copy \ue000"}, {"role": "assistant", "content": answer}]
    encoded = encode(tokenizer, Conversation(messages, [], (9, 1000, 4000)))
    text = ",".join(map(str, encoded.tokens))
    assert text.count("9,1000,4000") == 2
