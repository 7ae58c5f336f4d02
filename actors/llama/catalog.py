"""Which models and adapters there are: GGUF files in folders, by the name of the file."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from actors.llama.engine_limits import context_tokens
from actors.llama.settings import LlamaSettings
from actors.model.card import card_of_gguf, describe, read_origin
from actors.model.gguf_file import PART, parts, read_header
from actors.model.gguf_header import ModelHeader
from actors.model.interface import Engine
from actors.model.overrides import Overrides
from actors.model.refusals import not_found
from bus import RpcError
from troupe.chat.v1 import ChatService
from troupe.embedding.v1 import EmbeddingService
from troupe.model.v1 import Model

FAMILY = "llama"
SHIPPED = Path(__file__).parent / "models"
"""Models that come with Troupe."""
ENTRIES_LIMIT = 10_000
"""Models that a list may have, and files that are looked at in one folder."""
COMPLETES_ONLY = "No chat template, text completion only."
ORIGIN = "troupe.quantized_from"
"""Key under which a file that was quantized here names what it was made from."""
NO_MODELS = ("adapter", "mmproj", "imatrix", "vocab")
"""Values of general.type that say "this is only a part of something"."""


def model_folders(home: Path, settings: LlamaSettings) -> list[Path]:
    """Where models are looked for; of equal names the first counts."""
    return [SHIPPED, home / "models", *(Path(each).expanduser() for each in settings.model_folders)]


def adapter_folders(home: Path, settings: LlamaSettings) -> list[Path]:
    """Where adapters are looked for; of equal names the first counts."""
    return [home / "adapters", *(Path(each).expanduser() for each in settings.adapter_folders)]


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that may be loaded. Exactly one of `header` and `error` is set.

    path: its file, or the first of several. modified_ns: when the last one of its files was changed. files: how many of
    them there are. overrides: settings under which it is to run instead of the family's.
    """

    name: str
    path: Path
    modified_ns: int
    header: ModelHeader | None
    error: str = ""
    files: int = 1
    overrides: Overrides = field(default_factory=Overrides)

    @property
    def services(self) -> list[str]:
        """Full names of what the model offers: of chat only Complete, where there is no template to chat with."""
        if self.header is None:
            return []
        chat = ChatService.INFO.name if self.header.template else ChatService.INFO.methods["Complete"].full_name
        embedding = [EmbeddingService.INFO.name] if self.header.embeds else []
        return [*([] if self.header.embeds_only else [chat]), *embedding]


class Catalog:
    """Looks into folders whenever it is asked; a file's header is read again only when the file has changed."""

    def __init__(self, models: Sequence[Path], adapters: Sequence[Path]) -> None:
        self._models = models
        self._adapters = adapters
        self._read: dict[Path, Entry] = {}
        self.place = ""
        """What is looked at now; it stays while a disk does not answer."""

    def entries(self) -> dict[str, Entry]:
        """All models by name."""
        found = _by_name(self._entry(name, path) for name, path in self._files(self._models))
        models = {name: entry for name, entry in found.items() if not _is_part(entry)}
        self.place = ""
        return dict(sorted(models.items())[:ENTRIES_LIMIT])

    def adapters_for(self, architecture: str) -> list[str]:
        """Names of adapters that were made for models of this kind."""
        found = _by_name(self._entry(name, path) for name, path in self._files(self._adapters))
        self.place = ""
        return sorted(name for name, entry in found.items() if _fits(entry, architecture))

    def adapter_bytes(self, architecture: str, limit: int) -> int:
        """Bytes of the `limit` largest adapters that were made for models of this kind."""
        found = _by_name(self._entry(name, path) for name, path in self._files(self._adapters))
        self.place = ""
        sizes = [each.header.size_bytes for each in found.values() if each.header and _fits(each, architecture)]
        return sum(sorted(sizes, reverse=True)[:limit])

    def describe(self, entry: Entry, settings: LlamaSettings) -> Model:
        """What the contract says of a model; its state is left to the caller."""
        model = Model(name=entry.name, services=entry.services, family=FAMILY, error=entry.error)
        model.owner = "troupe" if entry.path.parent == SHIPPED else "user"
        model.modified.FromNanoseconds(entry.modified_ns)
        header = entry.header
        if header is not None:
            model.architecture, model.quantization = header.architecture, header.quantization
            model.parameters, model.size_bytes = header.parameters, header.size_bytes
            model.context_tokens = context_tokens(header, settings)
            model.embedding_dimensions = header.embedding_dimensions
            model.adapters.extend(self.adapters_for(header.architecture))
            model.description = header.text("general.description") or header.text("general.name")
            model.chat_template = bool(header.template) and not header.embeds_only
            if not model.chat_template and not header.embeds_only:
                model.note = COMPLETES_ONLY
            if origin := header.text(ORIGIN):
                model.note = f"{model.note} Made from {origin} by quantizing.".strip()
            describe(model, read_origin(entry.path.parent, entry.name).over(card_of_gguf(header)))
        return model

    def _files(self, folders: Sequence[Path]) -> Iterable[tuple[str, Path]]:
        for folder in folders:
            self.place = str(folder)
            yield from _files([folder])

    def _entry(self, name: str, path: Path) -> Entry | None:
        self.place = str(path)
        changes = [when for part in parts(path) if (when := _modified_ns(part)) is not None]
        if not changes:
            return None
        known = self._read.get(path)
        if known is None or (known.modified_ns, known.files) != (max(changes), len(changes)):
            known = self._read[path] = _read(name, path, max(changes), len(changes))
        return known


class AdapterFolders:
    """Loads adapters into an engine by name."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    async def ensure(self, name: str, engine: Engine) -> None:
        """Have an adapter loaded, anew if its file has changed.

        Raises RpcError ADAPTER_NOT_FOUND, MODEL_LOAD_FAILED.
        """
        files = dict(reversed(list(_files(self._folders))))
        if name not in files:
            raise not_found("adapter", name, list(files), "ADAPTER_NOT_FOUND")
        await engine.load_adapter(name, files[name])


def _files(folders: Sequence[Path]) -> Iterable[tuple[str, Path]]:
    for folder in folders:
        for path in sorted(islice(_gguf_in(folder), ENTRIES_LIMIT)):
            name = _name(path)
            if name:
                yield name, path


def _gguf_in(folder: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as found:
        for each in found:
            if each.name.endswith(".gguf"):
                yield Path(each)


def _name(path: Path) -> str:
    """The file's name without its ending; of a model in several files only the first has one."""
    part = PART.fullmatch(path.stem)
    if part is None:
        return path.stem
    return part["name"] if int(part["number"]) == 1 else ""


def _modified_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _read(name: str, path: Path, modified: int, files: int) -> Entry:
    try:
        return Entry(name, path, modified, read_header(path), files=files)
    except RpcError as problem:
        return Entry(name, path, modified, None, problem.message, files)


def _by_name(entries: Iterable[Entry | None]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry is not None:
            found.setdefault(entry.name, entry)
    return found


def _is_part(entry: Entry) -> bool:
    return entry.header is not None and entry.header.text("general.type") in NO_MODELS


def _fits(entry: Entry, architecture: str) -> bool:
    header = entry.header
    return header is not None and header.text("general.type") == "adapter" and header.architecture == architecture
