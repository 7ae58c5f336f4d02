"""Families that are not installed: what is said of their models."""

from collections.abc import Iterable, Mapping

from bus import RpcError
from bus.errors import part_not_installed
from host.liveness import Seen
from troupe.family.v1 import FamilyService

ROUTE = f"{FamilyService.INFO.name}["


def lacking_families(heard: Iterable[Seen]) -> dict[str, str]:
    """Families that a supervisor does not start, and the part that each lacks."""
    told = (absence for seen in heard for absence in seen.absent)
    return {service[len(ROUTE) : -1]: part for service, part in told if service.startswith(ROUTE)}


def of_absent(error: RpcError, name: str, lacking: Mapping[str, str]) -> RpcError:
    """PART_NOT_INSTALLED instead of an error about a model that is not known, where a family's absence explains it.

    So it is for a full name, "llama/tiny", and where there is no family at all that could answer.
    """
    family = name.partition("/")[0] if "/" in name else ""
    if family in lacking and error.reason in ("MODEL_NOT_FOUND", "FAMILY_UNAVAILABLE"):
        return part_not_installed(f"The family {family}", lacking[family])
    if lacking and error.reason == "FAMILY_UNAVAILABLE" and "family" not in error.metadata:
        first = next(iter(lacking))
        return part_not_installed(f"The family {first}", lacking[first])
    return error
