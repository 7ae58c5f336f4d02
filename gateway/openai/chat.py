"""POST /v1/chat/completions."""

from collections.abc import AsyncIterator

import msgspec

from gateway.http.exchange import Exchange
from gateway.http.stream import Headers, ResponseStream, unless_gone
from gateway.openai.answer import DONE, fingerprint, fresh_id, names_of, now
from gateway.openai.chat_request import generate_request
from gateway.openai.chunks import FINISH_REASONS, ChatChunks, logprobs_of, progress_comment, usage_of
from gateway.openai.responses import AnswerMessage, ChatChoice, ChatCompletion, FunctionCallOut, ToolCallOut, UsageOut
from gateway.openai.sampling import check_stream_options
from gateway.openai.schema import ChatRequest
from troupe.chat.v1 import ChatServiceClient, Delta, GenerateRequest, GenerateResponse, TokenLogprob


async def chat_completions(exchange: Exchange) -> None:
    """Answer a conversation, whole or as a stream. A client that goes away cancels the call in both."""
    asked: ChatRequest = exchange.request
    with_usage = check_stream_options(asked)
    name, headers = names_of(exchange, asked)
    request = generate_request(asked)
    if asked.stream:
        chunks = ChatChunks(fresh_id("chatcmpl-"), now(), name, fingerprint(asked.model), with_usage=with_usage)
        await _stream(exchange, request, chunks, with_usage, headers)
    else:
        answer = await unless_gone(exchange.receive, _whole(exchange, request))
        exchange.record.tokens = answer.usage.total_tokens
        await exchange.answer(answer.completion(name), headers=headers)


def _call(exchange: Exchange, request: GenerateRequest) -> AsyncIterator[GenerateResponse]:
    return ChatServiceClient(exchange.hub.channel).generate(request, metadata=exchange.metadata)


async def _stream(
    exchange: Exchange, request: GenerateRequest, chunks: ChatChunks, with_usage: bool, headers: Headers
) -> None:
    async def produce(stream: ResponseStream) -> None:
        usage = UsageOut(prompt_tokens=0, completion_tokens=0, total_tokens=0)
        async for response in _call(exchange, request):
            kind = response.WhichOneof("event")
            if kind == "delta":
                if events := chunks.delta(response.delta):
                    stream.write(events)
            elif kind == "finish":
                stream.write(chunks.finish(response.finish.choice, response.finish.reason))
            elif kind == "usage":
                usage = usage_of(response.usage)
                exchange.record.tokens = usage.total_tokens
            elif response.HasField("progress"):
                stream.comment(progress_comment(response.progress))
            if stream.full:
                await stream.room()
        stream.write(chunks.usage(usage) + DONE if with_usage else DONE)

    await exchange.stream(produce, headers=headers)


async def _whole(exchange: Exchange, request: GenerateRequest) -> "Answer":
    answer = Answer(request.choices)
    async for response in _call(exchange, request):
        answer.take(response)
    return answer


class Choice:
    """One answer as it grows."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.logprobs: list[TokenLogprob] = []
        self.finish_reason = 0
        self._calls: dict[int, tuple[str, str, list[str]]] = {}

    def add(self, delta: Delta) -> None:
        """More of it."""
        self.text.append(delta.text)
        self.reasoning.append(delta.reasoning)
        self.logprobs.extend(delta.logprobs)
        for call in delta.tool_calls:
            found = self._calls.setdefault(call.index, (call.id, call.name, []))
            found[2].append(call.arguments)

    def finished(self, index: int) -> ChatChoice:
        """The choice as OpenAI has it."""
        text, reasoning = "".join(self.text), "".join(self.reasoning)
        calls = [
            ToolCallOut(id=call_id, function=FunctionCallOut(name=name, arguments="".join(arguments)))
            for _, (call_id, name, arguments) in sorted(self._calls.items())
        ]
        message = AnswerMessage(
            content=None if calls and not text else text,
            reasoning_content=reasoning or msgspec.UNSET,
            tool_calls=calls or msgspec.UNSET,
        )
        return ChatChoice(
            index=index,
            message=message,
            logprobs=logprobs_of(self.logprobs) if self.logprobs else None,
            finish_reason=FINISH_REASONS.get(self.finish_reason, "stop"),
        )


class Answer:
    """Gathers the pieces of a call that is answered whole."""

    def __init__(self, choices: int) -> None:
        self._choices = {index: Choice() for index in range(choices)}
        self.usage = UsageOut(prompt_tokens=0, completion_tokens=0, total_tokens=0)

    def take(self, response: GenerateResponse) -> None:
        """A piece."""
        kind = response.WhichOneof("event")
        if kind == "delta":
            self._choices.setdefault(response.delta.choice, Choice()).add(response.delta)
        elif kind == "finish":
            self._choices.setdefault(response.finish.choice, Choice()).finish_reason = response.finish.reason
        elif kind == "usage":
            self.usage = usage_of(response.usage)

    def completion(self, model: str) -> ChatCompletion:
        """The whole as OpenAI has it."""
        return ChatCompletion(
            id=fresh_id("chatcmpl-"),
            created=now(),
            model=model,
            choices=[choice.finished(index) for index, choice in sorted(self._choices.items())],
            usage=self.usage,
            system_fingerprint=fingerprint(model),
        )
