"""Other names of models that are given while the hub runs, and what each has meant before."""

import re
import time
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp

from bus import Code, RpcError, invalid, nearest
from store import Mirror
from troupe.model.v1 import Alias

MAX_NAME = 100
MAX_ALIASES = 1000
VERSIONS = 100
"""Of one alias that are kept."""
RESERVED = "default"
SPACES = re.compile(r"\s")


def check_name(name: str) -> None:
    """Raises RpcError INVALID_ARGUMENT for what can be no alias."""
    if not 1 <= len(name) <= MAX_NAME or SPACES.search(name) or not name.isprintable():
        raise invalid(f"alias is 1 to {MAX_NAME} printable characters without spaces.", "alias")
    if name == RESERVED:
        raise invalid(f"{RESERVED!r} is no alias: it means who answers where nobody is named.", "alias")


def moved(before: Alias | None, name: str, model: str, by: str, now: float) -> Alias:
    """The alias means this model ("family/name") from now on. now: seconds of the epoch."""
    alias = Alias(name=name)
    if before is not None:
        alias.CopyFrom(before)
        if before.model == model:
            return alias
    number = alias.versions[-1].number + 1 if alias.versions else 1
    version = alias.versions.add(number=number, model=model, set_by=by)
    version.set_at.CopyFrom(stamp(now))
    del alias.versions[:-VERSIONS]
    alias.model, alias.version = model, number
    return alias


def rolled_back(before: Alias, version: int, there: Callable[[str], bool]) -> Alias:
    """The alias means again what it meant in a version; 0: in the one before.

    there: whether there still is such a model. Raises RpcError FAILED_PRECONDITION (ALIAS_HAS_NO_SUCH_VERSION).
    """
    wanted = version or before.version - 1
    found = next((each for each in before.versions if each.number == wanted), None)
    if found is None:
        kept = ", ".join(str(each.number) for each in before.versions)
        what = f"version {version}" if version else "version before the present one"
        message = f"The alias {before.name!r} has no {what}; it has {kept}."
        raise RpcError(Code.FAILED_PRECONDITION, message, reason="ALIAS_HAS_NO_SUCH_VERSION", field="version")
    if not there(found.model):
        message = f"Version {wanted} of {before.name!r} means {found.model}, which is no more."
        raise RpcError(Code.FAILED_PRECONDITION, message, reason="ALIAS_HAS_NO_SUCH_VERSION", field="version")
    alias = Alias()
    alias.CopyFrom(before)
    alias.model, alias.version = found.model, found.number
    return alias


class Aliases:
    """The table of aliases: read from its mirror, which whoever has this runs, and changed in itself."""

    def __init__(self, mirror: Mirror[Alias], clock: Callable[[], float] = time.time) -> None:
        self._mirror = mirror
        self._clock = clock

    @property
    def names(self) -> dict[str, str]:
        """Which model each means."""
        return {alias.name: alias.model for alias in self.listed()}

    def listed(self) -> list[Alias]:
        """All of them, by name."""
        return [entry.value for _, entry in sorted(self._mirror.entries.items())]

    async def set(self, name: str, model: str, by: str) -> Alias:
        """Let it mean this model. Raises INVALID_ARGUMENT, and RESOURCE_EXHAUSTED (ALIASES_FULL)."""
        check_name(name)
        if name not in self._mirror.entries and len(self._mirror.entries) >= MAX_ALIASES:
            message = f"The hub has {MAX_ALIASES:,} aliases, which is all that it keeps; remove some."
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="ALIASES_FULL")
        return await self._change(name, lambda before: moved(before, name, model, by, self._clock()))

    async def roll_back(self, name: str, version: int, there: Callable[[str], bool]) -> Alias:
        """Let it mean what it meant. there: whether there still is such a model.

        Raises NOT_FOUND (ALIAS_NOT_FOUND), and as `rolled_back`.
        """

        def rule(before: Alias | None) -> Alias:
            if before is None:
                raise self.not_found(name)
            return rolled_back(before, version, there)

        return await self._change(name, rule)

    async def remove(self, name: str) -> None:
        """Raises NOT_FOUND (ALIAS_NOT_FOUND)."""
        if await self._mirror.table.get(name) is None:
            raise self.not_found(name)
        await self._mirror.table.delete(name)
        self._mirror.forget(name)

    def not_found(self, name: str) -> RpcError:
        """There is no such alias."""
        close = nearest(name, self._mirror.entries)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        message = f"There is no alias {name[:200]!r} that was given while the hub runs.{hint}"
        return RpcError(Code.NOT_FOUND, message, reason="ALIAS_NOT_FOUND", field="alias")

    async def _change(self, name: str, rule: Callable[[Alias | None], Alias]) -> Alias:
        """Apply a rule to what is stored, again if somebody else was faster."""
        table = self._mirror.table
        while True:
            found = await table.get(name) if name else None
            alias = rule(found.value if found else None)
            try:
                written = await (table.replace(name, alias, found.revision) if found else table.create(name, alias))
            except RpcError as error:
                if error.reason in ("REVISION_CHANGED", "KEY_EXISTS"):
                    continue
                raise
            self._mirror.note(name, alias, written)
            return alias


def stamp(seconds: float) -> Timestamp:
    """As the contract has it."""
    value = Timestamp()
    value.FromNanoseconds(int(seconds * 1e9))
    return value
