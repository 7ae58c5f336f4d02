"""Jobs on a real, very small model: what is said, by how many at once, and how it ends."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from actors.model.interface import Cost, Ended, EndReason, Event, Job, Said, SamplingSettings, Tokens
from actors.model.stream import EventStream
from actors.transformers.engine import TransformersEngine
from actors.transformers.settings import TransformersSettings
from bus import RpcError

from .conftest import Open
from .tiny import write_chat

GREEDY = SamplingSettings(temperature=0)
PROMPTS = ["Hello", "the quick brown fox jumps over the lazy dog " * 3, "x", "Xin chào các bạn", "1 2 3 4 5 6"]


@dataclass
class Answer:
    events: list[Event]

    def tokens(self, choice: int = 0) -> list[Tokens]:
        return [event for event in self.events if isinstance(event, Tokens) and event.choice == choice]

    def ids(self, choice: int = 0, *, again: bool | None = None) -> list[int]:
        found = self.tokens(choice)
        return [token for event in found if again is None or event.again == again for token in event.ids]

    def text(self, choice: int = 0) -> str:
        return "".join(event.text for event in self.tokens(choice))

    def end(self, choice: int = 0) -> Ended:
        return next(event for event in self.events if isinstance(event, Ended) and event.choice == choice)

    @property
    def cost(self) -> Cost:
        last = self.events[-1]
        assert isinstance(last, Cost)
        return last


async def collect(stream: EventStream[Event]) -> Answer:
    answer = Answer([])
    async with asyncio.timeout(30):
        async for events in stream:
            answer.events.extend(events)
    return answer


def job(engine: TransformersEngine, prompt: str = "Hello", max_tokens: int = 24, **options: Any) -> Job:
    given: dict[str, Any] = {"sampling": GREEDY, "ignore_end": True, **options}
    return Job(engine.tokenize(prompt, control=True), max_tokens, **given)


async def ask(engine: TransformersEngine, prompt: str = "Hello", max_tokens: int = 24, **options: Any) -> Answer:
    return await collect(engine.submit(job(engine, prompt, max_tokens, **options)))


def plainly(folder: Path, prompt: list[int], count: int) -> list[int]:
    """Greedy tokens by nothing but the library's own generation."""
    net: Any = transformers.AutoModelForCausalLM.from_pretrained(folder)
    given = torch.tensor([prompt])
    with torch.inference_mode():
        said = net.generate(given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=count)
    return [int(token) for token in said[0, len(prompt) :]]


@pytest.mark.parametrize("model", ["chat", "sliding"])
async def test_greedy_answers_are_the_librarys_own_whatever_runs_beside_them(
    open_engine: Open, folders: Path, model: str
) -> None:
    engine = await open_engine(model, batch=16)
    answers = await asyncio.gather(*[ask(engine, prompt) for prompt in PROMPTS])
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert answer.ids() == plainly(folders / "models" / model, engine.tokenize(prompt, control=True), 24)
        assert len(set(answer.ids())) > 3  # it says more than one word over and over


async def test_several_answers_are_computed_together_and_one_joins_at_the_next_step(folders: Path) -> None:
    settings = TransformersSettings(threads=1)
    engine = TransformersEngine.load(folders / "models" / "chat", settings, asyncio.get_running_loop())
    first = engine.submit(job(engine, "Hello", 20))
    for _ in range(5):
        engine.step()
    second = engine.submit(job(engine, "the end", 20))
    while engine.step():
        pass
    assert engine.steps <= 26  # and not 40: most of them made a token of both
    alone = await open_alone(folders, "the end")
    assert (await collect(first)).cost.completion_tokens == 20
    assert (await collect(second)).ids() == alone
    await engine.close()


async def open_alone(folders: Path, prompt: str) -> list[int]:
    settings = TransformersSettings(threads=1)
    engine = TransformersEngine.load(folders / "models" / "chat", settings, asyncio.get_running_loop())
    stream = engine.submit(job(engine, prompt, 20))
    while engine.step():
        pass
    await engine.close()
    return (await collect(stream)).ids()


async def test_choices_share_the_reading_of_their_prompt_and_draw_for_themselves(open_engine: Open) -> None:
    engine = await open_engine()
    answer = await ask(engine, choices=3, sampling=SamplingSettings(temperature=1.0, seed=5))
    assert len({tuple(answer.ids(choice)) for choice in range(3)}) == 3
    assert answer.cost.completion_tokens == 72 and answer.cost.prompt_tokens == 5
    again = await ask(engine, choices=1, sampling=SamplingSettings(temperature=1.0, seed=6))
    assert again.ids() == answer.ids(1)


async def test_what_outgrows_the_cache_waits_and_loses_nothing(open_engine: Open) -> None:
    roomy, narrow = await open_engine(), await open_engine(context=128, cache_tokens=128)
    prompts = ["Hello", "the end", "x y z"]
    answers = await asyncio.gather(*[ask(narrow, prompt, 90) for prompt in prompts])
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer.ids() == (await ask(roomy, prompt, 90)).ids()
        assert answer.end().reason is EndReason.LENGTH


async def test_a_cancelled_job_frees_its_place_within_a_step(folders: Path) -> None:
    settings = TransformersSettings(threads=1, slots=1)
    engine = TransformersEngine.load(folders / "models" / "chat", settings, asyncio.get_running_loop())
    running, waiting = engine.submit(job(engine, "a", 100)), engine.submit(job(engine, "b", 3))
    for _ in range(3):
        engine.step()
    running.cancel()
    engine.step()
    with pytest.raises(RpcError, match="cancel"):
        await collect(running)
    assert (engine.running, engine.waiting) == (1, 0)
    while engine.step():
        pass
    assert (await collect(waiting)).cost.completion_tokens == 3
    await engine.close()


async def test_a_long_prompt_is_read_in_parts_and_may_be_cancelled_between_them(folders: Path) -> None:
    settings = TransformersSettings(threads=1, batch=16)
    engine = TransformersEngine.load(folders / "models" / "chat", settings, asyncio.get_running_loop())
    stream = engine.submit(job(engine, "a" * 200, 5))
    engine.step()
    stream.cancel()
    assert not engine.step()
    assert engine.running == 0
    await engine.close()


async def test_an_answer_ends_before_a_stop_string_and_at_the_end_of_a_turn(open_engine: Open, folders: Path) -> None:
    engine = await open_engine()
    whole = await ask(engine)
    letters = [event.text for event in whole.tokens()]
    stop = "".join(letters)[4:6]
    stopped = await ask(engine, stop=(stop,))
    assert stopped.end() == Ended(0, EndReason.STOP, stop)
    assert whole.text().startswith(stopped.text()) and stop not in stopped.text()


async def test_the_token_that_ends_a_turn_ends_the_answer_and_is_not_shown(open_engine: Open) -> None:
    engine = await open_engine()
    [end] = engine.tokenize("<|im_end|>", control=True)
    answer = await ask(engine, sampling=SamplingSettings(temperature=0, logit_bias={end: 1000.0}), ignore_end=False)
    assert (answer.ids(), answer.end().reason) == ([], EndReason.STOP)


@pytest.mark.parametrize(
    "sampling",
    [GREEDY, SamplingSettings(temperature=1.0, seed=11), SamplingSettings(temperature=0, repeat_penalty=1.5)],
    ids=["greedy", "drawn", "penalised"],
)
@pytest.mark.parametrize("delivered", [1, 7, 23])
async def test_an_answer_goes_on_as_it_would_have_been(
    open_engine: Open, sampling: SamplingSettings, delivered: int
) -> None:
    engine = await open_engine()
    whole = await ask(engine, sampling=sampling)
    said = (Said(whole.ids()[:delivered]),)
    rest = await ask(engine, sampling=sampling, said=said)
    assert rest.ids(again=True) == whole.ids()[:delivered]
    assert rest.ids() == whole.ids()
    assert rest.text() == whole.text()
    assert rest.cost.completion_tokens == whole.cost.completion_tokens


async def test_of_several_choices_each_goes_on_from_its_own_place(open_engine: Open) -> None:
    engine = await open_engine()
    drawn = SamplingSettings(temperature=1.0, seed=2)
    whole = await ask(engine, choices=3, sampling=drawn)
    said = (Said(whole.ids(0)[:3]), Said(whole.ids(1), ended=True), Said(whole.ids(2)))
    rest = await ask(engine, choices=3, sampling=drawn, said=said)
    assert [rest.ids(choice) for choice in range(3)] == [whole.ids(choice) for choice in range(3)]
    assert not [event for event in rest.events if isinstance(event, Ended) and event.choice == 1]
    assert rest.end(2).reason is EndReason.LENGTH


async def test_a_token_comes_with_its_likelihood_and_that_of_others(open_engine: Open) -> None:
    engine = await open_engine()
    answer = await ask(engine, max_tokens=4, alternatives=3)
    for event in answer.tokens():
        [score] = event.scores
        assert score.logprob == max(each.logprob for each in score.alternatives) <= 0
        assert len(score.alternatives) == 3


async def test_an_adapter_changes_answers_of_its_calls_alone(open_engine: Open, folders: Path) -> None:
    engine = await open_engine()
    plain = await ask(engine)
    await engine.load_adapter("pirate", folders / "adapters" / "pirate")
    mixed = await asyncio.gather(*[ask(engine, adapter=name) for name in ("pirate", "", "pirate", "")])
    assert mixed[0].ids() == mixed[2].ids() != plain.ids()
    assert mixed[1].ids() == mixed[3].ids() == plain.ids()


async def test_an_adapter_that_does_not_fit_is_refused_and_the_model_goes_on(open_engine: Open, folders: Path) -> None:
    engine = await open_engine()
    plain = await ask(engine)
    for _ in range(2):
        with pytest.raises(RpcError, match="does not fit") as refusal:
            await engine.load_adapter("wide", folders / "adapters" / "wide")
        assert refusal.value.reason == "MODEL_LOAD_FAILED"
    await engine.load_adapter("pirate", folders / "adapters" / "pirate")
    assert (await ask(engine, adapter="pirate")).ids() != plain.ids()
    assert (await ask(engine)).ids() == plain.ids()
    with pytest.raises(RpcError, match="not loaded"):
        engine.submit(job(engine, adapter="wide"))


async def test_of_more_adapters_than_the_limit_the_one_unused_for_longest_makes_room(
    open_engine: Open, folders: Path
) -> None:
    engine = await open_engine(adapter_limit=1)
    plain = (await ask(engine)).ids()
    pirate = folders / "adapters" / "pirate"
    await engine.load_adapter("pirate", pirate)
    said = (await ask(engine, adapter="pirate")).ids()
    await engine.load_adapter("second", pirate)
    assert (await ask(engine, adapter="second")).ids() == said
    with pytest.raises(RpcError, match="unloaded meanwhile"):
        await ask(engine, adapter="pirate")
    assert (await ask(engine)).ids() == plain


async def test_embeddings_are_the_same_alone_and_beside_others_and_of_length_one(open_engine: Open) -> None:
    for name in ("encoder", "chat"):
        engine = await open_engine(name, batch=32)
        texts = [engine.tokenize(text, control=False) for text in ("a", "the other day", "b c", "a", "long " * 5)]
        together = [each async for found in engine.embed(texts) for each in found]
        assert [each.index for each in together] == list(range(5))
        for place, tokens in enumerate(texts):
            [alone] = [each async for found in engine.embed([tokens]) for each in found]
            assert alone.values == pytest.approx(together[place].values, abs=1e-5)
            assert sum(value * value for value in alone.values) == pytest.approx(1.0, abs=1e-5)
            assert alone.tokens == len(tokens)
        assert together[0].values != pytest.approx(together[2].values, abs=0.01)


async def test_what_does_not_fit_is_refused_with_the_counts(open_engine: Open) -> None:
    engine = await open_engine(context=32, queue_limit=0, slots=1)
    with pytest.raises(RpcError, match="holds 32"):
        engine.submit(job(engine, "a" * 30, 10))
    stream = engine.submit(job(engine, "a", 20))
    with pytest.raises(RpcError) as full:
        engine.submit(job(engine, "a", 20))
    assert full.value.reason == "QUEUE_FULL"
    await collect(stream)


async def test_closing_ends_what_runs_and_nothing_more_is_taken(open_engine: Open) -> None:
    engine = await open_engine()
    stream = engine.submit(job(engine, "a", 400))
    await engine.close()
    with pytest.raises(RpcError) as ended:
        await collect(stream)
    assert ended.value.reason == "INTERRUPTED"
    with pytest.raises(RpcError) as refused:
        engine.submit(job(engine))
    assert refused.value.reason == "SHUTTING_DOWN"


async def test_a_step_that_fails_is_heard_by_every_caller(open_engine: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await open_engine()

    def broken(*_: object) -> None:
        raise ValueError("a broken kernel")

    monkeypatch.setattr(engine._network, "logits", broken)
    jobs = [engine.submit(job(engine, text)) for text in ("a", "b")]
    for stream in jobs:
        with pytest.raises(RpcError, match="broken kernel"):
            await collect(stream)
    assert (await engine.failure).reason == "ENGINE_CRASHED"


async def test_a_model_that_lacks_a_tensor_is_not_served_with_noise_in_its_place(tmp_path: Path) -> None:
    folder = write_chat(tmp_path / "cut", num_hidden_layers=1)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 1', '"num_hidden_layers": 2'))
    with pytest.raises(RpcError, match="lack") as refusal:
        await TransformersEngine.open(folder, TransformersSettings(threads=1))
    assert refusal.value.reason == "MODEL_LOAD_FAILED"


async def test_loading_tells_how_far_it_is_and_ends_when_nobody_wants_it(folders: Path) -> None:
    shares: list[float] = []
    engine = await TransformersEngine.open(folders / "models" / "chat", TransformersSettings(threads=1), shares.append)
    await engine.close()
    assert len(shares) > 10 and shares == sorted(shares) and shares[-1] > 0.9
    with pytest.raises(RpcError, match="cancel"):
        TransformersEngine.load(
            folders / "models" / "chat", TransformersSettings(threads=1), asyncio.get_running_loop(), lambda _: False
        )


async def test_a_gguf_file_is_unpacked_with_its_progress_and_chats(models: Path) -> None:
    shares: list[float] = []
    engine = await TransformersEngine.open(models / "fixture.gguf", TransformersSettings(threads=1), shares.append)
    try:
        assert shares == sorted(shares) and len([share for share in shares if share < 0.9]) > 10
        assert engine.info.template and engine.info.context_tokens == 2048
        first, second = await ask(engine), await ask(engine)
        assert first.ids() == second.ids() and first.cost.completion_tokens == 24
    finally:
        await engine.close()
