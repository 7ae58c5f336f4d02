"""Families that are not installed: what is said of their models."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from bus import RpcError
from bus.errors import part_not_installed
from host.liveness import Seen
from troupe.family.v1 import FamilyService

ROUTE = f"{FamilyService.INFO.name}["
FILES = {"llama": "{}.gguf", "transformers": "{}/config.json"}
"""By which file in the folder of models a family that is not there would know a model of a name."""
MAX_NAME = 200
"""Characters of a name that is looked for."""
LOOK_SECONDS = 1.0
"""A disk that hangs keeps nobody waiting for longer."""


def lacking_families(heard: Iterable[Seen]) -> dict[str, str]:
    """Families that a supervisor does not start, and the part that each lacks."""
    told = (absence for seen in heard for absence in seen.absent)
    return {service[len(ROUTE) : -1]: part for service, part in told if service.startswith(ROUTE)}


async def family_of_file(folder: Path, name: str, families: Iterable[str]) -> str:
    """Which of these families would have a model of this bare name, by what lies in the folder; empty: none."""
    if not name or len(name) > MAX_NAME or name.startswith(".") or "/" in name or "\0" in name:
        return ""

    def look() -> str:
        known = (family for family in families if family in FILES)
        return next((family for family in known if (folder / FILES[family].format(name)).is_file()), "")

    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await asyncio.to_thread(look)
    except (OSError, TimeoutError):
        return ""


def of_absent(
    error: RpcError, name: str, lacking: Mapping[str, str], *, family: str = "", coming: bool = False
) -> RpcError:
    """PART_NOT_INSTALLED instead of an error about a model that is not known, where a family's absence explains it.

    So it is for a full name, "llama/tiny", for a model whose family is known otherwise (`family`), and where there is
    no family at all that could answer, nor one that is `coming`.
    """
    family = family or (name.partition("/")[0] if "/" in name else "")
    if family in lacking and error.reason in ("MODEL_NOT_FOUND", "FAMILY_UNAVAILABLE"):
        return part_not_installed(f"The family {family}", lacking[family])
    if lacking and not coming and error.reason == "FAMILY_UNAVAILABLE" and "family" not in error.metadata:
        first = next(iter(lacking))
        return part_not_installed(f"The family {first}", lacking[first])
    return error
