"""LoRA adapters in the engine."""

import asyncio
from pathlib import Path

import pytest

from actors.llama.engine import LlamaEngine
from bus import RpcError

from .engine_jobs import (
    OpenEngine,
    ask,
    assert_same,
    job,
)


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
