"""Plain questions on the bus, outside of calls: one message, one answer."""

import asyncio
from collections.abc import Callable

import structlog

from bus.errors import RpcError
from bus.transports import Message, Subscription, Transport

log = structlog.get_logger(__name__)


async def respond(transport: Transport, subject: str, answer: Callable[[], bytes]) -> Subscription:
    """Answer whoever asks on `subject`; `answer` must not block."""
    under_way: set[asyncio.Task[None]] = set()

    def asked(message: Message) -> None:
        if message.reply:
            task = asyncio.get_running_loop().create_task(_answer(transport, message, answer))
            under_way.add(task)
            task.add_done_callback(under_way.discard)

    return await transport.subscribe(subject, asked)


async def _answer(transport: Transport, question: Message, answer: Callable[[], bytes]) -> None:
    try:
        await transport.publish(question.reply, answer())
    except RpcError as error:
        log.warning("answer.not_sent", subject=question.subject, error=repr(error))
