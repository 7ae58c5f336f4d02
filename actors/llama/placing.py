"""A file that was made here becomes one of the hub's models, with what belongs to it beside it."""

import os
from pathlib import Path

from actors.llama.catalog import Entry
from actors.llama.quantize_process import MADE
from actors.model.card import Card, Origin, card_of_gguf, read_origin, write_origin
from actors.model.gguf_header import ModelHeader
from bus import Code, RpcError
from troupe.model.v1 import QuantizedModel

LICENCE, SAMPLING = ".LICENSE", ".sampling.json"
"""What lies beside a model's file under its name, besides its origin."""
LICENCE_LIMIT = 256 * 1024


def check_free(own: Path, name: str) -> None:
    """Raises RpcError MODEL_EXISTS where the hub's folder has something of this name."""
    for place in (own / f"{name}.gguf", own / name):
        if place.exists():
            message = f"There is a {place.name} among the models already; give the new one a name, or remove that."
            raise RpcError(Code.ALREADY_EXISTS, message, reason="MODEL_EXISTS", field="new_name")


def place(source: Entry, header: ModelHeader, folder: Path, own: Path, made: QuantizedModel) -> None:
    """Put the new file where models are looked for; it is seen whole or not at all, and replaces nothing.

    Its licence, what is said of it, and advice about sampling are the source's. Raises RpcError MODEL_EXISTS, OSError.
    """
    check_free(own, made.name)
    said = read_origin(source.path.parent, source.name).over(card_of_gguf(header))
    _put(folder, own / f"{made.name}{LICENCE}", _licence(source, said, made).encode())
    write_origin(own, made.name, _origin(said, made))
    advice = source.path.with_name(f"{source.name}{SAMPLING}")
    if advice.exists():
        _put(folder, own / f"{made.name}{SAMPLING}", advice.read_bytes())
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


def _origin(said: Card, made: QuantizedModel) -> Origin:
    made_from = f"quantized from {made.source} ({made.source_quantization})"
    source = f"{made_from}, {said.source}" if said.source else made_from
    languages, specialties = list(said.languages), list(said.specialties)
    return Origin(source=source, license=said.license, languages=languages, specialties=specialties)


def _licence(source: Entry, said: Card, made: QuantizedModel) -> str:
    theirs = source.path.with_name(f"{source.name}{LICENCE}")
    terms = ""
    if theirs.exists():
        with theirs.open(encoding="utf-8", errors="replace") as file:
            terms = f"\nOf {source.name}:\n\n{file.read(LICENCE_LIMIT)}"
    return (
        f"{made.name}: made from {made.source} ({made.source_quantization}) as {made.quantization}.\n"
        f"SHA-256 of {made.name}.gguf: {made.sha256}\nLicence: {said.license or 'its source does not say'}.\n{terms}"
    )
