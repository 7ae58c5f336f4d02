"""Very small random models, as files."""

from pathlib import Path

import pytest

from forge.random_weights import write_fixtures


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fixture.gguf, fixture-b.gguf and fixture-lora.gguf."""
    folder = tmp_path_factory.mktemp("models")
    write_fixtures(folder)
    return folder
