"""Folders with very small models, and engines on them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the part transformers is not installed")
pytest.importorskip("transformers", reason="the part transformers is not installed")

from actors.transformers.engine import TransformersEngine
from actors.transformers.settings import TransformersSettings

from .tiny import write_adapter, write_chat, write_encoder, write_sliding

Open = Callable[..., Awaitable[TransformersEngine]]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with models chat, sliding, encoder, and adapters pirate, wide; wide does not fit."""
    home = tmp_path_factory.mktemp("transformers")
    write_chat(home / "models" / "chat")
    write_sliding(home / "models" / "sliding")
    write_encoder(home / "models" / "encoder")
    write_adapter(home / "adapters" / "pirate", home / "models" / "chat")
    write_chat(home / "other" / "wide", hidden_size=48)
    write_adapter(home / "adapters" / "wide", home / "other" / "wide")
    return home


@pytest.fixture
async def open_engine(folders: Path) -> AsyncIterator[Open]:
    """Opens an engine on one of the models, with settings by keyword; closes them at the end."""
    engines = []

    async def open_one(name: str = "chat", **settings: Any) -> TransformersEngine:
        given = TransformersSettings(**{"threads": 1, **settings})
        engines.append(await TransformersEngine.open(folders / "models" / name, given))
        return engines[-1]

    yield open_one
    for engine in engines:
        await engine.close()
