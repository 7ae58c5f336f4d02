"""What tests of several folders share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bus.testing import NatsServer

TESTS = Path(__file__).parent

WHOLE = (
    "actors/llama",
    "actors/model/test_family_contract.py",
    "actors/model/test_gguf_file.py",
    "actors/model/test_service.py",
    "actors/models",
    "actors/transformers",
    "actors/weights",
    "bench",
    "bus/test_nats_restart.py",
    "cli",
    "clients",
    "deploy/test_hooks.py",
    "deploy/test_wheel.py",
    "e2e",
    "forge",
    "gateway/openai/test_end_to_end.py",
    "host/test_supervisor.py",
    "kills",
)
"""Folders and files with engines, browsers, whole hubs, or programs by the dozen. The rest is marked fast."""


def _whole(path: Path) -> bool:
    return any(path.relative_to(TESTS).is_relative_to(each) for each in WHOLE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whoever asks for the fast tests alone does not wait for the others' imports."""
    return True if config.getoption("markexpr") == "fast" and _whole(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not _whole(item.path) and item.get_closest_marker("long") is None:
            item.add_marker("fast")


settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    max_examples=60,
    stateful_step_count=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.register_profile(
    "thorough", parent=settings.get_profile("default"), derandomize=False, max_examples=1000, stateful_step_count=100
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS server of this test's own, with JetStream: on a free port of the loopback, its data in a new folder."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()
