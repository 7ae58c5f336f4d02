"""What people decide about models while the hub runs, and what lasts: other names, and pins."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Self

import structlog

from actors.model.names import qualified
from actors.models.aliases import Aliases
from actors.models.directory import Directory
from actors.models.pins import Pins
from bus import Code, RpcError
from bus.channel import Channel
from host.liveness import Change, Presence
from store import Mirror, Tables, ended
from troupe.gpu.v1 import GpuService
from troupe.model.v1 import Alias, Pin

READ_SECONDS = 5.0
"""How long whoever decides something waits for the tables."""
FOLLOW_SECONDS = 2.0
"""How long whoever moves a name waits for the processes of loaded models to follow."""
AGAIN_SECONDS = 1.0
"""Until tables that cannot be opened are tried again."""

log = structlog.get_logger(__name__)


class Naming:
    """Keeps the directory's other names and pins as the tables have them; an async context.

    tell: has the families told whose names are whose. clock: seconds of the epoch.
    """

    def __init__(
        self,
        directory: Directory,
        table: Tables,
        channel: Channel,
        presence: Presence,
        tell: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._table = table
        self._channel = channel
        self._presence = presence
        self._tell = tell
        self._clock = clock
        self._kept: tuple[Aliases, Pins]
        self._read = asyncio.Event()
        self._changed = asyncio.Event()
        self._news = asyncio.Event()
        self._stages: set[str] = set()
        self._untold = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._presence.subscribe(self._noticed)
        self._task = asyncio.create_task(self._run(), name="other names and pins")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await ended(self._task)

    def followed(self) -> None:
        """A family has told something: who waits for a name to be followed looks again."""
        self._news.set()

    # ---- what people decide

    async def set_alias(self, name: str, family: str, model: str, by: str) -> Alias:
        """Answers once the processes of loaded models follow, or after FOLLOW_SECONDS.

        Raises ALIAS_FIXED, ALIAS_IS_A_MODEL, and as `Aliases.set`.
        """
        aliases, _ = await self._tables()
        self._check_fixed(name)
        if self._directory.is_model(name):
            message = f"A model is called {name!r}, and an alias would hide it; choose another name."
            raise RpcError(Code.ALREADY_EXISTS, message, reason="ALIAS_IS_A_MODEL", field="alias")
        alias = await aliases.set(name, qualified(family, model), by)
        await self._follow(name)
        return alias

    async def roll_back(self, name: str, version: int) -> Alias:
        """As `set_alias`. Raises ALIAS_FIXED, and as `Aliases.roll_back`."""
        aliases, _ = await self._tables()
        self._check_fixed(name)
        alias = await aliases.roll_back(name, version, self._directory.is_model)
        await self._follow(name)
        return alias

    async def remove_alias(self, name: str) -> None:
        """As `set_alias`. Raises ALIAS_FIXED, ALIAS_NOT_FOUND."""
        aliases, _ = await self._tables()
        self._check_fixed(name)
        await aliases.remove(name)
        await self._follow(name)

    async def aliases(self) -> list[Alias]:
        """All of them, those of the settings too, by name."""
        aliases, _ = await self._tables()
        found = {alias.name: alias for alias in aliases.listed()}
        fixed = self._directory.fixed
        return [
            Alias(name=name, model=model, fixed=True) if name in fixed else found[name]
            for name, model in sorted({**aliases.names, **fixed}.items())
        ]

    async def pin(self, family: str, model: str, by: str, *, pinned: bool) -> None:
        """Pin a model, or no longer. Raises as `Pins.set`."""
        _, pins = await self._tables()
        await pins.set(qualified(family, model), by, pinned=pinned)
        self._directory.pin(pins.models)

    # ---- what is kept

    async def _run(self) -> None:
        aliases, pins = await self._opened()
        self._kept = Aliases(aliases, self._clock), Pins(pins, self._channel, self._presence, self._clock)
        self._untold = True
        following = [asyncio.create_task(mirror.run(), name="table of names") for mirror in (aliases, pins)]
        try:
            with aliases.heard_by(self._heard), pins.heard_by(self._heard):
                await asyncio.gather(aliases.ready.wait(), pins.ready.wait())
                while True:
                    self._changed.clear()
                    await self._apply()
                    self._read.set()
                    await self._changed.wait()
        finally:
            await ended(*following)

    async def _opened(self) -> tuple[Mirror[Alias], Mirror[Pin]]:
        while True:
            try:
                aliases = Mirror(await self._table("model_aliases", Alias))
                return aliases, Mirror(await self._table("model_pins", Pin))
            except RpcError as error:
                log.warning("names.unread", error=error.message)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _apply(self) -> None:
        aliases, pins = self._kept
        before = self._directory.aliases
        self._directory.rename(aliases.names)
        self._directory.pin(pins.models)
        if self._directory.aliases != before:
            await self._tell()
        if self._untold:
            self._untold = False
            await pins.tell_all()

    def _heard(self, _: str) -> None:
        self._changed.set()

    def _noticed(self, _: Change) -> None:
        """A stage that was started anew has to be told of the pins."""
        service = GpuService.INFO.name
        machines = self._presence.routes(service)
        stages = {seen.process for machine in machines for seen in self._presence.serving(service, machine)}
        if stages - self._stages:
            self._untold = True
            self._changed.set()
        self._stages = stages

    async def _tables(self) -> tuple[Aliases, Pins]:
        """Raises UNAVAILABLE (STORE_UNAVAILABLE) while they were not read."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                await self._read.wait()
        except TimeoutError:
            message = "The table of names does not answer; see whether the NATS server runs with JetStream."
            raise RpcError(Code.UNAVAILABLE, message, reason="STORE_UNAVAILABLE", retry_after=1.0) from None
        return self._kept

    async def _follow(self, alias: str) -> None:
        """Have the families follow, and wait a moment until they have."""
        self._directory.rename(self._kept[0].names)
        await self._tell()
        try:
            async with asyncio.timeout(FOLLOW_SECONDS):
                while not self._directory.follows(alias):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            log.warning("alias.late", alias=alias)

    def _check_fixed(self, alias: str) -> None:
        if alias in self._directory.fixed:
            message = f"[models.aliases] of the hub's settings gives {alias!r}; change it there and restart the hub."
            raise RpcError(Code.FAILED_PRECONDITION, message, reason="ALIAS_FIXED", field="alias")
