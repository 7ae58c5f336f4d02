"""Faults as wrappers round a transport, each with a seed. They compose: Losing(Reordering(transport))."""

import asyncio
import random
from collections.abc import Callable, Sequence

from bus.transports import Handler, Letter, Message, Subscription, Transport


class FaultyTransport:
    """Passes everything on; what is published goes through `disturb`, which subclasses define.

    seed: the same seed does the same to the same messages. rate: share of the messages that suffer, 0 to 1.
    """

    def __init__(self, inner: Transport, *, seed: int, rate: float = 0.05) -> None:
        self.process = inner.process
        self.epoch = inner.epoch
        self.inner = inner
        self.suffered = 0
        self._luck = random.Random(seed)
        self._rate = rate

    def strikes(self) -> bool:
        """This message suffers."""
        strikes = self._luck.random() < self._rate
        self.suffered += strikes
        return strikes

    def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        self.disturb(subject, payload, reply)

    def publish_all(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            self.publish(*letter)

    def disturb(self, subject: str, payload: bytes, reply: str) -> None:
        """What becomes of a message."""
        self.inner.publish(subject, payload, reply)

    async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> Subscription:
        return await self.inner.subscribe(subject, handler, queue)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self.inner.on_reconnect(callback)

    async def flush(self) -> None:
        await self.inner.flush()

    async def close(self) -> None:
        await self.inner.close()


class LosingTransport(FaultyTransport):
    """Some messages never arrive."""

    def disturb(self, subject: str, payload: bytes, reply: str) -> None:
        if not self.strikes():
            self.inner.publish(subject, payload, reply)


class DuplicatingTransport(FaultyTransport):
    """Some messages arrive twice."""

    def disturb(self, subject: str, payload: bytes, reply: str) -> None:
        self.inner.publish(subject, payload, reply)
        if self.strikes():
            self.inner.publish(subject, payload, reply)


class DelayingTransport(FaultyTransport):
    """Some messages, and with them all that follow, arrive up to `delay` seconds later; the order stays."""

    def __init__(self, inner: Transport, *, seed: int, rate: float = 0.05, delay: float = 0.3) -> None:
        super().__init__(inner, seed=seed, rate=rate)
        self._delay = delay
        self._line: asyncio.Queue[tuple[float, str, bytes, str]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def disturb(self, subject: str, payload: bytes, reply: str) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        delay = self._luck.random() * self._delay if self.strikes() else 0.0
        self._line.put_nowait((delay, subject, payload, reply))

    async def _run(self) -> None:
        while True:
            delay, subject, payload, reply = await self._line.get()
            await asyncio.sleep(delay)
            self.inner.publish(subject, payload, reply)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        await super().close()


class ReorderingTransport(FaultyTransport):
    """Some messages arrive after one to three that were sent later, or `patience` seconds later if none are."""

    def __init__(self, inner: Transport, *, seed: int, rate: float = 0.05, patience: float = 0.02) -> None:
        super().__init__(inner, seed=seed, rate=rate)
        self._patience = patience
        self._held: list[tuple[int, str, bytes, str]] = []
        self._timers: set[asyncio.Task[None]] = set()

    def disturb(self, subject: str, payload: bytes, reply: str) -> None:
        if self.strikes():
            self._held.append((self._luck.randint(1, 3), subject, payload, reply))
            timer = asyncio.create_task(self._release_late())
            self._timers.add(timer)
            timer.add_done_callback(self._timers.discard)
            return
        self.inner.publish(subject, payload, reply)
        held, self._held = self._held, []
        for left, *letter in held:
            if left > 1:
                self._held.append((left - 1, *letter))  # type: ignore[arg-type]  # the rest of the same tuple
            else:
                self.inner.publish(*letter)  # type: ignore[arg-type]  # as above

    async def _release_late(self) -> None:
        await asyncio.sleep(self._patience)
        held, self._held = self._held, []
        for _, subject, payload, reply in held:
            self.inner.publish(subject, payload, reply)

    async def close(self) -> None:
        for timer in self._timers:
            timer.cancel()
        await super().close()


class HesitantTransport(FaultyTransport):
    """A subscription that is to be drained goes on until it has heard one message more.

    So what is otherwise a matter of a millisecond happens for certain: a message for someone who is about to leave.
    """

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner, seed=0, rate=0.0)
        self.leaving = asyncio.Event()
        self.caught = asyncio.Event()

    async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> Subscription:
        def heard(message: Message) -> None:
            handler(message)
            if self.leaving.is_set():
                self.caught.set()

        if not queue:
            return await self.inner.subscribe(subject, handler)
        return _Hesitant(await self.inner.subscribe(subject, heard, queue), self)


class _Hesitant:
    def __init__(self, inner: Subscription, transport: HesitantTransport) -> None:
        self._inner = inner
        self._transport = transport

    async def unsubscribe(self) -> None:
        await self._inner.unsubscribe()

    async def drain(self) -> None:
        self._transport.leaving.set()
        await self._transport.caught.wait()
        await self._inner.drain()


class CuttingTransport(FaultyTransport):
    """Now and then the connection breaks: the next `length` messages are lost, then it tells that it is back."""

    def __init__(self, inner: Transport, *, seed: int, rate: float = 0.02, length: int = 5, away: float = 0.3) -> None:
        super().__init__(inner, seed=seed, rate=rate)
        self._length = length
        self._away = away
        self._broken = 0
        self._callbacks: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def disturb(self, subject: str, payload: bytes, reply: str) -> None:
        if self._broken:
            self._broken -= 1
            if not self._broken:
                self._mend()
        elif self.strikes():
            self._broken = self._length
            self._timer = asyncio.get_running_loop().call_later(self._away, self._mend)
        else:
            self.inner.publish(subject, payload, reply)

    def _mend(self) -> None:
        self._broken = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for callback in self._callbacks:
            callback()

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)
        super().on_reconnect(callback)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await super().close()
