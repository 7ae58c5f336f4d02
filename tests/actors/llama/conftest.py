"""Very small random models, and engines on them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from actors.llama.engine import LlamaEngine
from actors.llama.settings import LlamaSettings
from forge.random_weights import write_fixtures

OpenEngine = Callable[..., Awaitable[LlamaEngine]]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fixture.gguf, fixture-b.gguf and fixture-lora.gguf."""
    folder = tmp_path_factory.mktemp("models")
    write_fixtures(folder)
    return folder


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
