"""Which models and adapters there are: folders of safetensors, by their names."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from actors.model.card import describe, read_origin
from actors.model.interface import Engine
from actors.model.overrides import Overrides
from actors.model.refusals import not_found
from actors.transformers.folder import Facts, Source, is_model, read_facts, read_json, stamp
from actors.transformers.limits import context_tokens
from actors.transformers.safetensors_file import Tensor, read_tensors
from actors.transformers.settings import TransformersSettings
from bus import RpcError
from troupe.chat.v1 import ChatService
from troupe.embedding.v1 import EmbeddingService
from troupe.model.v1 import Model

FAMILY = "transformers"
ENTRIES_LIMIT = 10_000
"""Models that a list may have, and files that are looked at in one folder."""
COMPLETES_ONLY = "No chat template, text completion only."
ADAPTER = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def model_folders(home: Path, settings: TransformersSettings) -> list[Path]:
    """Where models are looked for; of equal names the first counts."""
    return [home / "models", *(Path(each).expanduser() for each in settings.model_folders)]


def adapter_folders(home: Path, settings: TransformersSettings) -> list[Path]:
    """Where adapters are looked for; of equal names the first counts."""
    return [home / "adapters", *(Path(each).expanduser() for each in settings.adapter_folders)]


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that may be loaded. Exactly one of `facts` and `error` is set."""

    name: str
    path: Path
    stamp: tuple[tuple[str, int, int], ...]
    facts: Facts | None = field(compare=False)
    error: str = ""
    overrides: Overrides = field(default_factory=Overrides)
    """Settings under which it is to run instead of the family's."""

    @property
    def services(self) -> list[str]:
        """Full names of what the model offers."""
        if self.facts is None:
            return []
        if not self.facts.generates:
            return [EmbeddingService.INFO.name]
        chat = ChatService.INFO.name if self.facts.chats else ChatService.INFO.methods["Complete"].full_name
        return [chat, EmbeddingService.INFO.name]


class Catalog:
    """Looks into folders whenever it is asked; a model's files are read again only when they have changed."""

    def __init__(self, models: Sequence[Path], adapters: Sequence[Path], *, gguf: bool) -> None:
        self._models = models
        self._adapters = adapters
        self._gguf = gguf
        self._read: dict[Path, Entry] = {}
        self.place = ""
        """What is looked at now; it stays while a disk does not answer."""

    def entries(self) -> dict[str, Entry]:
        """All models by name."""
        found: dict[str, Entry] = {}
        for folder in self._models:
            for path in _children(folder):
                self.place = str(path)
                name = self._name(path)
                if name and name not in found and (entry := self._entry(name, path)) is not None:
                    found[name] = entry
        self.place = ""
        self._read = {entry.path: entry for entry in found.values()}
        return dict(sorted(found.items())[:ENTRIES_LIMIT])

    def adapters_for(self, facts: Facts) -> list[str]:
        """Names of adapters whose matrices fit a model's."""
        return sorted(name for name, path in adapters(self._adapters).items() if _fits(path, facts))

    def describe(self, entry: Entry, settings: TransformersSettings) -> Model:
        """What the contract says of a model; its state is left to the caller."""
        model = Model(name=entry.name, services=entry.services, family=FAMILY, error=entry.error, owner="user")
        model.modified.FromNanoseconds(max((modified for _, modified, _ in entry.stamp), default=0))
        facts = entry.facts
        if facts is not None:
            model.architecture, model.quantization = facts.architecture, facts.quantization
            model.parameters, model.size_bytes = facts.parameters, facts.size_bytes
            model.context_tokens = context_tokens(facts, settings)
            model.embedding_dimensions = facts.dimensions
            model.chat_template = facts.chats
            if facts.generates:
                model.adapters.extend(self.adapters_for(facts))
            if facts.generates and not facts.chats:
                model.note = COMPLETES_ONLY
            describe(model, read_origin(entry.path.parent, entry.name).over(facts.card))
        return model

    def _name(self, path: Path) -> str:
        if path.is_dir():
            return path.name if is_model(path) else ""
        return path.stem if self._gguf and path.suffix == ".gguf" else ""

    def _entry(self, name: str, path: Path) -> Entry | None:
        source = Source.of(path)
        try:
            changed = stamp(source)
        except OSError:
            return None
        known = self._read.get(path)
        # What was refused is looked at again: a package may have been installed meanwhile.
        return known if known is not None and known.stamp == changed and not known.error else _read(name, path, source)


class AdapterFolders:
    """Loads adapters into an engine by name."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    async def ensure(self, name: str, engine: Engine) -> None:
        """Have an adapter loaded, anew if its file has changed.

        Raises RpcError ADAPTER_NOT_FOUND, MODEL_LOAD_FAILED.
        """
        found = adapters(self._folders)
        if name not in found:
            raise not_found("adapter", name, list(found), "ADAPTER_NOT_FOUND")
        await engine.load_adapter(name, found[name])


def adapters(folders: Sequence[Path]) -> dict[str, Path]:
    """Folders with adapters, as PEFT saves them, by name."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in _children(folder):
            if (path / ADAPTER).is_file() and (path / WEIGHTS).is_file():
                found.setdefault(path.name, path)
    return found


def _fits(path: Path, facts: Facts) -> bool:
    """Whether every pair of matrices of a LoRA has its matrix in the model. Other kinds are told by trying."""
    try:
        if read_json(path / ADAPTER).get("peft_type") != "LORA":
            return False
        tensors = read_tensors([path / WEIGHTS])
    except (ValueError, OSError):
        return False
    inputs = {name: each for name, each in tensors.items() if name.endswith(".lora_A.weight")}
    return bool(inputs) and all(_has(facts, name, each) for name, each in inputs.items())


def _has(facts: Facts, name: str, matrix: Tensor) -> bool:
    module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
    there = facts.tensors.get(f"{module}.weight")
    return there is not None and len(there.shape) == 2 and matrix.shape[-1] in there.shape


def _children(folder: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as found:
        yield from sorted(Path(each) for each in islice(found, ENTRIES_LIMIT) if not each.name.startswith("."))


def _read(name: str, path: Path, source: Source) -> Entry:
    changed = stamp(source)
    try:
        return Entry(name, path, changed, read_facts(source))
    except RpcError as problem:
        return Entry(name, path, changed, None, problem.message)
    except (ValueError, OSError) as problem:
        return Entry(name, path, changed, None, f"{name} cannot be loaded: {problem}")
