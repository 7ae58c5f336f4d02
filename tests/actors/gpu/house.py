"""A bus with a stage that can be killed, and processes that hold leases, all in this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from actors.gpu.actor import GpuActor
from actors.gpu.devices import Budgets, DeviceSource
from actors.gpu.settings import GpuSettings
from actors.model.lease import Lease
from actors.model.lessor import Lessor
from bus import subjects
from bus.channel import Channel
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.member import Member
from host.settings import Settings, SupervisorSettings
from troupe.gpu.v1 import (
    DeviceKind,
    GpuService,
    GpuServiceClient,
    Holder,
    Size,
    Variant,
    WatchRequest,
    WatchResponse,
    Work,
)

SETTINGS = Settings(supervisor=SupervisorSettings(drain_seconds=0.2))
DEVICE = "card"


def work(name: str, size: int = 40, **said: Any) -> Work:
    """Work of one variant, which a fixed device takes."""
    variant = Variant(sizes=[Size(kind=DeviceKind.DEVICE_KIND_SYSTEM, bytes=size)])
    return Work(name=name, variants=[variant], **said)


class Cut:
    """What lasts, as a process has it that may be killed: from then on nothing it does is done any more."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.cut = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            if self.cut:
                await asyncio.Event().wait()
            return await found(*arguments, **named)

        return call


class Process:
    """One process on the bus, which can be killed."""

    def __init__(self, broker: MemoryBroker, name: str) -> None:
        self.transport = MemoryTransport(broker, name)
        self.member = Member(SETTINGS, name.partition("-")[0], transport=self.transport)
        self._broker = broker
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Join the bus."""
        await self._stack.enter_async_context(self.member)

    async def kill(self) -> None:
        """As after SIGKILL: not a word more, and whoever watches over it tells its end."""
        await self.transport.close()
        vars(self.transport).update(publish=_silent, publish_all=_silent)
        MemoryTransport(self._broker, "watch-1").publish(subjects.gone(self.transport.process), b"")

    async def stop(self) -> None:
        """Leave, or clear away what a kill has left."""
        await self._stack.aclose()


def _silent(*_: object) -> None:
    """Nobody hears it."""


class StageProcess(Process):
    """The stage of the machine "local"."""

    def __init__(self, broker: MemoryBroker, name: str, sources: Sequence[DeviceSource], cap: float) -> None:
        super().__init__(broker, name)
        self._sources = sources
        self._cap = cap
        self._cuts: list[Cut] = []
        self._stopped = False

    async def start(self) -> None:
        await super().start()

        async def table(*arguments: Any, **named: Any) -> Any:
            self._cuts.append(Cut(await self.member.store.table(*arguments, **named)))
            return self._cuts[-1]

        async def events(kinds: Any) -> Any:
            self._cuts.append(Cut(await self.member.store.events(kinds)))
            return self._cuts[-1]

        self.actor = GpuActor(GpuSettings(cap=self._cap), self.member, table, events, sources=self._sources)
        await self.actor.start()
        await self.member.serve(self.actor, GpuService.INFO, "local")
        await self.member.ready()

    async def kill(self) -> None:
        for cut in self._cuts:
            cut.cut = True
        await super().kill()
        await self.stop()

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self.actor.leave()
        await self.member.drain(SETTINGS.supervisor.drain_seconds)
        await self.actor.stop()
        await super().stop()


class House:
    """sources: the stage's devices."""

    def __init__(self, stack: AsyncExitStack, sources: Sequence[DeviceSource], cap: float = 1.0) -> None:
        self.broker = MemoryBroker()
        self._stack = stack
        self._sources = sources
        self._cap = cap
        self._numbers: Iterator[int] = iter(range(1, 10_000))

    async def open(self) -> None:
        """Let somebody be there who calls."""
        channel = Channel(MemoryTransport(self.broker, "caller-1"))
        self._stack.push_async_callback(channel.close)
        self.client = GpuServiceClient(channel)
        await self.open_stage()

    async def open_stage(self) -> None:
        """Start the stage, the first one or the next."""
        self.stage = StageProcess(self.broker, f"gpu-{next(self._numbers)}", self._sources, self._cap)
        self._stack.push_async_callback(self.stage.stop)
        await self.stage.start()

    async def kill_stage(self) -> None:
        """Nobody is told anything any more."""
        await self.stage.kill()

    async def holder(self, name: str = "holder") -> "Holding":
        """One more process that may hold leases."""
        process = Process(self.broker, f"{name}-{next(self._numbers)}")
        self._stack.push_async_callback(process.stop)
        await process.start()
        process.member.heart.state = "serving"
        return Holding(process)

    async def picture(self) -> WatchResponse:
        """What there is now."""
        async for response in self.client.watch(WatchRequest(machine="local", once=True)):
            return response
        raise AssertionError("nothing was answered")

    async def until(self, true: Callable[[WatchResponse], bool]) -> WatchResponse:
        """What there is as soon as this is so."""
        async with self.client.watch(WatchRequest(machine="local")) as responses:
            async for response in responses:
                if true(response):
                    return response
        raise AssertionError("the watch has ended")


class Holding:
    """A process with its lessor."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lessor = Lessor(process.member, "local", holder=Holder())
        self.revoked = asyncio.Event()
        self.told: list[str] = []

    @asynccontextmanager
    async def lease(self, wanted: Work, **said: Any) -> AsyncIterator[Lease]:
        """As `Lessor.lease`; what is told is noted."""
        async with self.lessor.lease(
            wanted,
            tell=lambda progress: self.told.append(progress.note),
            on_revoke=lambda _: self.revoked.set(),
            **said,
        ) as lease:
            yield lease


@asynccontextmanager
async def house(
    *, total: int = 100, cap: float = 1.0, sources: Sequence[DeviceSource] = (), seconds: float = 60
) -> AsyncIterator[House]:
    """A house with one fixed device, unless other sources are given. seconds: for the whole; more, and it is broken."""
    async with AsyncExitStack() as stack, asyncio.timeout(seconds):
        made = House(stack, sources or [Budgets({DEVICE: total})], cap)
        await made.open()
        yield made


def leases(picture: WatchResponse) -> list[str]:
    """Names of those that have memory, each as often as it has."""
    return [lease.name for lease in picture.leases]


async def ended(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and see it end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
