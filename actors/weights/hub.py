"""Models that come from a Hugging Face hub, or from whoever speaks its protocol."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from actors.model.card import Origin, write_origin
from actors.weights.fetch import WORK
from actors.weights.hub_files import Source
from bus import Code, RpcError
from host.process import dying_with_parent
from troupe.weights.v1 import PulledFile, PulledModel

LOOK_SECONDS = 0.5
"""How often the size of what has come is looked at."""
LINE_BYTES = 4 * 1024 * 1024
"""One line of the process that downloads: it names every file."""
ENVIRONMENT = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}


class HubModel:
    """Brings one model of a repository. What has come of a file is kept, and gone on with.

    home: the folder of models. endpoint: the hub's address; empty: huggingface_hub's own setting (HF_ENDPOINT).
    """

    def __init__(self, source: Source, name: str, home: Path, endpoint: str = "") -> None:
        self._source = source
        self._name = name
        self._home = home
        self._endpoint = endpoint
        key = sha256(f"{source} {name}".encode()).hexdigest()  # one source under two names is two downloads
        self._folder = home / WORK / f"hf-{key[:24]}"

    @property
    def title(self) -> str:
        """See `Bringer`."""
        return self._name or str(self._source)

    def present(self) -> bool:
        """See `Bringer`. What a repository would bring is not known without asking it."""
        return False

    async def bring(self, told: Callable[[float], None]) -> PulledModel:
        """See `Bringer`. Raises RpcError with the reasons of PullModel."""
        await asyncio.to_thread(lambda: self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700))
        process = await asyncio.create_subprocess_exec(
            *dying_with_parent("KILL"),
            *(["nice", "-n", "10"] if shutil.which("nice") else []),
            *(sys.executable, "-m", "actors.weights.hub_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LINE_BYTES,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
        try:
            model = await self._conversation(process, told)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
        told(0.99)
        result = await asyncio.to_thread(self._place, model)
        await self.forget()
        return result

    async def forget(self) -> None:
        """See `Bringer`."""
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        await asyncio.to_thread(self._mark.unlink, missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self._folder.parent / f"{self._folder.name}.revision"

    async def _conversation(self, process: asyncio.subprocess.Process, told: Callable[[float], None]) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        request = {"source": asdict(self._source), "endpoint": self._endpoint, "folder": str(self._folder)}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.close()
        model: dict[str, Any] = {}
        done, failure = False, None
        watching: asyncio.Task[None] | None = None
        try:
            while line := await process.stdout.readline():
                said = json.loads(line)
                if "error" in said:
                    failure = self._error(said["error"])
                if "model" in said:
                    model = said["model"]
                    await asyncio.to_thread(self._check_free, model)
                    watching = asyncio.create_task(self._watch(model, told), name=f"size of {self.title}")
                done = done or "done" in said
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
        if failure is not None:
            raise failure
        if done:
            return model
        message = f"The download of {self.title} ended without a word; what has come is kept. Ask again."
        raise RpcError(Code.UNAVAILABLE, message, reason="SOURCE_UNAVAILABLE")

    async def _watch(self, model: dict[str, Any], told: Callable[[float], None]) -> None:
        whole = sum(file["size"] for file in model["files"]) or 1
        while True:
            told(0.98 * min(1.0, await asyncio.to_thread(self._come, model) / whole))
            await asyncio.sleep(LOOK_SECONDS)

    def _come(self, model: dict[str, Any]) -> int:
        come = 0
        for file in model["files"]:
            with suppress(OSError):
                come += (self._folder / file["path"]).stat().st_size
        return come

    def _places(self, model: dict[str, Any]) -> tuple[str, dict[str, str]]:
        """What the model will be called, and where each of its files will lie."""
        paths: list[str] = [file["path"] for file in model["files"]]
        if model["folder"]:
            name = self._name or model["name"]
            return name, {path: f"{name}/{path}" for path in paths}
        if len(paths) > 1:
            return model["name"], {path: Path(path).name for path in paths}
        name = self._name or model["name"]
        return name, dict.fromkeys(paths, f"{name}.gguf")

    def _check_free(self, model: dict[str, Any]) -> None:
        """Raises RpcError ALREADY_EXISTS (MODEL_EXISTS)."""
        _, places = self._places(model)
        for place in {place.partition("/")[0] for place in places.values()}:
            if (self._home / place).exists():
                message = f"There is a {place} among the models already; give the new one a name, or remove that."
                raise RpcError(Code.ALREADY_EXISTS, message, reason="MODEL_EXISTS", field="name")

    def _place(self, model: dict[str, Any]) -> PulledModel:
        """Where models are looked for; each file, or the folder of them, by one rename."""
        files: list[dict[str, Any]] = model["files"]
        self._check_free(model)
        name, places = self._places(model)
        self._home.mkdir(parents=True, exist_ok=True)
        licence = self._licence(name, model)
        origin = Origin(
            source=f"hf:{self._source.repo}@{model['revision']}",
            license=model["license"],
            languages=model["languages"],
            specialties=model["tags"],
        )
        write_origin(self._home, name, origin)
        if model["folder"]:
            whole = self._folder / ".whole"
            whole.mkdir(exist_ok=True)
            for file in files:
                (self._folder / file["path"]).replace(whole / file["path"])
            whole.replace(self._home / name)
        else:
            for file in reversed(files):  # the first part makes the model seen
                (self._folder / file["path"]).replace(self._home / places[file["path"]])
        written = self._folder / ".licence"
        written.write_text(licence, "utf-8")
        written.replace(self._home / f"{name}.LICENSE")
        return PulledModel(
            name=name,
            source=f"hf:{self._source.repo}@{model['revision']}",
            license=model["license"],
            files=[PulledFile(path=places[file["path"]], size=file["size"], sha256=file["sha256"]) for file in files],
        )

    def _licence(self, name: str, model: dict[str, Any]) -> str:
        terms = [(self._folder / path).read_text("utf-8", "replace") for path in model["licences"]]
        hashes = "".join(f"SHA-256 of {file['path']}: {file['sha256']}\n" for file in model["files"] if file["sha256"])
        return (
            f"{name}: hf:{self._source.repo}, revision {model['revision']}.\n{hashes}"
            f"Licence: {model['license'] or 'its source does not say'}.\n\n" + "\n\n".join(terms)
        )

    def _error(self, said: dict[str, Any]) -> RpcError:
        return RpcError(
            Code(said["code"]),
            said["message"],
            reason=said["reason"],
            metadata=said.get("metadata"),
            field=said.get("field", ""),
        )
