from typing import Any

import openai
import pytest

MODEL = "scripted"


async def test_a_text_is_continued(client: openai.AsyncOpenAI, door: Any) -> None:
    answer = await client.completions.create(model=MODEL, prompt="Zero", max_tokens=5, seed=3, suffix="end", stop=".")
    assert answer.id.startswith("cmpl-")
    assert answer.object == "text_completion"
    assert answer.choices[0].text == " one two"
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].logprobs is None
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 2, 5)
    request = door.chat.completions[0]
    assert (request.prompt, request.suffix, request.max_tokens, list(request.stop)) == ("Zero", "end", 5, ["."])


async def test_several_texts_with_several_answers_keep_their_places(client: openai.AsyncOpenAI, door: Any) -> None:
    answer = await client.completions.create(model=MODEL, prompt=["A", "B"], n=2, echo=True)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in answer.choices] == ["A one two"] * 2 + ["B one two"] * 2
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8
    assert door.hub.limits.call().in_use == 0


async def test_log_probabilities_are_parallel_lists_with_offsets(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model=MODEL, prompt="Zero", logprobs=1)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == [" one", " two"]
    assert logprobs.token_logprobs == [-0.5, -0.5]
    assert logprobs.text_offset == [0, 4]
    assert logprobs.top_logprobs == [{"?": -3.0}, {"?": -3.0}]


async def test_a_stream_brings_every_text_and_ends_with_the_usage(client: openai.AsyncOpenAI) -> None:
    stream = await client.completions.create(
        model=MODEL, prompt=["A", "B"], stream=True, logprobs=0, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    texts = ["", ""]
    for chunk in chunks[:-1]:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [" one two"] * 2
    offsets = [chunk.choices[0].logprobs.text_offset for chunk in chunks if chunk.choices and chunk.choices[0].logprobs]
    assert sorted(map(str, offsets)) == ["[0]", "[0]", "[4]", "[4]"]
    finishes = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert finishes == ["length", "length"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 10


@pytest.mark.parametrize("stream", [False, True])
async def test_one_failing_text_fails_the_request_with_its_error(
    client: openai.AsyncOpenAI, door: Any, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.completions.create(model=MODEL, prompt=["fail", "fail"], stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert door.hub.limits.call().in_use == 0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["x"] * 17}, "prompt"),
        ({"best_of": 3}, "best_of"),
        ({"n": 0}, "n"),
        ({"logprobs": 21}, "logprobs"),
    ],
)
async def test_what_is_wrong_is_named(client: openai.AsyncOpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.completions.create(**{"model": MODEL, "prompt": "x", **fields})
    assert caught.value.param == param


@pytest.mark.parametrize("prompt", [[1, 2], [[1, 2]]])
async def test_token_ids_as_a_prompt_are_refused_without_advice_for_embeddings(
    client: openai.AsyncOpenAI, prompt: Any
) -> None:
    with pytest.raises(openai.BadRequestError, match="token ids are not supported; send the text itself") as caught:
        await client.completions.create(model=MODEL, prompt=prompt)
    assert "OpenAIEmbeddings" not in caught.value.message
    assert caught.value.param == "prompt"
