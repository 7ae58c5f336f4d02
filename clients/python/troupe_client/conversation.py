"""A conversation with a model: what was said, and what comes next."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from troupe.chat.v1 import (
    ChatServiceClient,
    FinishReason,
    GenerateRequest,
    GenerateResponse,
    Message,
    Part,
    Role,
    Sampling,
    Usage,
)
from troupe.rpc.v1 import Progress

DEFAULT_MODEL = "default"
"""Whichever model the hub has answer who names none."""


class Conversation:
    """Remembers the turns and sends them along with each new one.

    Attributes may be changed between turns. messages: the turns so far, oldest first, without the system prompt.
    usage: what the last answer cost; None before the first one ends. total: what all answers cost together.
    finish_reason: why the last answer ended; UNSPECIFIED if it was left or broke off.
    """

    def __init__(
        self,
        chat: ChatServiceClient,
        model: str = DEFAULT_MODEL,
        *,
        system: str = "",
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.model = model
        self.system = system
        self.sampling = sampling
        self.max_tokens = max_tokens
        self.messages: list[Message] = []
        self.usage: Usage | None = None
        self.total = Usage()
        self.finish_reason = FinishReason.FINISH_REASON_UNSPECIFIED
        self._unanswered = ""
        self._chat = chat

    async def say(
        self, text: str, *, on_progress: Callable[[Progress], None] | None = None, timeout: float | None = None
    ) -> AsyncGenerator[str, None]:
        """Say something and take the answer, piece by piece. See `events` for what is remembered."""
        async with aclosing(self.events(text, timeout=timeout)) as events:
            async for event in events:
                if on_progress is not None and event.HasField("progress"):
                    on_progress(event.progress)
                if event.delta.text:
                    yield event.delta.text

    async def reply(self, text: str, *, timeout: float | None = None) -> str:
        """Say something and take the whole answer."""
        return "".join([piece async for piece in self.say(text, timeout=timeout)])

    async def events(self, text: str, *, timeout: float | None = None) -> AsyncGenerator[GenerateResponse, None]:
        """Say something and take everything that comes back: progress, reasoning, text, finish and usage.

        An answer that is left, cancelled or broken off is remembered as far as it came; if nothing of it came, what
        was said is forgotten too. Only one answer can be under way.
        """
        self.messages.append(turn(Role.ROLE_USER, text))
        self.usage, self.finish_reason = None, FinishReason.FINISH_REASON_UNSPECIFIED
        self._unanswered = ""
        pieces: list[str] = []
        responses = cast(AsyncGenerator[GenerateResponse, None], self._chat.generate(self._request(), timeout=timeout))
        try:
            async with aclosing(responses):
                async for response in responses:
                    pieces.append(response.delta.text)
                    self._note(response)
                    yield response
        finally:
            self._remember(text, "".join(pieces))

    def _request(self) -> GenerateRequest:
        system = [turn(Role.ROLE_SYSTEM, self.system)] if self.system else []
        return GenerateRequest(
            model=self.model,
            messages=[*system, *self.messages],
            sampling=self.sampling,
            max_tokens=self.max_tokens,
        )

    def _note(self, response: GenerateResponse) -> None:
        if response.HasField("finish"):
            self.finish_reason = response.finish.reason
        elif response.HasField("usage"):
            self.usage = response.usage
            self.total = add(self.total, response.usage)

    def _remember(self, said: str, answer: str) -> None:
        if answer:
            self.messages.append(turn(Role.ROLE_ASSISTANT, answer))
        else:
            self.messages.pop()
            self._unanswered = said

    def take_back(self) -> str:
        """Forget the last exchange, also one that failed, and return what was said in it; empty if there is none."""
        if self._unanswered:
            said, self._unanswered = self._unanswered, ""
            return said
        while self.messages:
            message = self.messages.pop()
            if message.role == Role.ROLE_USER:
                return text_of(message)
        return ""

    def clear(self) -> None:
        """Forget what was said; model, system prompt and totals stay."""
        self.messages.clear()
        self._unanswered = ""


def turn(role: Role, text: str) -> Message:
    """A turn that is nothing but text."""
    return Message(role=role, parts=[Part(text=text)])


def text_of(message: Message) -> str:
    """The text of a turn, without its other parts."""
    return "".join(part.text for part in message.parts)


def add(one: Usage, other: Usage) -> Usage:
    """What two answers cost together."""
    return Usage(
        **{field.name: getattr(one, field.name) + getattr(other, field.name) for field in Usage.DESCRIPTOR.fields}
    )
