"""Every family keeps the contract of a family: in processes of its own on a real bus, or in its actor's."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.model.family import Family
from actors.model.interface import Engine
from actors.model.launcher import Subprocess, SubprocessLauncher
from actors.model.process_watch import ProcessWatch
from actors.model.testing import Subject, family_contract
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.embedded import EmbeddedServer
from host.member import Member
from host.settings import Settings, load
from tests.actors.models.words import WordEngine, WordsActor
from troupe.family.v1 import FamilyService


class Launcher(SubprocessLauncher):
    """Knows the process of each model."""

    def __init__(self, module: str, home: Path) -> None:
        environment = {"TROUPE_HOME": str(home), "TROUPE_CONFIG": "", "NATS_URL": "", "OMP_NUM_THREADS": "1"}
        super().__init__(module, environment)
        self.processes: dict[str, Subprocess] = {}

    async def launch(self, name: str, path: Path, instance: str) -> Subprocess:
        self.processes[name] = await super().launch(name, path, instance)
        return self.processes[name]

    def pid(self, name: str) -> int:
        return self.processes[name].pid


@contextlib.asynccontextmanager
async def served(family: str, home: Path) -> AsyncIterator[Member]:
    async with EmbeddedServer(home):
        async with Member(load(environ={"TROUPE_HOME": str(home)}), family) as member:
            yield member


@contextlib.asynccontextmanager
async def running(member: Member, family: str, actor: Family[Any]) -> AsyncIterator[None]:
    async with actor:
        member.heart.trouble = actor.trouble  # as the runner does
        await member.serve(actor, FamilyService.INFO, family)
        yield
        await member.drain(1)


async def test_the_family_of_words(tmp_path: Path) -> None:
    (tmp_path / "one.words").write_text("a b c d")
    (tmp_path / "two.words").write_text("a b")

    async def open_engine() -> Engine:
        return WordEngine(["a", "b", "c", "d"])

    async with Member(Settings(home=tmp_path), "words", transport=MemoryTransport(MemoryBroker())) as member:
        async with running(member, "words", WordsActor("words", tmp_path, member)):
            await family_contract(Subject(member, "words", ("one", "two"), open_engine))


async def test_the_family_of_llama_cpp(tmp_path: Path, models: Path) -> None:
    from actors.llama.engine import LlamaEngine
    from actors.llama.settings import LlamaSettings
    from actors.llama.shelf import LlamaShelf

    settings = LlamaSettings(preload=[], threads=1)
    shutil.copytree(models, tmp_path / "models")

    async def open_engine() -> Engine:
        return await LlamaEngine.open(tmp_path / "models" / "fixture.gguf", settings)

    launcher = Launcher("actors.llama.worker", tmp_path)
    async with served("llama", tmp_path) as member:
        watch = ProcessWatch(member)
        async with running(member, "llama", Family("llama", LlamaShelf(tmp_path, settings, launcher, watch))):
            await family_contract(Subject(member, "llama", ("fixture", "fixture-b"), open_engine, launcher.pid))
        watch.stop()


async def test_the_family_of_transformers(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the part transformers is not installed")
    from actors.transformers.engine import TransformersEngine
    from actors.transformers.settings import TransformersSettings
    from actors.transformers.shelf import TransformersShelf
    from tests.actors.transformers.tiny import write_chat

    settings = TransformersSettings(threads=1)
    await asyncio.to_thread(write_chat, tmp_path / "models" / "one", 0)
    await asyncio.to_thread(write_chat, tmp_path / "models" / "two", 1)

    async def open_engine() -> Engine:
        return await TransformersEngine.open(tmp_path / "models" / "one", settings)

    launcher = Launcher("actors.transformers.worker", tmp_path)
    async with served("transformers", tmp_path) as member:
        watch = ProcessWatch(member)
        shelf = TransformersShelf(tmp_path, settings, launcher, watch)
        async with running(member, "transformers", Family("transformers", shelf)):
            await family_contract(Subject(member, "transformers", ("one", "two"), open_engine, launcher.pid))
        watch.stop()
