"""The bus inside one process: for tests, and for trying things without a server. Same semantics as NATS."""

import asyncio
import itertools
from collections.abc import Callable, Sequence

from bus.transports import MAX_PAYLOAD, Handler, Letter, Message, too_large

_process_numbers = itertools.count(1)


class MemoryBroker:
    """Routes messages between the transports that were made with it."""

    def __init__(self) -> None:
        self._subscriptions: list[_Subscription] = []
        self._turns: dict[tuple[str, str], int] = {}

    def add(self, subscription: "_Subscription") -> None:
        self._subscriptions.append(subscription)

    def remove(self, subscription: "_Subscription") -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def route(self, message: Message) -> None:
        """Deliver in the loop's next turn, to each subscriber and to one of each queue group."""
        takers = self._takers(message.subject)
        if not takers and message.reply:
            message = Message(message.reply, b"", no_responders=True)
            takers = self._takers(message.subject)
        loop = asyncio.get_running_loop()
        for subscription in takers:
            loop.call_soon(subscription.deliver, message)

    def _takers(self, subject: str) -> list["_Subscription"]:
        matching = [subscription for subscription in self._subscriptions if subscription.matches(subject)]
        takers = [subscription for subscription in matching if not subscription.queue]
        groups: dict[tuple[str, str], list[_Subscription]] = {}
        for subscription in matching:
            if subscription.queue:
                groups.setdefault((subscription.subject, subscription.queue), []).append(subscription)
        for key, members in groups.items():
            turn = self._turns[key] = self._turns.get(key, -1) + 1
            takers.append(members[turn % len(members)])
        return takers


class _Subscription:
    def __init__(self, broker: MemoryBroker, subject: str, handler: Handler, queue: str) -> None:
        self.subject = subject
        self.queue = queue
        self.broker = broker
        self._handler = handler
        self._tokens = subject.split(".")
        self._active = True

    def matches(self, subject: str) -> bool:
        tokens = subject.split(".")
        if len(tokens) != len(self._tokens):
            return False
        return all(mine in ("*", theirs) for mine, theirs in zip(self._tokens, tokens, strict=True))

    def deliver(self, message: Message) -> None:
        if self._active:
            self._handler(message)

    async def unsubscribe(self) -> None:
        self._active = False
        self.broker.remove(self)

    async def drain(self) -> None:
        self.broker.remove(self)
        await asyncio.sleep(0)  # what was routed before is delivered in this turn
        self._active = False


class MemoryTransport:
    """One process's connection to a MemoryBroker."""

    def __init__(self, broker: MemoryBroker, process: str = "") -> None:
        number = next(_process_numbers)
        self.process = process or f"memory-{number}"
        self.epoch = number
        self.broker = broker
        self._subscriptions: list[_Subscription] = []
        self._reconnected: list[Callable[[], None]] = []

    def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        if len(payload) > MAX_PAYLOAD:
            raise too_large(len(payload))
        self.broker.route(Message(subject, payload, reply))

    def publish_all(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            self.publish(*letter)

    async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> _Subscription:
        subscription = _Subscription(self.broker, subject, handler, queue)
        self.broker.add(subscription)
        self._subscriptions.append(subscription)
        return subscription

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._reconnected.append(callback)

    def interrupted(self) -> None:
        """Behave as after an interruption of the connection."""
        for callback in self._reconnected:
            callback()

    async def flush(self) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions.clear()
