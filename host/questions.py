"""Plain questions on the bus, outside of calls: one message, one answer."""

from collections.abc import Callable

import structlog

from bus.errors import RpcError
from bus.transports import Message, Subscription, Transport

log = structlog.get_logger(__name__)


async def respond(transport: Transport, subject: str, answer: Callable[[], bytes]) -> Subscription:
    """Answer whoever asks on `subject`; `answer` must not block."""

    def asked(question: Message) -> None:
        if not question.reply:
            return
        try:
            transport.publish(question.reply, answer())
        except RpcError as error:
            log.warning("answer.not_sent", subject=question.subject, error=repr(error))

    return await transport.subscribe(subject, asked)
