"""Adapters that are loaded, by the version of their file."""

from collections.abc import Collection
from pathlib import Path

from actors.llama.binding import NativeContext, NativeModel, load_failed
from actors.model.gguf_file import read_header


def adapter_key(name: str, path: Path) -> str:
    """Names an adapter's content: a file that was replaced gets another key, so that nothing cached is confused."""
    status = path.stat()
    return f"{name}@{status.st_mtime_ns:x}-{status.st_size:x}"


def check_adapter(path: Path, architecture: str) -> None:
    """Refuse files that are no adapter for this architecture. Raises RpcError MODEL_LOAD_FAILED."""
    header = read_header(path)
    if header.text("general.type") != "adapter":
        raise load_failed(
            f"{path.name} is no adapter: its general.type is {header.text('general.type') or 'absent'!r}."
        )
    if header.architecture != architecture:
        raise load_failed(
            f"{path.name} is an adapter for {header.architecture}; this model is of the kind {architecture}."
        )


class AdapterShelf:
    """Keeps at most `limit` adapters; the one unused for longest makes room. On the engine's thread."""

    def __init__(self, model: NativeModel, context: NativeContext, limit: int) -> None:
        self._model = model
        self._context = context
        self._limit = limit
        self._by_use: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        return not key or key in self._by_use

    def load(self, key: str, path: Path, in_use: Collection[str]) -> None:
        """Load a file under a key unless it is there; adapters in use stay. Raises RpcError MODEL_LOAD_FAILED."""
        if key not in self._by_use:
            self._make_room(in_use)
            self._model.load_adapter(key, path)
        self.touch(key)

    def touch(self, key: str) -> None:
        """Note that an adapter is used."""
        if key:
            self._by_use.pop(key, None)
            self._by_use[key] = None

    def _make_room(self, in_use: Collection[str]) -> None:
        idle = [key for key in self._by_use if key not in in_use]
        for key in idle[: max(0, len(self._by_use) - self._limit + 1)]:
            del self._by_use[key]
            # The context must not hold it any longer: a new adapter may come to lie at the same address.
            self._context.use_adapter("")
            self._model.free_adapter(key)
