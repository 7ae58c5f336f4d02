"""Quantizing as jobs, with llama.cpp itself, interrupted wherever one likes."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from actors.llama import placing
from actors.llama.catalog import Catalog
from actors.llama.quantization import KINDS, result_bytes
from actors.llama.quantizing import KIND, LANE, WORK, Quantizing
from actors.llama.settings import LlamaSettings
from actors.llama.shelf import LlamaShelf
from actors.model.card import read_origin
from actors.model.gguf_file import read_header
from actors.model.launcher import SubprocessLauncher
from bus import Code, RpcError
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.jobs import Jobs, outcome, rules
from host.jobs import worker as work
from store import store_of
from troupe.model.v1 import QuantizedModel, QuantizeModelRequest
from troupe.rpc.v1 import Progress

TEXT = "The hub listens on a port, and whoever calls it is answered in the end. " * 12
PATIENCE_SECONDS = 240


class Place:
    """The worker on a bus of this process's own, with one model in a home's folder."""

    def __init__(self, home: Path, model: Path) -> None:
        self.models = home / "models"
        self.models.mkdir(parents=True, exist_ok=True)
        shutil.copy(model, self.models / "source.gguf")
        self._home = home
        self._broker = MemoryBroker()
        self._life = AsyncExitStack()

    async def __aenter__(self) -> Self:
        transport = MemoryTransport(self._broker, "llama")
        self.jobs = Jobs(store_of(transport), "llama")
        self._life.push_async_callback(self.jobs.close)
        settings = LlamaSettings(threads=1)
        known = LlamaShelf(self._home, settings, SubprocessLauncher(""))
        await self._life.enter_async_context(Quantizing(known, self._home, settings, self.jobs))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._life.aclose()

    async def restart(self) -> None:
        await self._life.aclose()
        await self.__aenter__()

    async def submit(self, kind: str = "Q4_K_M", name: str = "made", text: str = TEXT, source: str = "source") -> str:
        request = QuantizeModelRequest(name=f"llama/{source}", quantization=kind, new_name=name, text=text)
        return (await self.jobs.submit(KIND, request, lane=LANE)).id

    async def made(self, job: str) -> QuantizedModel:
        async for told in outcome(self.jobs, job, "", QuantizedModel):
            if isinstance(told, QuantizedModel):
                return told
        raise AssertionError

    async def begun(self, job: str) -> None:
        """Return once its process has said how far it is."""
        async for told in outcome(self.jobs, job, "", QuantizedModel):
            if isinstance(told, Progress):
                return
        raise AssertionError

    async def until(self, job: str, *states: object) -> None:
        async for record in self.jobs.follow(job, ""):
            if record.job.state in states:
                return
        raise AssertionError

    def left(self) -> list[str]:
        """Everything in the folder of models."""
        return sorted(str(path.relative_to(self.models)) for path in self.models.rglob("*"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(work, "WRITE_SECONDS", 0.01)
    monkeypatch.setattr(rules, "FIRST_DELAY_SECONDS", 0.1)


@pytest.fixture
async def place(tmp_path: Path, models: Path) -> AsyncIterator[Place]:
    async with asyncio.timeout(PATIENCE_SECONDS), Place(tmp_path / "home", models / "fixture.gguf") as place:
        yield place


def children() -> list[int]:
    """Processes that quantize and were started by this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"actors.llama.quantize_process" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


async def test_a_model_is_made_compared_and_put_beside_the_others(place: Place) -> None:
    (place.models / "source.LICENSE").write_text("Do what you like.\n")
    (place.models / "source.sampling.json").write_text('{"temperature": 0.2}')
    made = await place.made(await place.submit("Q5_K_M"))
    assert (made.name, made.source, made.quantization, made.source_quantization) == (
        "made", "llama/source", "Q5_K_M", "Q8_0"
    )  # fmt: skip
    assert made.divergence.tokens > 100
    assert 0 < made.divergence.mean_kl < made.divergence.p99_kl
    assert 0 < made.divergence.same_top <= 1
    assert made.divergence.perplexity > 1
    assert not made.divergence.own_text
    assert "source is Q8_0 itself" in made.warnings[0]
    header = read_header(place.models / "made.gguf")
    assert (header.quantization, header.text("troupe.quantized_from")) == ("Q5_K_M", "source Q8_0")
    assert made.size_bytes == (place.models / "made.gguf").stat().st_size
    licence = (place.models / "made.LICENSE").read_text()
    assert all(part in licence for part in (made.sha256, "made from llama/source (Q8_0)", "Do what you like."))
    assert (place.models / "made.sampling.json").read_text() == '{"temperature": 0.2}'
    assert read_origin(place.models, "made").source == "quantized from llama/source (Q8_0)"
    entry = Catalog([place.models], []).entries()["made"]
    assert "Made from source Q8_0 by quantizing." in Catalog([place.models], []).describe(entry, LlamaSettings()).note


async def test_more_bits_diverge_less_and_sizes_are_bounded_as_foretold(place: Place) -> None:
    plain = await place.made(await place.submit("F16", "plain"))
    assert plain.divergence.mean_kl < 1e-3
    found = [await place.made(await place.submit(kind, kind, source="plain")) for kind in ("Q4_K_M", "Q8_0")]
    assert found[0].divergence.mean_kl > 10 * found[1].divergence.mean_kl > 0
    assert [list(each.warnings) for each in found] == [[], []]
    header = read_header(place.models / "plain.gguf")
    for each in found:
        assert each.size_bytes <= result_bytes(header, KINDS[each.quantization])


async def test_the_hubs_own_text_is_taken_where_none_is_given(place: Place) -> None:
    made = await place.made(await place.submit(text=""))
    assert (made.divergence.own_text, made.divergence.tokens > 1000) == (True, True)


async def test_a_cancelled_one_leaves_nothing_and_no_process(place: Place) -> None:
    job = await place.submit(text="")
    await place.begun(job)
    await place.jobs.ask(job, "", rules.CANCEL)
    await place.until(job, rules.CANCELLED)
    assert children() == []
    await place.restart()  # has swept, too, when it has ended
    assert [each for each in place.left() if each != WORK] == ["source.gguf"]


async def test_a_killed_process_is_begun_again(place: Place) -> None:
    job = await place.submit(text="")
    await place.begun(job)
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    assert (await place.made(job)).size_bytes
    record = await place.jobs.find(job, "")
    assert record.job.failed_attempts <= 1


async def test_a_worker_that_leaves_gives_it_to_the_next_and_a_finished_file_is_not_written_again(place: Place) -> None:
    job = await place.submit()
    await place.begun(job)
    await place.jobs.ask(job, "", rules.PAUSE)
    await place.until(job, rules.PAUSED)
    assert children() == []
    folder = place.models / WORK / job
    shutil.copy(place.models / "source.gguf", folder / "made.gguf")  # as if it had come so far
    await place.restart()
    await place.jobs.resume(job, "")
    made = await place.made(job)
    assert made.size_bytes == (place.models / "source.gguf").stat().st_size
    assert made.divergence.mean_kl == 0


async def test_what_a_job_has_left_that_was_ended_meanwhile_is_swept(place: Place) -> None:
    job = await place.submit(text="")
    await place.begun(job)
    await place.jobs.ask(job, "", rules.PAUSE)
    await place.until(job, rules.PAUSED)
    assert (place.models / WORK / job).exists()
    await place.jobs.ask(job, "", rules.CANCEL)
    await place.until(job, rules.CANCELLED)
    await _gone(place.models / WORK)


async def _gone(path: Path) -> None:
    while path.exists():
        await asyncio.sleep(0.01)


class Bad(NamedTuple):
    """Something that cannot be, and what is said of it."""

    does: Callable[[Path], object]
    code: Code
    reason: str
    text: str = TEXT


BAD = {
    "the name is taken": Bad(
        lambda models: (models / "made.gguf").write_text("mine"), Code.ALREADY_EXISTS, "MODEL_EXISTS"
    ),
    "the source is gone": Bad(lambda models: (models / "source.gguf").unlink(), Code.NOT_FOUND, "MODEL_NOT_FOUND"),
    "the source is cut": Bad(
        lambda models: os.truncate(models / "source.gguf", 100_000),
        Code.FAILED_PRECONDITION,
        "QUANTIZATION_UNSUPPORTED",
    ),
    "the text is short": Bad(lambda models: None, Code.INVALID_ARGUMENT, "TEXT_TOO_SHORT", "Too short."),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_is_told_and_leaves_nothing(place: Place, name: str) -> None:
    bad = BAD[name]
    bad.does(place.models)
    before = [each for each in place.left() if not each.startswith(WORK)]
    with pytest.raises(RpcError) as caught:
        await place.made(await place.submit(text=bad.text))
    assert (caught.value.code, caught.value.reason) == (bad.code, bad.reason)
    await place.restart()
    assert [each for each in place.left() if each != WORK] == before


async def test_a_disk_without_room_is_told_before_anything_is_written(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = LlamaShelf(tmp_path / "home", LlamaSettings(), SubprocessLauncher(""))
    entry = known.entries()["source"]
    answer = known.prepare_quantization(entry, "q4_k_m", "")
    assert (answer.lane, answer.quantization, answer.new_name) == (LANE, "Q4_K_M", "source-Q4_K_M")
    usage = shutil.disk_usage(tmp_path)._replace(free=answer.size_bytes - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(RpcError) as caught:
        known.prepare_quantization(entry, "Q4_K_M", "")
    assert caught.value.reason == "DISK_FULL"


async def test_a_disk_that_becomes_full_is_told_and_leaves_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(placing, "place", full)
    with pytest.raises(RpcError) as caught:
        await place.made(await place.submit())
    assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "DISK_FULL")
    await place.restart()
    assert [each for each in place.left() if each != WORK] == ["source.gguf"]


async def test_a_real_disk_that_becomes_full_in_the_middle_is_told_and_leaves_nothing(
    tmp_path: Path, models: Path
) -> None:
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False)
    if mounted.returncode != 0:
        pytest.skip("only root may make a small disk")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), Place(tmp_path / "home", models / "fixture.gguf") as place:
            job = await place.submit(text="")
            await place.begun(job)
            with suppress(OSError):
                (folder / "filler").write_bytes(bytes(8 << 20))
            with pytest.raises(RpcError) as caught:
                await place.made(job)
            assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "DISK_FULL")
            await place.restart()
            assert [each for each in place.left() if each != WORK] == ["filler", "source.gguf"]
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
