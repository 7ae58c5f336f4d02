"""Engines on very small models."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.llama.catalog import SHIPPED
from actors.llama.engine import LlamaEngine
from actors.llama.settings import LlamaSettings

from .engine_jobs import OpenEngine


@pytest.fixture
async def open_engine(models: Path) -> AsyncIterator[OpenEngine]:
    """Opens engines on the fixture model with settings by keyword; closes them at the end."""
    engines = []

    async def open_one(**settings: Any) -> LlamaEngine:
        engine = await LlamaEngine.open(models / "fixture.gguf", LlamaSettings(**{"threads": 1, **settings}))
        engines.append(engine)
        return engine

    yield open_one
    for engine in engines:
        await engine.close()


@pytest.fixture
async def engine(open_engine: OpenEngine) -> LlamaEngine:
    return await open_engine(slots=8)


@pytest.fixture
async def shipped() -> AsyncIterator[LlamaEngine]:
    """An engine on the model that Troupe ships: a trained one, whose choices are clear."""
    engine = await LlamaEngine.open(SHIPPED / "troupe-tiny.gguf", LlamaSettings(threads=1))
    yield engine
    await engine.close()


@pytest.fixture
async def stepped(models: Path) -> AsyncIterator[LlamaEngine]:
    """An engine that computes only when told, with one slot and small steps."""
    settings = LlamaSettings(threads=1, slots=1, batch=64)
    engine = LlamaEngine.load(models / "fixture.gguf", settings, asyncio.get_running_loop())
    yield engine
    await engine.close()
