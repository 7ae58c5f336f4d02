import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from bus import Code, RpcError
from troupe.chat.v1 import (
    Delta,
    Finish,
    FinishReason,
    GenerateRequest,
    GenerateResponse,
    Role,
    Sampling,
    Usage,
)
from troupe.rpc.v1 import Progress
from troupe_client import Conversation, text_of


class Chat:
    """Answers with what it was given, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[GenerateRequest] = []
        self.answer: list[GenerateResponse | Exception] = []
        self.left = 0

    async def generate(
        self, request: GenerateRequest, *, timeout: float | None = None, metadata: Any = None
    ) -> AsyncIterator[GenerateResponse]:
        copy = GenerateRequest()
        copy.CopyFrom(request)
        self.requests.append(copy)
        try:
            for response in self.answer:
                await asyncio.sleep(0)
                if isinstance(response, Exception):
                    raise response
                yield response
        finally:
            self.left += 1


def piece(text: str) -> GenerateResponse:
    return GenerateResponse(delta=Delta(text=text, tokens=1))


@pytest.fixture
def chat() -> Chat:
    chat = Chat()
    chat.answer = [
        GenerateResponse(progress=Progress(state=Progress.STATE_LOADING, fraction=0.5)),
        GenerateResponse(delta=Delta(reasoning="hm")),
        piece("Xin "),
        piece("chào"),
        GenerateResponse(finish=Finish(reason=FinishReason.FINISH_REASON_STOP)),
        GenerateResponse(usage=Usage(prompt_tokens=7, completion_tokens=2, decode_seconds=0.5)),
    ]
    return chat


@pytest.fixture
def conversation(chat: Chat) -> Conversation:
    return Conversation(chat, "tiny", system="Be kind.", sampling=Sampling(temperature=0), max_tokens=9)  # type: ignore[arg-type]


def turns(conversation: Conversation) -> list[tuple[int, str]]:
    return [(message.role, text_of(message)) for message in conversation.messages]


async def test_what_was_said_goes_along_with_the_next_turn(chat: Chat, conversation: Conversation) -> None:
    assert await conversation.reply("Hello") == "Xin chào"
    await conversation.reply("And?")
    asked = chat.requests[1]
    assert (asked.model, asked.max_tokens, asked.sampling.temperature) == ("tiny", 9, 0)
    assert [(message.role, text_of(message)) for message in asked.messages] == [
        (Role.ROLE_SYSTEM, "Be kind."),
        (Role.ROLE_USER, "Hello"),
        (Role.ROLE_ASSISTANT, "Xin chào"),
        (Role.ROLE_USER, "And?"),
    ]


async def test_usage_and_the_reason_of_the_end_are_kept(conversation: Conversation) -> None:
    await conversation.reply("Hello")
    await conversation.reply("Hello")
    assert conversation.finish_reason == FinishReason.FINISH_REASON_STOP
    assert conversation.usage is not None
    assert conversation.usage.prompt_tokens == 7
    assert (conversation.total.prompt_tokens, conversation.total.completion_tokens) == (14, 4)
    assert conversation.total.decode_seconds == pytest.approx(1.0)


async def test_progress_is_told_and_is_no_text(conversation: Conversation) -> None:
    seen: list[Progress] = []
    assert [text async for text in conversation.say("Hello", on_progress=seen.append)] == ["Xin ", "chào"]
    assert [one.fraction for one in seen] == [0.5]


async def test_an_answer_that_is_left_is_remembered_as_far_as_it_came(chat: Chat, conversation: Conversation) -> None:
    async with aclosing(conversation.say("Hello")) as pieces:
        await anext(pieces)
    assert turns(conversation) == [(Role.ROLE_USER, "Hello"), (Role.ROLE_ASSISTANT, "Xin ")]
    assert chat.left == 1, "the call was left too"
    assert conversation.finish_reason == FinishReason.FINISH_REASON_UNSPECIFIED


async def test_a_turn_that_was_never_answered_is_forgotten(chat: Chat, conversation: Conversation) -> None:
    chat.answer = [RpcError(Code.NOT_FOUND, "No such model.", reason="MODEL_NOT_FOUND")]
    with pytest.raises(RpcError, match="No such model"):
        await conversation.reply("Hello")
    assert conversation.messages == []


async def test_taking_back_returns_what_was_said(chat: Chat, conversation: Conversation) -> None:
    await conversation.reply("one")
    await conversation.reply("two")
    assert conversation.take_back() == "two"
    assert [text for _, text in turns(conversation)] == ["one", "Xin chào"]
    chat.answer = [RpcError(Code.UNAVAILABLE, "Away.")]
    with pytest.raises(RpcError):
        await conversation.reply("three")
    assert conversation.take_back() == "three", "what failed counts"
    assert conversation.take_back() == "one"
    assert conversation.take_back() == ""


async def test_a_new_beginning_keeps_the_model_and_the_total(conversation: Conversation) -> None:
    await conversation.reply("Hello")
    conversation.clear()
    assert conversation.messages == []
    assert (conversation.model, conversation.system, conversation.total.completion_tokens) == ("tiny", "Be kind.", 2)
    assert conversation.take_back() == ""
