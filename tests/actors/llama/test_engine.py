"""The engine on real llama.cpp and a random model: the same answers as plain decoding, whatever else goes on."""

import asyncio
import ctypes
import dataclasses
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
import pytest

from actors.llama.binding import NativeContext
from actors.llama.catalog import SHIPPED
from actors.llama.engine import LlamaEngine
from actors.llama.interface import (
    Constraint,
    Cost,
    Embedding,
    Ended,
    EndReason,
    Event,
    Job,
    Prefilling,
    Queued,
    SamplingSettings,
    Tokens,
    TokenScore,
)
from actors.llama.schema import compile_schema
from actors.llama.settings import LlamaSettings
from actors.llama.stream import EventStream
from bus import RpcError

OpenEngine = Callable[..., Awaitable[LlamaEngine]]
GREEDY = SamplingSettings(temperature=0)
QUESTIONS = [
    "Which command starts Troupe?",
    "Lệnh nào khởi động Troupe?",
    "What is a troupe?",
    "Which port does gRPC use?",
    "Cổng HTTP là gì?",
    "What is credit?",
    "What does troupe doctor do?",
    "Who is the president?",
]
PROMPTS = [
    "Hello",
    "Xin chào các bạn",
    "What is a troupe?",
    "Sân khấu là gì?",
    "one two three",
    "(",
    "a b c d",
    "the end",
]


@dataclass
class Answer:
    """All that came of a job."""

    events: list[Event] = field(default_factory=list)

    def text(self, choice: int = 0) -> str:
        return "".join(event.text for event in self._tokens(choice))

    def count(self, choice: int = 0) -> int:
        return sum(event.count for event in self._tokens(choice))

    def scores(self, choice: int = 0) -> list[TokenScore]:
        return [score for event in self._tokens(choice) for score in event.scores]

    def end(self, choice: int = 0) -> Ended:
        return next(event for event in self.events if isinstance(event, Ended) and event.choice == choice)

    @property
    def cost(self) -> Cost:
        last = self.events[-1]
        assert isinstance(last, Cost)
        return last

    def _tokens(self, choice: int) -> list[Tokens]:
        return [event for event in self.events if isinstance(event, Tokens) and event.choice == choice]


async def collect(stream: EventStream[Event]) -> Answer:
    answer = Answer()
    async with asyncio.timeout(20):
        async for events in stream:
            answer.events.extend(events)
    return answer


def assert_same(left: Answer, right: Answer) -> None:
    """The same tokens, up to the first near tie: in other batches the numbers differ in the second decimal."""
    assert len(left.scores()) == len(right.scores())
    for mine, other in zip(left.scores(), right.scores(), strict=True):
        if mine.token != other.token:
            near = [each.token for each in mine.alternatives if mine.logprob - each.logprob < 0.15]
            assert other.token in near
            return


def chat(question: str) -> str:
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


async def ask(engine: LlamaEngine, prompt: str, max_tokens: int = 24, **options: Any) -> Answer:
    return await collect(engine.submit(job(engine, prompt, max_tokens, **options)))


def job(engine: LlamaEngine, prompt: str, max_tokens: int = 24, **options: Any) -> Job:
    given: dict[str, Any] = {"sampling": GREEDY, "ignore_end": True, **options}
    return Job(engine.tokenize(prompt, control=True), max_tokens, **given)


def plain_greedy(path: Path, prompt: str, count: int) -> bytes:
    """Greedy decoding with nothing but llama.cpp's simplest calls."""
    model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
    parameters = llama.llama_context_default_params()
    parameters.n_ctx, parameters.n_threads, parameters.n_threads_batch = 512, 1, 1
    context = llama.llama_init_from_model(model, parameters)
    vocabulary = llama.llama_model_get_vocab(model)
    size = llama.llama_vocab_n_tokens(vocabulary)
    data = prompt.encode()
    tokens = (llama.llama_token * 256)()
    length = llama.llama_tokenize(vocabulary, data, len(data), tokens, 256, False, True)
    buffer = ctypes.create_string_buffer(64)
    text = b""
    for _ in range(count):
        assert llama.llama_decode(context, llama.llama_batch_get_one(tokens, length)) == 0
        logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(context, -1), (size,))
        token = int(logits.argmax())
        if not llama.llama_vocab_is_control(vocabulary, token):
            written = llama.llama_token_to_piece(vocabulary, token, buffer, 64, 0, True)
            text += buffer.raw[:written]
        tokens[0], length = token, 1
    llama.llama_free(context)
    llama.llama_model_free(model)
    return text


@pytest.fixture
async def engine(open_engine: OpenEngine) -> LlamaEngine:
    return await open_engine(slots=8)


@pytest.fixture
async def shipped() -> AsyncIterator[LlamaEngine]:
    """An engine on the model that Troupe ships: a trained one, whose choices are clear."""
    engine = await LlamaEngine.open(SHIPPED / "troupe-tiny.gguf", LlamaSettings(threads=1))
    yield engine
    await engine.close()


@pytest.mark.parametrize("prompt", PROMPTS[:3])
async def test_greedy_text_is_that_of_a_plain_loop(engine: LlamaEngine, models: Path, prompt: str) -> None:
    answer = await ask(engine, prompt, 40)
    assert answer.text() == plain_greedy(models / "fixture.gguf", prompt, 40).decode("utf-8", "replace")


async def test_eight_at_once_say_what_each_says_alone(shipped: LlamaEngine) -> None:
    together = await asyncio.gather(*(ask(shipped, chat(question), 40, ignore_end=False) for question in QUESTIONS))
    alone = [await ask(shipped, chat(question), 40, ignore_end=False) for question in QUESTIONS]
    assert [answer.text() for answer in together] == [answer.text() for answer in alone]
    assert len({answer.text() for answer in together}) > 3


async def test_a_seed_gives_the_same_text_alone_and_in_company(shipped: LlamaEngine) -> None:
    sampling = SamplingSettings(temperature=1.0, seed=42)
    alone = await ask(shipped, chat(QUESTIONS[0]), sampling=sampling)
    others = [ask(shipped, chat(question), sampling=SamplingSettings(seed=7)) for question in QUESTIONS[1:]]
    again, *_ = await asyncio.gather(ask(shipped, chat(QUESTIONS[0]), sampling=sampling), *others)
    assert again.text() == alone.text()


async def test_another_seed_gives_another_text(engine: LlamaEngine) -> None:
    texts = [(await ask(engine, "Hello", sampling=SamplingSettings(seed=seed))).text() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


async def test_a_reused_beginning_changes_nothing_but_the_cost(engine: LlamaEngine, open_engine: OpenEngine) -> None:
    prompt = "You are a helpful actor on a stage. " * 6
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
@pytest.mark.parametrize("seed", range(4))
async def test_a_schema_is_held_whatever_the_model_wants(engine: LlamaEngine, name: str, seed: int) -> None:
    constraint = Constraint(compile_schema(SCHEMAS[name]))
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
        engine, "Hello", 8, constraint=Constraint("root ::= [a-f]{20}"), alternatives=engine.info.vocabulary
    )
    for score in answer.scores():
        allowed = [each for each in score.alternatives if len(each.token) == 1 and each.token in b"abcdef"]
        assert score.token == allowed[0].token


async def test_a_grammar_waits_for_its_trigger(engine: LlamaEngine) -> None:
    token = engine.tokenize("<tool_call>", control=True)
    free = await ask(engine, "Hello", 10, sampling=SamplingSettings(temperature=1, seed=1))
    constraint = Constraint('root ::= "xyz"', trigger="<tool_call>")
    waiting = await ask(engine, "Hello", 10, sampling=SamplingSettings(temperature=1, seed=1), constraint=constraint)
    assert waiting.text() == free.text()
    forced = SamplingSettings(temperature=0, logit_bias={token[0]: 100.0})
    triggered = await ask(engine, "Hello", 10, sampling=forced, constraint=constraint, ignore_end=False)
    assert triggered.text() == "<tool_call>xyz"


async def test_a_grammar_that_is_none_is_refused(engine: LlamaEngine) -> None:
    with pytest.raises(RpcError) as refusal:
        engine.submit(job(engine, "Hello", constraint=Constraint('root ::= "a" (')))
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


# ---- step by step


@pytest.fixture
async def stepped(models: Path) -> AsyncIterator[LlamaEngine]:
    """An engine that computes only when told, with one slot and small steps."""
    settings = LlamaSettings(threads=1, slots=1, batch=64)
    engine = LlamaEngine.load(models / "fixture.gguf", settings, asyncio.get_running_loop())
    yield engine
    await engine.close()


async def outcome(stream: EventStream[Event]) -> str:
    try:
        await collect(stream)
    except RpcError as problem:
        return problem.reason
    return "complete"


async def test_cancelling_while_generating_frees_the_slot_within_one_step(stepped: LlamaEngine) -> None:
    stream = stepped.submit(job(stepped, "Hello", 100))
    for _ in range(4):
        stepped.step()
    assert (stepped.running, stepped.steps) == (1, 4)
    stream.cancel()
    stepped.step()
    assert (stepped.running, stepped.steps) == (0, 4)
    assert await outcome(stream) == "CANCELLED"


async def test_cancelling_while_the_prompt_is_read_frees_the_slot_within_one_step(stepped: LlamaEngine) -> None:
    stream = stepped.submit(job(stepped, "a " * 200, 10))
    stepped.step()
    stream.cancel()
    stepped.step()
    assert (stepped.running, stepped.steps) == (0, 1)
    assert await outcome(stream) == "CANCELLED"


async def test_cancelling_while_queued_frees_the_place_within_one_step(stepped: LlamaEngine) -> None:
    first, second = stepped.submit(job(stepped, "Hello", 100)), stepped.submit(job(stepped, "Hello", 100))
    stepped.step()
    assert (stepped.running, stepped.waiting) == (1, 1)
    second.cancel()
    stepped.step()
    assert (stepped.running, stepped.waiting) == (1, 0)
    assert await outcome(second) == "CANCELLED"
    first.cancel()


async def test_cancelling_one_call_does_not_touch_another(stepped: LlamaEngine) -> None:
    first, second = stepped.submit(job(stepped, "Hello", 5)), stepped.submit(job(stepped, "Xin chào", 5))
    stepped.step()
    first.cancel()
    while stepped.step():
        pass
    assert await outcome(second) == "complete"


async def test_a_queued_call_hears_its_position_and_then_that_it_runs(stepped: LlamaEngine) -> None:
    first, second = stepped.submit(job(stepped, "Hello", 5)), stepped.submit(job(stepped, "Hello", 5))
    while stepped.step():
        pass
    await collect(first)
    kinds = [type(event) for event in (await collect(second)).events if not isinstance(event, Tokens)]
    assert kinds == [Queued, Prefilling, Ended, Cost]


async def test_a_long_prompt_tells_how_far_it_is(stepped: LlamaEngine) -> None:
    stream = stepped.submit(job(stepped, "q" * 200, 1))
    while stepped.step():
        pass
    told = [event for event in (await collect(stream)).events if isinstance(event, Prefilling)]
    assert [(event.done, event.total) for event in told] == [(done, 200) for done in (0, 64, 128, 192)]


async def test_a_cancelled_call_leaves_its_tokens_for_reuse(stepped: LlamaEngine) -> None:
    stream = stepped.submit(job(stepped, "a " * 100, 10))
    stepped.step()
    stream.cancel()
    again = stepped.submit(job(stepped, "a " * 100, 1))
    while stepped.step():
        pass
    assert (await collect(again)).cost.cached_tokens == 64
    assert await outcome(stream) == "CANCELLED"


async def test_closing_fails_what_runs_and_what_waits(models: Path) -> None:
    engine = await LlamaEngine.open(models / "fixture.gguf", LlamaSettings(threads=1, slots=1))
    streams = [engine.submit(job(engine, "Hello", 2000)) for _ in range(3)]
    await engine.close()
    assert [await outcome(stream) for stream in streams] == ["INTERRUPTED"] * 3
    with pytest.raises(RpcError) as refusal:
        engine.submit(job(engine, "Hello"))
    assert refusal.value.reason == "SHUTTING_DOWN"


# ---- adapters and embeddings


async def test_an_adapter_changes_only_the_calls_that_name_it(engine: LlamaEngine, models: Path) -> None:
    await engine.load_adapter("lora", models / "fixture-lora.gguf")
    adapters = ["", "lora"]
    alone = [await ask(engine, "Hello", alternatives=8, adapter=adapter) for adapter in adapters]
    assert alone[0].text()[:4] != alone[1].text()[:4]
    mixed = await asyncio.gather(*(ask(engine, "Hello", alternatives=8, adapter=adapter) for adapter in adapters * 4))
    for number, answer in enumerate(mixed):
        assert_same(answer, alone[number % 2])


async def test_an_adapter_that_is_not_loaded_is_refused(engine: LlamaEngine) -> None:
    with pytest.raises(RpcError) as refusal:
        engine.submit(job(engine, "Hello", adapter="lora"))
    assert refusal.value.reason == "ADAPTER_NOT_FOUND"


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model at all" * 100])
async def test_a_file_that_is_no_adapter_is_refused(engine: LlamaEngine, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(RpcError) as refusal:
        await engine.load_adapter("bad", path)
    assert refusal.value.reason == "MODEL_LOAD_FAILED"


async def test_a_model_is_no_adapter(engine: LlamaEngine, models: Path) -> None:
    with pytest.raises(RpcError, match="is no adapter") as refusal:
        await engine.load_adapter("model", models / "fixture-b.gguf")
    assert refusal.value.reason == "MODEL_LOAD_FAILED"


async def test_the_adapter_unused_for_longest_makes_room(open_engine: OpenEngine, models: Path) -> None:
    engine = await open_engine(adapter_limit=1)
    path = models / "fixture-lora.gguf"
    await engine.load_adapter("one", path)
    first = await ask(engine, "Hello", adapter="one")
    await engine.load_adapter("two", path)
    second = await ask(engine, "Hello", adapter="two")
    await engine.load_adapter("one", path)
    assert (await ask(engine, "Hello", adapter="one")).text() == second.text() == first.text()


async def embeddings(engine: LlamaEngine, inputs: list[list[int]]) -> list[Embedding]:
    async with asyncio.timeout(20):
        return [embedding async for some in engine.embed(inputs) for embedding in some]


async def test_embeddings_have_length_one_and_the_order_of_the_inputs(engine: LlamaEngine) -> None:
    inputs = [engine.tokenize(text, control=False) for text in [*PROMPTS, "long " * 300]]
    found = await embeddings(engine, inputs)
    assert [embedding.index for embedding in found] == list(range(len(inputs)))
    assert [embedding.tokens for embedding in found] == [len(tokens) for tokens in inputs]
    for embedding in found:
        assert len(embedding.values) == 64
        assert math.fsum(value * value for value in embedding.values) == pytest.approx(1.0, abs=1e-5)


async def test_an_embedding_is_the_same_alone_and_in_company(engine: LlamaEngine) -> None:
    inputs = [engine.tokenize(text, control=False) for text in PROMPTS]
    together = await embeddings(engine, inputs)
    for left, tokens in zip(together, inputs, strict=True):
        [right] = await embeddings(engine, [tokens])
        assert np.dot(left.values, right.values) == pytest.approx(1.0, abs=1e-3)
    assert np.dot(together[0].values, together[1].values) < 0.999


async def test_embeddings_go_on_beside_generation(engine: LlamaEngine) -> None:
    tokens = engine.tokenize("Xin chào", control=False)
    answer, [found] = await asyncio.gather(ask(engine, "Hello", 50), embeddings(engine, [tokens]))
    assert answer.count() == 50
    assert len(found.values) == 64


async def test_embeddings_that_nobody_wants_any_more_are_not_made(stepped: LlamaEngine) -> None:
    stream = stepped.embed([stepped.tokenize("Xin chào", control=False)] * 100)
    stepped.step()
    stream.cancel()
    assert not stepped.step()
    with pytest.raises(RpcError) as refusal:
        async for some in stream:
            assert len(some) < 100
    assert refusal.value.reason == "CANCELLED"


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
