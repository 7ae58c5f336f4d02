"""A file that was made here becomes one of the hub's models, with what belongs to it beside it."""

import os
from pathlib import Path

from actors.llama.catalog import Entry
from actors.llama.quantize_process import MADE
from actors.llama.removal import BESIDE
from actors.model.gguf_header import ModelHeader
from bus import Code, RpcError
from troupe.model.v1 import QuantizedModel

LICENCE_LIMIT = 256 * 1024


def check_free(own: Path, name: str) -> None:
    """Raises RpcError MODEL_EXISTS where the hub's folder has something of this name."""
    for place in (own / f"{name}.gguf", own / name):
        if place.exists():
            message = f"There is a {place.name} among the models already; give the new one a name, or remove that."
            raise RpcError(Code.ALREADY_EXISTS, message, reason="MODEL_EXISTS", field="new_name")


def place(source: Entry, header: ModelHeader, folder: Path, own: Path, made: QuantizedModel) -> None:
    """Put the new file where models are looked for; it is seen whole or not at all, and replaces nothing.

    Its licence and advice about sampling are the source's. Raises RpcError MODEL_EXISTS, OSError.
    """
    check_free(own, made.name)
    licence, sampling = BESIDE
    _put(folder, own / f"{made.name}{licence}", _licence(source, header, made).encode())
    advice = source.path.with_name(f"{source.name}{sampling}")
    if advice.exists():
        _put(folder, own / f"{made.name}{sampling}", advice.read_bytes())
    target = own / f"{made.name}.gguf"
    try:
        os.link(folder / MADE, target)
    except FileExistsError:
        check_free(own, made.name)
    except OSError:  # a disk without hard links
        (folder / MADE).replace(target)


def _put(folder: Path, target: Path, data: bytes) -> None:
    written = folder / "beside"
    written.write_bytes(data)
    written.replace(target)


def _licence(source: Entry, header: ModelHeader, made: QuantizedModel) -> str:
    theirs = source.path.with_name(f"{source.name}{BESIDE[0]}")
    terms = ""
    if theirs.exists():
        with theirs.open(encoding="utf-8", errors="replace") as file:
            terms = f"\nOf {source.name}:\n\n{file.read(LICENCE_LIMIT)}"
    said = header.text("general.license") or "its source does not say"
    return (
        f"{made.name}: made from {made.source} ({made.source_quantization}) as {made.quantization}.\n"
        f"SHA-256 of {made.name}.gguf: {made.sha256}\nLicence: {said}.\n{terms}"
    )
