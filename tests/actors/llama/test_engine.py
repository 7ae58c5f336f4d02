"""The engine on real llama.cpp and a random model: the same answers as plain decoding, whatever else goes on."""

import asyncio
import dataclasses
import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest

from actors.llama.binding import NativeContext
from actors.llama.engine import LlamaEngine
from actors.llama.settings import LlamaSettings
from actors.model.constraint import Constraint, GrammarFormat, PatternFormat, SchemaFormat
from actors.model.interface import (
    EndReason,
    SamplingSettings,
)
from actors.model.refusals import context_exceeded
from bus import RpcError

from .engine_jobs import (
    GREEDY,
    PROMPTS,
    QUESTIONS,
    Answer,
    OpenEngine,
    ask,
    assert_same,
    chat,
    collect,
    job,
    plain_greedy,
)


async def test_a_load_that_nobody_wants_any_more_ends_within_a_step(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, cancelled, steps = asyncio.Event(), threading.Event(), list[float]()

    def told(loop: asyncio.AbstractEventLoop, _: object, share: float) -> None:
        steps.append(share)
        loop.call_soon_threadsafe(begun.set)
        cancelled.wait(10)

    monkeypatch.setattr("actors.llama.engine._tell", told)
    opening = asyncio.create_task(
        LlamaEngine.open(models / "fixture.gguf", LlamaSettings(threads=1), lambda share: None)
    )
    await begun.wait()
    opening.cancel()
    asyncio.get_running_loop().call_later(0.01, cancelled.set)
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert len(steps) == 1


@pytest.mark.parametrize("prompt", PROMPTS[:3])
async def test_greedy_text_is_that_of_a_plain_loop(engine: LlamaEngine, models: Path, prompt: str) -> None:
    answer = await ask(engine, prompt, 40)
    assert answer.text() == plain_greedy(models / "fixture.gguf", prompt, 40).decode("utf-8", "replace")


async def test_eight_at_once_say_what_each_says_alone(shipped: LlamaEngine) -> None:
    together = await asyncio.gather(*(ask(shipped, chat(question), 40, ignore_end=False) for question in QUESTIONS))
    alone = [await ask(shipped, chat(question), 40, ignore_end=False) for question in QUESTIONS]
    assert [answer.text() for answer in together] == [answer.text() for answer in alone]
    assert len({answer.text() for answer in together}) > 3


async def test_slots_with_parts_of_their_own_say_the_same(open_engine: OpenEngine) -> None:
    shared = await open_engine(slots=4, context=256)
    parted = await open_engine(slots=4, context=256, cache_tokens=4 * 256)
    for _ in range(2):
        answers = await asyncio.gather(*(ask(parted, prompt, 40, alternatives=8) for prompt in PROMPTS))
        for answer, prompt in zip(answers, PROMPTS, strict=True):
            assert_same(answer, await ask(shared, prompt, 40, alternatives=8))


async def test_a_long_beginning_is_copied_from_one_part_to_another(open_engine: OpenEngine) -> None:
    engine = await open_engine(slots=2, context=256, cache_tokens=512)
    beginning = "The quick brown fox jumps over the lazy dog. " * 2
    alone = await ask(engine, beginning + "And then?", 8, alternatives=8)
    first = engine.submit(job(engine, beginning + "Meanwhile", 100))
    started = asyncio.create_task(collect(first))
    while not engine.running:
        await asyncio.sleep(0)
    copied = await ask(engine, beginning + "And then?", 8, alternatives=8)
    assert copied.cost.cached_tokens >= 32
    assert_same(copied, alone)
    first.cancel()
    with pytest.raises(RpcError):
        await started


async def test_another_seed_gives_another_text(engine: LlamaEngine) -> None:
    texts = [(await ask(engine, "Hello", sampling=SamplingSettings(seed=seed))).text() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


async def test_a_reused_beginning_changes_nothing_but_the_cost(engine: LlamaEngine, open_engine: OpenEngine) -> None:
    prompt = "You are a helpful actor on a hall. " * 6
    await ask(engine, prompt + "First question")
    second = await ask(engine, prompt + "Another question", alternatives=8)
    fresh = await ask(await open_engine(slots=1), prompt + "Another question", alternatives=8)
    assert_same(second, fresh)
    assert second.cost.cached_tokens >= len(engine.tokenize(prompt, control=True)) - 1
    assert fresh.cost.cached_tokens == 0


async def test_choices_share_the_prompt_and_differ(engine: LlamaEngine) -> None:
    before = engine.prompt_tokens
    answer = await ask(engine, "Hello " * 20, choices=4, sampling=SamplingSettings(temperature=1.0, seed=5))
    assert len({answer.text(choice) for choice in range(4)}) == 4
    assert answer.cost.completion_tokens == 4 * 24
    assert engine.prompt_tokens - before == answer.cost.prompt_tokens + 3


async def test_each_choice_has_the_seed_after_the_one_before(shipped: LlamaEngine) -> None:
    prompt, seeds = chat(QUESTIONS[0]), [5, 6, 7]
    answer = await ask(shipped, prompt, choices=3, sampling=SamplingSettings(temperature=1.0, seed=5))
    alone = [await ask(shipped, prompt, sampling=SamplingSettings(temperature=1.0, seed=seed)) for seed in seeds]
    assert [answer.text(choice) for choice in range(3)] == [each.text() for each in alone]


async def test_more_choices_than_slots_are_all_answered(open_engine: OpenEngine) -> None:
    answer = await ask(await open_engine(slots=2), "Hello", choices=5)
    assert [answer.count(choice) for choice in range(5)] == [24] * 5
    assert all(answer.end(choice).reason is EndReason.LENGTH for choice in range(5))


async def test_an_answer_ends_at_its_limit(engine: LlamaEngine) -> None:
    answer = await ask(engine, "Hello", 3)
    assert (answer.count(), answer.end().reason) == (3, EndReason.LENGTH)


async def test_an_answer_ends_before_a_stop_string(engine: LlamaEngine) -> None:
    full = (await ask(engine, "Hello")).text()
    stop = full[5:8]
    answer = await ask(engine, "Hello", stop=(stop,))
    assert answer.text() == full[: full.index(stop)]
    assert (answer.end().reason, answer.end().stop) == (EndReason.STOP, stop)


async def test_an_answer_ends_at_the_end_token(engine: LlamaEngine) -> None:
    end = engine.tokenize(engine.info.end_text, control=True)[0]
    sampling = SamplingSettings(temperature=0, logit_bias={end: 100.0})
    answer = await ask(engine, "Hello", sampling=sampling, ignore_end=False)
    assert (answer.text(), answer.end().reason) == ("", EndReason.STOP)


async def test_bias_forces_and_forbids_tokens(engine: LlamaEngine) -> None:
    token = engine.tokenize("q", control=False)[0]
    forced = await ask(engine, "Hello", 5, sampling=SamplingSettings(temperature=0, logit_bias={token: 100.0}))
    assert forced.text() == "qqqqq"


@pytest.mark.parametrize("penalty", ["frequency_penalty", "presence_penalty", "repeat_penalty"])
async def test_penalties_make_repetition_rarer(engine: LlamaEngine, penalty: str) -> None:
    plain = await ask(engine, "Hello", 60, alternatives=0)
    changed: dict[str, Any] = {penalty: 2.0}
    sampling = dataclasses.replace(GREEDY, **changed)
    penalised = await ask(engine, "Hello", 60, alternatives=0, sampling=sampling)
    assert different_tokens(penalised) > different_tokens(plain)


def different_tokens(answer: Answer) -> int:
    return len({score.token for score in answer.scores()})


async def test_log_probabilities_are_those_of_a_softmax(engine: LlamaEngine) -> None:
    everything = engine.info.vocabulary
    answer = await ask(engine, "Hello", 4, alternatives=everything)
    for score in answer.scores():
        total = math.fsum(math.exp(alternative.logprob) for alternative in score.alternatives)
        assert total == pytest.approx(1.0, abs=1e-4)
        assert score.alternatives[0].logprob == pytest.approx(score.logprob)
        values = [alternative.logprob for alternative in score.alternatives]
        assert values == sorted(values, reverse=True)
    assert len(answer.scores()) == 4


SCHEMAS: dict[str, Any] = {
    "object": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 6},
            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            "kind": {"enum": ["sân khấu", "actor", 3, None]},
            "parts": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        },
        "required": ["name", "port", "kind", "parts"],
        "additionalProperties": False,
    },
    "choice": {
        "anyOf": [{"const": "yes"}, {"type": "object", "properties": {"x": {"type": "null"}}, "required": ["x"]}]
    },
}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("seed", range(1, 5))
async def test_a_schema_is_held_whatever_the_model_wants(engine: LlamaEngine, name: str, seed: int) -> None:
    constraint = Constraint(SchemaFormat(SCHEMAS[name]))
    sampling = SamplingSettings(temperature=1.2, seed=seed)
    answer = await ask(engine, "Hello", 400, constraint=constraint, sampling=sampling, ignore_end=False)
    assert answer.end().reason is EndReason.STOP
    value = json.loads(answer.text())
    if name == "choice":
        assert value in ("yes", {"x": None})
        return
    assert list(value) == ["name", "port", "kind", "parts"]
    assert len(value["name"]) <= 6
    assert 1 <= value["port"] <= 65535
    assert value["kind"] in SCHEMAS["object"]["properties"]["kind"]["enum"]
    assert 1 <= len(value["parts"]) <= 3 and all(part in (True, False) for part in value["parts"])


async def test_greedy_under_a_grammar_takes_the_likeliest_token_it_allows(engine: LlamaEngine) -> None:
    answer = await ask(
        engine, "Hello", 8, constraint=Constraint(PatternFormat("[a-f]{20}")), alternatives=engine.info.vocabulary
    )
    for score in answer.scores():
        allowed = [each for each in score.alternatives if len(each.token) == 1 and each.token in b"abcdef"]
        assert score.token == allowed[0].token


async def test_a_grammar_waits_for_its_trigger(engine: LlamaEngine) -> None:
    token = engine.tokenize("<tool_call>", control=True)
    free = await ask(engine, "Hello", 10, sampling=SamplingSettings(temperature=1, seed=1))
    constraint = Constraint(GrammarFormat("gbnf", 'root ::= "xyz"'), after="<tool_call>")
    waiting = await ask(engine, "Hello", 10, sampling=SamplingSettings(temperature=1, seed=1), constraint=constraint)
    assert waiting.text() == free.text()
    forced = SamplingSettings(temperature=0, logit_bias={token[0]: 100.0})
    triggered = await ask(engine, "Hello", 10, sampling=forced, constraint=constraint, ignore_end=False)
    assert triggered.text() == "<tool_call>xyz"


async def test_a_grammar_that_is_none_is_refused(engine: LlamaEngine) -> None:
    with pytest.raises(RpcError) as refusal:
        engine.submit(job(engine, "Hello", constraint=Constraint(GrammarFormat("gbnf", 'root ::= "a" ('))))
    assert refusal.value.reason == "INVALID_SCHEMA"


async def test_what_does_not_fit_the_context_is_refused_with_the_counts(engine: LlamaEngine) -> None:
    with pytest.raises(RpcError) as refusal:
        engine.submit(job(engine, "a " * 1500, 1000))
    assert refusal.value.reason == "CONTEXT_LENGTH_EXCEEDED"
    counts = {key: int(value) for key, value in refusal.value.metadata.items()}
    assert counts == {
        "prompt_tokens": len(engine.tokenize("a " * 1500, control=True)),
        "max_tokens": 1000,
        "context_tokens": 2048,
    }


async def test_a_call_may_fill_the_context_to_the_last_token(engine: LlamaEngine) -> None:
    prompt = "a" * 2000
    answer = await ask(engine, prompt, 2048 - len(engine.tokenize(prompt, control=True)))
    assert answer.cost.prompt_tokens + answer.count() == 2048


async def test_more_than_may_wait_is_refused(open_engine: OpenEngine) -> None:
    engine = await open_engine(slots=1, queue_limit=2)
    streams = [engine.submit(job(engine, "Hello", 1000)) for _ in range(3)]
    with pytest.raises(RpcError) as refusal:
        engine.submit(job(engine, "Hello"))
    assert refusal.value.reason == "QUEUE_FULL"
    assert refusal.value.retry_after is not None and refusal.value.retry_after > 0
    for stream in streams:
        stream.cancel()


async def test_answers_that_outgrow_the_cache_together_are_all_completed(open_engine: OpenEngine) -> None:
    engine = await open_engine(slots=4, context=256, cache_tokens=256, answer_reserve=16)
    answers = await asyncio.gather(*(ask(engine, prompt, 120, alternatives=8) for prompt in PROMPTS[:4]))
    roomy = await open_engine(slots=4)
    for answer, prompt in zip(answers, PROMPTS, strict=False):
        assert answer.count() == 120
        assert_same(answer, await ask(roomy, prompt, 120, alternatives=8))


async def test_a_failed_computation_fails_every_call_and_is_told(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await open_engine(slots=1)
    monkeypatch.setattr(NativeContext, "decode", lambda *_: -3)
    for _ in range(2):
        with pytest.raises(RpcError, match=r"code -3") as failure:
            await ask(engine, "Hello")
        assert failure.value.reason == "ENGINE_CRASHED"
    assert (await asyncio.wait_for(engine.failure, 5)).reason == "ENGINE_CRASHED"


@pytest.mark.parametrize(
    ("prompt", "wanted", "advice"),
    [
        (
            90,
            20,
            "and 20 more are wanted, but the model's context holds 100. Shorten the conversation or lower "
            "max_tokens to 10.",
        ),
        (100, 1, "The prompt has 100 tokens, but the model's context holds 100. Shorten the conversation."),
    ],
)
def test_only_who_can_lower_max_tokens_is_told_to(prompt: int, wanted: int, advice: str) -> None:
    assert context_exceeded(prompt, wanted, 100).message.endswith(advice)
