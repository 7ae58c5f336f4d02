"""Removing a model's files: only those that lie in the hub's own folder, and all that belong to them."""

from pathlib import Path

from actors.llama.catalog import SHIPPED
from actors.model.card import ORIGIN
from actors.model.gguf_file import PART
from actors.model.refusals import not_removable

BESIDE = (".LICENSE", ".sampling.json", ORIGIN)
"""What lies beside a model's file under its name."""


def check(name: str, path: Path, own: Path) -> None:
    """Raises RpcError MODEL_NOT_REMOVABLE for what is not the hub's to remove. own: where the hub puts models."""
    if path.parent == SHIPPED:
        raise not_removable(name, "it came with Troupe")
    if path.parent != own:
        raise not_removable(name, f"its file lies in {path.parent}, which is not the hub's own folder; remove it there")


def remove(name: str, path: Path, own: Path) -> int:
    """Remove a model for good; returns the bytes. Raises as `check`, and OSError."""
    check(name, path, own)
    part = PART.fullmatch(path.stem)
    files = sorted(own.glob(f"{_plain(part['name'])}-*-of-*.gguf")) if part else [path]
    files = [file for file in files if not part or (PART.fullmatch(file.stem) or {"name": ""})["name"] == part["name"]]
    size = sum(file.stat().st_size for file in files)
    for file in (*files, *(own / f"{name}{ending}" for ending in BESIDE)):
        file.unlink(missing_ok=True)
    return size


def _plain(text: str) -> str:
    """As a pattern that means nothing but itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)
