"""What pip adds to this Python's environment, so that what was broken off leaves nothing behind.

pip takes back the package at which it failed where that replaced another, and no more: packages that it had unpacked
before stay, and so does half of one for which the disk had no room.
"""

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!_-]*")

FOLDERS = ("purelib", "platlib", "scripts")


def roots(prefix: Path | None = None) -> list[Path]:
    """The folders that packages are installed into. prefix: of another environment than this one."""
    given = {name: str(prefix) for name in ("base", "platbase")} if prefix else None
    own = {Path(sysconfig.get_path(name, vars=given)) for name in FOLDERS}
    if prefix is not None or sys.prefix != sys.base_prefix:  # the system's own belong to others, too
        data = Path(sysconfig.get_path("data", vars=given))
        own |= {data / name for name in ("share", "etc", "include")}
    return sorted(own)


def present(folders: list[Path]) -> set[Path]:
    """Every file and folder below these, and they themselves, as far as they are there."""
    found: set[Path] = set()
    for root in folders:
        if root.exists():
            found.add(root)
        for folder, folders_in, files in os.walk(root):
            found.update(Path(folder, name) for name in (*folders_in, *files))
    return found


@contextmanager
def undone_on_failure(folders: list[Path]) -> Iterator[None]:
    """Remove whatever has come into these folders meanwhile if what is done here fails or is broken off."""
    before = present(folders)
    try:
        yield
    except BaseException:
        remove(present(folders) - before)
        raise


def remove(paths: set[Path]) -> None:
    """Delete these, what lies in them first; what cannot be deleted stays."""
    for path in sorted(paths, key=lambda each: len(each.parts), reverse=True):
        with suppress(OSError):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def writable(folders: list[Path]) -> bool:
    """Packages can be put there, or where the next folder above is that exists."""
    first = next((each for each in (folders[0], *folders[0].parents) if each.exists()), folders[0])
    return os.access(first, os.W_OK | os.X_OK)


def free(path: Path) -> int:
    """Bytes that are free where `path` is or will be."""
    return shutil.disk_usage(next(each for each in (path, *path.parents) if each.exists())).free


def held(loose: frozenset[str] = frozenset()) -> list[str]:
    """Constraints by which pip replaces nothing that is installed, but for these (names in small letters)."""
    versions: dict[str, str] = {}
    for each in metadata.distributions():
        name = _name(each.metadata["Name"] or "")
        if name and name not in loose and _VERSION.fullmatch(each.version or ""):
            versions.setdefault(name, each.version)  # the first on the path is the one that counts
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def _name(told: str) -> str:
    """A distribution's name in the one form that all its spellings share."""
    return re.sub(r"[-_.]+", "-", told).lower()
