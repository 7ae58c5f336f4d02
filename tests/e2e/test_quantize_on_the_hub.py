"""Quantizing through the doors of a hub that runs, whose processes are killed under it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import websockets

from bus import Code, RpcError
from bus.testing.nats_server import free_port
from troupe.chat.v1 import CompleteRequest, Sampling
from troupe.gpu.v1 import WatchRequest
from troupe.job.v1 import CancelJobRequest, GetJobRequest, JobState, ListJobsRequest, WatchJobRequest
from troupe.model.v1 import GetModelRequest, QuantizedModel, QuantizeModelRequest, RemoveModelRequest
from troupe_client import Hub, connect

START_SECONDS = 90
PATIENCE_SECONDS = 300
TEXT = "The hub listens on a port. Whoever asks it something is answered by a model that it has loaded. " * 5
SETTINGS = """
[supervisor]
actors = ["gpu", "models", "llama", "jobs"]

[actors.llama]
preload = []

[[actors.gpu.devices]]
name = "small"
kind = "fixed"
memory = "2GiB"
"""


class Place:
    """A hub that runs, its doors, and its processes."""

    def __init__(self, client: Hub, home: Path, process: asyncio.subprocess.Process, http: int, grpc: int) -> None:
        self.client = client
        self.models = home / "models"
        self.process = process
        self.http = http
        self.grpc = grpc

    async def quantize(
        self, kind: str, name: str = "", text: str = TEXT, source: str = "troupe-tiny"
    ) -> QuantizedModel:
        request = QuantizeModelRequest(name=source, quantization=kind, new_name=name, text=text)
        async for response in self.client.models.quantize_model(request):
            if response.HasField("model"):
                return response.model
        raise AssertionError

    async def begun(self, name: str) -> str:
        """The id of a job that is at it: it has said how far it is."""
        request = QuantizeModelRequest(name="troupe-tiny", quantization="Q4_K_M", new_name=name, detached=True)
        [response] = [each async for each in self.client.models.quantize_model(request)]
        await self.goes_on(response.job_id)
        return response.job_id

    async def goes_on(self, job: str) -> None:
        """Return once a process has said how far it is."""
        async for response in self.client.jobs.watch_job(WatchJobRequest(id=job)):
            if response.job.progress.fraction > 0:
                return

    async def ended(self, job: str) -> int:
        """The state in which it has ended."""
        async for _ in self.client.jobs.watch_job(WatchJobRequest(id=job)):
            continue
        return (await self.client.jobs.get_job(GetJobRequest(id=job))).job.state

    def found(self, *words: str) -> Iterator[int]:
        """Processes of this hub whose command line has these words."""
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError):
                said = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                if all(word in said for word in words) and self.process.pid in _ancestors(int(folder.name)):
                    yield int(folder.name)

    def left(self) -> list[str]:
        """What lies in the folder of models, but for an empty one that jobs work in."""
        return sorted(path.name for path in self.models.rglob("*") if path.name != ".quantizing")


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        yield pid


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Place]:
    (tmp_path / "models").mkdir()
    (tmp_path / "troupe.toml").write_text(SETTINGS)
    http, grpc = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "--config", str(tmp_path / "troupe.toml"), "up", "--home", str(tmp_path)),
        *("--http-port", str(http), "--grpc-port", str(grpc)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            while b"Processes" not in (line := await process.stdout.readline()):
                assert line
        async with asyncio.timeout(PATIENCE_SECONDS), connect(f"127.0.0.1:{grpc}") as client:
            yield Place(client, tmp_path, process, http, grpc)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def test_a_model_is_made_that_answers_and_what_cannot_be_is_refused_with_a_reason(hub: Place) -> None:
    request = QuantizeModelRequest(name="troupe-tiny", quantization="q4_k_m", text=TEXT)
    first, *told, last = [each async for each in hub.client.models.quantize_model(request)]
    assert (len(first.job_id), "troupe-tiny is Q8_0 itself" in first.warnings[0]) == (32, True)
    shares = [each.progress.fraction for each in told]
    assert shares and shares == sorted(shares) and shares[-1] <= 1
    made = last.model
    assert (made.name, made.source, made.quantization) == ("troupe-tiny-Q4_K_M", "llama/troupe-tiny", "Q4_K_M")
    assert made.size_bytes < made.source_bytes
    assert made.divergence.tokens > 50 and 0 < made.divergence.mean_kl < 1
    model = (await hub.client.models.get_model(GetModelRequest(name=made.name))).model
    assert (model.quantization, model.note) == ("Q4_K_M", "Made from troupe-tiny Q8_0 by quantizing.")
    asked = CompleteRequest(model=made.name, prompt="The hub", max_tokens=8, sampling=Sampling(temperature=0))
    assert "".join([each.delta.text async for each in hub.client.chat.complete(asked)])
    [job] = (await hub.client.jobs.list_jobs(ListJobsRequest(kind="model.quantize"))).jobs
    assert (job.title, job.id) == ("Quantize troupe-tiny as troupe-tiny-Q4_K_M", first.job_id)
    assert (model.license, model.source) == ("Apache-2.0", "quantized from llama/troupe-tiny (Q8_0)")
    assert hub.left() == [f"{made.name}{ending}" for ending in (".LICENSE", ".gguf", ".origin.json")]
    (hub.models / "cut.gguf").write_bytes((hub.models / f"{made.name}.gguf").read_bytes()[:1_000_000])
    for given, code, reason in (
        (("Q4_K_M",), Code.ALREADY_EXISTS, "MODEL_EXISTS"),
        (("Q5_K_M", "troupe-tiny"), Code.ALREADY_EXISTS, "MODEL_EXISTS"),
        (("Q9", ""), Code.INVALID_ARGUMENT, "QUANTIZATION_UNKNOWN"),
        (("Q5_K_M", "../x"), Code.INVALID_ARGUMENT, "NAME_INVALID"),
        (("Q8_0", ""), Code.FAILED_PRECONDITION, "QUANTIZATION_SAME"),
        (("Q5_K_M", "", "Short."), Code.INVALID_ARGUMENT, "TEXT_TOO_SHORT"),
        (("Q5_K_M", "", "a" * 30_000), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (("Q5_K_M", "", TEXT, "troupe-tini"), Code.NOT_FOUND, "MODEL_NOT_FOUND"),
        (("Q5_K_M", "", TEXT, "cut"), Code.FAILED_PRECONDITION, "QUANTIZATION_UNSUPPORTED"),
    ):
        with pytest.raises(RpcError) as caught:
            await hub.quantize(*given)
        assert (caught.value.code, caught.value.reason) == (code, reason), given
    await hub.client.models.remove_model(RemoveModelRequest(name=made.name, force=True))
    assert hub.left() == ["cut.gguf"]


async def test_it_goes_on_after_its_process_its_actor_and_its_stage_were_killed_and_a_cancelled_one_is_gone(
    hub: Place,
) -> None:
    job = await hub.begun("first")
    for pid in list(hub.found("actors.llama.quantize_process")):
        os.kill(pid, signal.SIGKILL)
    assert await hub.ended(job) == JobState.JOB_STATE_SUCCEEDED
    job = await hub.begun("second")
    [process] = hub.found("actors.llama.quantize_process")
    os.kill(process, signal.SIGSTOP)  # not even that leaves an orphan
    [actor] = hub.found("actors", "llama")
    os.kill(actor, signal.SIGKILL)
    assert await hub.ended(job) == JobState.JOB_STATE_SUCCEEDED
    assert not Path(f"/proc/{process}").exists()
    job = await hub.begun("third")
    [stage] = hub.found("actors", "gpu")
    os.kill(stage, signal.SIGKILL)
    assert await hub.ended(job) == JobState.JOB_STATE_SUCCEEDED
    job = await hub.begun("fourth")
    await hub.client.jobs.cancel_job(CancelJobRequest(id=job))
    assert await hub.ended(job) == JobState.JOB_STATE_CANCELLED
    assert list(hub.found("actors.llama.quantize_process")) == []
    names = [
        f"{name}{ending}" for name in ("first", "second", "third") for ending in (".LICENSE", ".gguf", ".origin.json")
    ]
    assert hub.left() == sorted(names)
    async for response in hub.client.stage.watch(WatchRequest(machine="local", once=True)):
        assert [lease.name for lease in response.leases if lease.name.startswith("quantize/")] == []


async def test_it_is_the_same_over_websocket_and_in_the_terminal(hub: Place) -> None:
    given = {"name": "troupe-tiny", "quantization": "F16", "newName": "plain", "text": TEXT}
    opened = {"protocolVersion": 1, "method": "troupe.model.v1.ModelService/QuantizeModel", "initialCredit": 1000}
    async with websockets.connect(f"ws://127.0.0.1:{hub.http}/ws", proxy=None) as socket:
        await socket.send(json.dumps({"callId": "quantize", "open": opened, "payload": [given], "halfClose": True}))
        frames: list[dict[str, Any]] = []
        while not frames or "close" not in frames[-1]:
            frames.append(json.loads(await socket.recv()))
    [made] = [piece["model"] for frame in frames for piece in frame.get("payload", ()) if "model" in piece]
    assert (made["name"], made["sourceQuantization"], made["divergence"]["tokens"] > 50) == ("plain", "Q8_0", True)
    ended = await _troupe(hub, "models", "quantize", "plain", "Q8_0", "--as", "small")
    assert ended.startswith("small: Q8_0, ") and "made from llama/plain (F16, " in ended
    listed = await _troupe(hub, "jobs")
    assert [line.split()[1] for line in listed.splitlines()[1:]] == ["succeeded", "succeeded"]


async def _troupe(hub: Place, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *words, "--target", f"127.0.0.1:{hub.grpc}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()
