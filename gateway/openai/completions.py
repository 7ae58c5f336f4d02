"""POST /v1/completions, OpenAI's older interface: the continuation of plain texts."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bus import invalid
from gateway.http.exchange import Exchange
from gateway.http.stream import Headers, ResponseStream, unless_gone
from gateway.openai.answer import DONE, fingerprint, fresh_id, names_of, now
from gateway.openai.chunks import FINISH_REASONS, progress_comment, usage_of
from gateway.openai.embeddings import texts_of
from gateway.openai.errors import unsupported
from gateway.openai.responses import Completion, LegacyLogprobs, TextChoice, UsageOut
from gateway.openai.sampling import check_stream_options, constraint_of, sampling_of, stops_of
from gateway.openai.schema import CompletionRequest
from gateway.openai.token_ids import PROMPT_REFUSAL
from troupe.chat.v1 import ChatServiceClient, CompleteRequest, CompleteResponse, Delta, TokenLogprob, Usage

MAX_PROMPTS = 16


async def completions(exchange: Exchange) -> None:
    """Continue one or several texts, whole or as a stream. Choice `i` of prompt `p` has the index `p * n + i`."""
    asked: CompletionRequest = exchange.request
    with_usage = check_stream_options(asked)
    name, headers = names_of(exchange, asked)
    requests = complete_requests(asked)
    with ExitStack() as places:
        for _ in requests[1:]:  # the first has its place already
            places.enter_context(exchange.hub.limits.call(exchange.principal))
        if asked.stream:
            await _stream(exchange, asked, requests, Shown(name, headers, with_usage))
        else:
            await _whole(exchange, asked, requests, Shown(name, headers, with_usage))


@dataclass(frozen=True, slots=True)
class Shown:
    """How the answer looks. name: of the model, as asked for. with_usage: a stream ends with its usage."""

    name: str
    headers: Headers
    with_usage: bool


def complete_requests(asked: CompletionRequest) -> list[CompleteRequest]:
    """One request of the contract for each prompt. Raises INVALID_ARGUMENT naming the parameter."""
    if asked.best_of is not None and asked.best_of != (asked.n or 1):
        raise unsupported("best_of", "best_of is not supported; ask for n answers and choose among them.")
    prompts = texts_of(asked.prompt, "prompt", PROMPT_REFUSAL)
    if len(prompts) > MAX_PROMPTS:
        raise invalid(f"prompt: {len(prompts)} texts are given; at most {MAX_PROMPTS} are continued at once.", "prompt")
    return [_request(asked, prompt) for prompt in prompts]


def _request(asked: CompletionRequest, prompt: str) -> CompleteRequest:
    request = CompleteRequest(
        model=asked.model,
        prompt=prompt,
        suffix=asked.suffix or "",
        sampling=sampling_of(asked),
        stop=stops_of(asked),
        choices=asked.n or 1,
        logprobs=asked.logprobs is not None,
        top_logprobs=asked.logprobs or 0,
        echo=bool(asked.echo),
        adapter=asked.adapter or "",
    )
    if asked.max_tokens is not None:
        request.max_tokens = asked.max_tokens
    if constraint := constraint_of(asked, asked.response_format):
        request.response_format.CopyFrom(constraint)
    return request


def _call(exchange: Exchange, request: CompleteRequest) -> AsyncIterator[CompleteResponse]:
    return ChatServiceClient(exchange.hub.channel).complete(request, metadata=exchange.metadata)


async def _together(*works: Coroutine[Any, Any, None]) -> None:
    """All of them at once; the first failure cancels the others and is raised when they are over."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class Continuation:
    """One choice as it grows. offset: characters so far."""

    text: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: int = 0
    offset: int = 0

    def positioned(self, entries: "list[TokenLogprob]") -> LegacyLogprobs:
        """The entries as parallel lists, with offsets that go on from the last call."""
        offsets = []
        for entry in entries:
            offsets.append(self.offset)
            self.offset += len(entry.token)
        tops = [{other.token: other.logprob for other in entry.alternatives} for entry in entries]
        return LegacyLogprobs(
            tokens=[entry.token for entry in entries],
            token_logprobs=[entry.logprob for entry in entries],
            top_logprobs=tops if any(tops) else None,
            text_offset=offsets,
        )


class Gathering:
    """The choices of all prompts and their cost."""

    def __init__(self, asked: CompletionRequest, prompts: int) -> None:
        self.choices = {index: Continuation() for index in range(prompts * (asked.n or 1))}
        self.per_prompt = asked.n or 1
        self._cost = Usage()

    def add_usage(self, usage: Usage) -> None:
        """What one of the calls cost."""
        self._cost.prompt_tokens += usage.prompt_tokens
        self._cost.completion_tokens += usage.completion_tokens
        self._cost.cached_tokens += usage.cached_tokens

    @property
    def usage(self) -> UsageOut:
        """What all calls cost."""
        return usage_of(self._cost)


async def _whole(exchange: Exchange, asked: CompletionRequest, requests: list[CompleteRequest], shown: Shown) -> None:
    gathering = Gathering(asked, len(requests))
    works = [_gather(exchange, request, gathering, number) for number, request in enumerate(requests)]
    await unless_gone(exchange.receive, _together(*works))
    choices = [
        TextChoice(
            index=index,
            text="".join(found.text),
            logprobs=found.positioned(found.logprobs) if asked.logprobs is not None else None,
            finish_reason=FINISH_REASONS.get(found.finish_reason, "stop"),
        )
        for index, found in gathering.choices.items()
    ]
    exchange.record.tokens = gathering.usage.total_tokens
    answer = _completion(fresh_id("cmpl-"), now(), shown.name, choices, gathering.usage)
    await exchange.answer(answer, headers=shown.headers)


async def _gather(exchange: Exchange, request: CompleteRequest, gathering: Gathering, number: int) -> None:
    async for response in _call(exchange, request):
        kind = response.WhichOneof("event")
        if kind == "delta":
            found = gathering.choices[number * gathering.per_prompt + response.delta.choice]
            found.text.append(response.delta.text)
            found.logprobs.extend(response.delta.logprobs)
        elif kind == "finish":
            found = gathering.choices[number * gathering.per_prompt + response.finish.choice]
            found.finish_reason = response.finish.reason
        elif kind == "usage":
            gathering.add_usage(response.usage)


def _completion(
    answer_id: str, created: int, model: str, choices: list[TextChoice], usage: Any = msgspec.UNSET
) -> Completion:
    return Completion(
        id=answer_id, created=created, model=model, choices=choices, system_fingerprint=fingerprint(model), usage=usage
    )


async def _stream(exchange: Exchange, asked: CompletionRequest, requests: list[CompleteRequest], shown: Shown) -> None:
    gathering = Gathering(asked, len(requests))
    answer_id, created = fresh_id("cmpl-"), now()

    def event(choices: list[TextChoice], usage: Any = msgspec.UNSET) -> bytes:
        found = _completion(answer_id, created, shown.name, choices, usage)
        return b"data: " + msgspec.json.encode(found) + b"\n\n"

    async def follow(stream: ResponseStream, request: CompleteRequest, number: int) -> None:
        null = None if shown.with_usage else msgspec.UNSET
        async for response in _call(exchange, request):
            choice = _piece(response, gathering, number)
            if choice is not None:
                stream.write(event([choice], null))
            elif response.HasField("progress"):
                stream.comment(progress_comment(response.progress))
            if stream.full:
                await stream.room()

    async def produce(stream: ResponseStream) -> None:
        await _together(*(follow(stream, request, number) for number, request in enumerate(requests)))
        exchange.record.tokens = gathering.usage.total_tokens
        if shown.with_usage:
            stream.write(event([], gathering.usage))
        stream.write(DONE)

    await exchange.stream(produce, headers=shown.headers)


def _piece(response: CompleteResponse, gathering: Gathering, number: int) -> TextChoice | None:
    """The part of a stream's event that this response is; None: it is none."""
    kind = response.WhichOneof("event")
    if kind == "usage":
        gathering.add_usage(response.usage)
    if kind == "delta" and (response.delta.text or response.delta.logprobs):
        index = number * gathering.per_prompt + response.delta.choice
        return TextChoice(
            index=index,
            text=response.delta.text,
            logprobs=_legacy(response.delta, gathering.choices[index]),
            finish_reason=None,
        )
    if kind == "finish":
        index = number * gathering.per_prompt + response.finish.choice
        reason = FINISH_REASONS.get(response.finish.reason, "stop")
        return TextChoice(index=index, text="", logprobs=None, finish_reason=reason)
    return None


def _legacy(delta: Delta, found: Continuation) -> LegacyLogprobs | None:
    return found.positioned(list(delta.logprobs)) if delta.logprobs else None
