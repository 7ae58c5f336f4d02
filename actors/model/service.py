"""One loaded model as services of the contract: chat and embeddings, on any engine."""

import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from actors.model.answers import AnswerWriter
from actors.model.constraint import TOOLS, Constraint, ToolUse
from actors.model.continuation import Continuation
from actors.model.interface import Engine, Job, Stream
from actors.model.prompt import ChatTemplate, starts_thinking, turn_marks
from actors.model.reply import THINK_END, ReplyParser
from actors.model.validation import (
    alternatives,
    answer_format,
    check_count,
    conversation,
    offered_tools,
    plain,
    sampling_settings,
    stop_strings,
    template_tools,
)
from bus import Code, Context, RpcError, continues, invalid
from bus.behalf import TOKENS
from troupe.chat.v1 import (
    ChatService,
    CompleteRequest,
    CompleteResponse,
    CountTokensRequest,
    CountTokensResponse,
    GenerateRequest,
    GenerateResponse,
    ToolChoice,
)
from troupe.embedding.v1 import EmbeddingService, EmbedRequest, EmbedResponse

Work = TypeVar("Work", bound=Stream[Any])

COMPLETION_DEFAULT = 16
"""Tokens of a completion whose request does not say."""
CHOICES_LIMIT = 16
INPUTS_LIMIT = 2048


class AdapterSource(Protocol):
    """Where adapters come from."""

    async def ensure(self, name: str, engine: Engine) -> None:
        """Have an adapter loaded. Raises RpcError ADAPTER_NOT_FOUND with the nearest names."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A conversation made ready for the engine."""

    prompt: list[int]
    thinking: bool
    """The prompt ends within <think>."""
    tools: list[dict[str, Any]]


class ServedModel(ChatService, EmbeddingService):
    """Serves one engine."""

    def __init__(self, engine: Engine, adapters: AdapterSource) -> None:
        """Raises RpcError MODEL_LOAD_FAILED if the model's chat template cannot be used."""
        self._engine = engine
        self._adapters = adapters
        self._chat = ChatTemplate(engine.info) if engine.info.chats else None

    @continues
    async def generate(self, request: GenerateRequest, ctx: Context) -> AsyncIterator[GenerateResponse]:
        """See the contract. Cancelling frees the call's slots within one engine step."""
        turn = self._turn(request)
        job = self._chat_job(request, turn)
        before = Continuation(request.delivered, job.choices, self._engine.info)
        if before.whole:
            _account(ctx, before.tokens)
            return
        job = before.taken_up_by(job)
        await self._ensure_adapter(request.adapter)
        calls_only = request.tool_choice.mode == ToolChoice.Mode.MODE_REQUIRED
        parsers = [self._parser(turn, calls_only) for _ in range(job.choices)]
        writer = AnswerWriter(GenerateResponse, parsers, request.stop, before.choices)
        with _cancelling(self._engine.submit(job)) as generation:
            async for events in generation:
                for response in writer.write(events):
                    yield response
        _account(ctx, writer.tokens)

    @continues
    async def complete(self, request: CompleteRequest, ctx: Context) -> AsyncIterator[CompleteResponse]:
        """See the contract. Cancelling frees the call's slots within one engine step."""
        job = self._completion_job(request)
        before = Continuation(request.delivered, job.choices, self._engine.info)
        if before.whole:
            _account(ctx, before.tokens)
            return
        job = before.taken_up_by(job)
        await self._ensure_adapter(request.adapter)
        parsers = [ReplyParser() for _ in range(job.choices)]
        writer = AnswerWriter(CompleteResponse, parsers, request.stop, before.choices)
        with _cancelling(self._engine.submit(job)) as generation:
            for choice in range(job.choices if request.echo else 0):
                for response in writer.echo(choice, request.prompt):
                    yield response
            async for events in generation:
                for response in writer.write(events):
                    yield response
        _account(ctx, writer.tokens)

    async def count_tokens(self, request: CountTokensRequest, ctx: Context) -> CountTokensResponse:
        """See the contract."""
        tools = template_tools(offered_tools(request.tools, ToolChoice()))
        text = self._template.render(conversation(request.messages), tools)
        tokens = self._template.tokenize(text, self._engine)
        return CountTokensResponse(tokens=len(tokens), context_tokens=self._engine.info.context_tokens)

    async def embed(self, request: EmbedRequest, ctx: Context) -> AsyncIterator[EmbedResponse]:
        """See the contract. Cancelling abandons what is left."""
        self._check_embeds()
        inputs = self._embedding_inputs(request)
        total = 0
        with _cancelling(self._engine.embed(inputs)) as stream:
            async for found in stream:
                for embedding in found:
                    total += embedding.tokens
                    values = _shortened(embedding.values, request.dimensions)
                    yield EmbedResponse(index=embedding.index, values=values, tokens=embedding.tokens)
        _account(ctx, total)
        yield EmbedResponse(tokens=total)

    # ---- chat

    def _turn(self, request: GenerateRequest) -> Turn:
        tools = offered_tools(request.tools, request.tool_choice)
        variables = plain(request.template_variables) if request.HasField("template_variables") else {}
        text = self._template.render(conversation(request.messages), template_tools(tools), variables)
        return Turn(self._template.tokenize(text, self._engine), starts_thinking(text), tools)

    def _chat_job(self, request: GenerateRequest, turn: Turn) -> Job:
        check_count("choices", request.choices, 0, CHOICES_LIMIT)
        constraint = self._constraint(request, turn)
        formatted = constraint is not None and constraint.answer is not None
        markers = self._template.tool_format.markers if turn.tools or self._template.thinks else frozenset()
        return Job(
            prompt=turn.prompt,
            max_tokens=self._room(request.max_tokens if request.HasField("max_tokens") else None, turn.prompt),
            sampling=sampling_settings(request.sampling, self._engine.info),
            choices=request.choices or 1,
            stop=_stops(request.stop, () if formatted else self._template.marks),
            alternatives=alternatives(request.logprobs, request.top_logprobs),
            constraint=constraint,
            markers=markers | {"<think>", "</think>"},
            adapter=request.adapter,
        )

    def _constraint(self, request: GenerateRequest, turn: Turn) -> Constraint | None:
        answer = answer_format(request.response_format)
        required = request.tool_choice.mode == ToolChoice.Mode.MODE_REQUIRED
        use = None
        if turn.tools:
            use = ToolUse(self._template.tool_format, turn.tools, required, _parallel(request))
            if TOOLS not in self._engine.info.obeys and not required and not any(t["strict"] for t in turn.tools):
                use = None  # the model calls as it has learned to
        if answer is None and use is None:
            return None
        # Thoughts come first and are free.
        return self._obeyed(Constraint(answer, use, THINK_END if turn.thinking else ""))

    def _obeyed(self, constraint: Constraint) -> Constraint:
        """The constraint, if the engine can hold an answer to it."""
        missing = constraint.kinds - self._engine.info.obeys
        if not missing:
            return constraint
        known = ", ".join(sorted(self._engine.info.obeys)) or "none"
        field = constraint.answer.field if constraint.answer is not None else "tool_choice"
        message = (
            f"This model's engine cannot hold an answer to {' and '.join(sorted(missing))}; it knows: {known}. "
            "Ask another model, or leave it out."
        )
        raise RpcError(Code.INVALID_ARGUMENT, message, reason="UNSUPPORTED_CONSTRAINT", field=field)

    def _parser(self, turn: Turn, calls_only: bool) -> ReplyParser:
        names = [str(tool["name"]) for tool in turn.tools]
        tools = self._template.tool_format.parser(names) if names else None
        return ReplyParser(thinks=self._template.thinks, thinking=turn.thinking, tools=tools, calls_only=calls_only)

    # ---- completion

    def _completion_job(self, request: CompleteRequest) -> Job:
        self._check_generates()
        check_count("choices", request.choices, 0, CHOICES_LIMIT)
        prompt = self._completion_prompt(request)
        answer = answer_format(request.response_format)
        return Job(
            prompt=prompt,
            max_tokens=self._room(request.max_tokens if request.HasField("max_tokens") else COMPLETION_DEFAULT, prompt),
            sampling=sampling_settings(request.sampling, self._engine.info),
            choices=request.choices or 1,
            stop=_stops(request.stop, () if answer is not None or request.suffix else turn_marks(request.prompt)),
            alternatives=alternatives(request.logprobs, request.top_logprobs),
            constraint=None if answer is None else self._obeyed(Constraint(answer)),
            adapter=request.adapter,
        )

    def _completion_prompt(self, request: CompleteRequest) -> list[int]:
        engine = self._engine
        if request.suffix:
            if engine.info.infill is None:
                message = "This model was not trained to fill gaps; leave `suffix` out."
                raise RpcError(Code.INVALID_ARGUMENT, message, reason="UNSUPPORTED_CONTENT", field="suffix")
            before, after, middle = engine.info.infill
            prefix = engine.tokenize(request.prompt, control=False)
            return [before, *prefix, after, *engine.tokenize(request.suffix, control=False), middle]
        tokens = engine.tokenize(request.prompt, control=True, begin=True)
        if not tokens:
            raise invalid("The prompt is empty, and this model has no token to begin a text with.", "prompt")
        return tokens

    # ---- both

    @property
    def _template(self) -> ChatTemplate:
        """The chat template. Raises RpcError where there is none to chat with."""
        self._check_generates()
        if self._chat is None:
            message = (
                "This model has no chat template, so it continues texts and does not chat: call Complete (over HTTP "
                "/v1/completions), or put the conversation to a model that has one."
            )
            raise RpcError(Code.FAILED_PRECONDITION, message, reason="NO_CHAT_TEMPLATE", field="model")
        return self._chat

    def _check_generates(self) -> None:
        if not self._engine.info.generates:
            message = "This model makes embeddings only; ask another one for text."
            raise RpcError(Code.UNIMPLEMENTED, message, reason="UNSUPPORTED_CONTENT", field="model")

    def _check_embeds(self) -> None:
        if not self._engine.info.embeds:
            message = "This model makes no embeddings that mean anything; ask one that is made for them, e5-small."
            raise RpcError(Code.UNIMPLEMENTED, message, reason="UNSUPPORTED_CONTENT", field="model")

    def _room(self, wanted: int | None, prompt: Sequence[int]) -> int:
        """Tokens that the answer may have: what is wanted, as far as it fits.

        A prompt that leaves no room is refused by the engine, with the counts.
        """
        if wanted == 0:
            raise invalid("max_tokens must be at least 1; leave it out for what the context holds.", "max_tokens")
        room = max(1, self._engine.info.context_tokens - len(prompt))
        return room if wanted is None else min(wanted, room)

    async def _ensure_adapter(self, name: str) -> None:
        if name:
            await self._adapters.ensure(name, self._engine)

    def _embedding_inputs(self, request: EmbedRequest) -> list[list[int]]:
        info = self._engine.info
        check_count("dimensions", request.dimensions, 0, info.embedding_dimensions)
        if request.inputs and request.token_inputs:
            raise invalid("Give inputs or token_inputs, not both.", "token_inputs")
        field = "token_inputs" if request.token_inputs else "inputs"
        check_count(field, len(request.inputs) or len(request.token_inputs), 1, INPUTS_LIMIT)
        found = list(self._tokens_given(request) if request.token_inputs else map(self._embedded, request.inputs))
        for place, tokens in enumerate(found):
            if not tokens:
                raise invalid(f"{field}[{place}] is empty.", f"{field}[{place}]")
            if len(tokens) > info.embedding_tokens:
                raise _input_too_long(f"{field}[{place}]", len(tokens), info.embedding_tokens)
        return found

    def _embedded(self, text: str) -> list[int]:
        return self._engine.tokenize(text, control=False, begin=True) if text else []

    def _tokens_given(self, request: EmbedRequest) -> Iterator[list[int]]:
        limit = self._engine.info.vocabulary
        for place, given in enumerate(request.token_inputs):
            wrong = next((number for number in given.ids if number >= limit), None)
            if wrong is not None:
                field = f"token_inputs[{place}]"
                raise invalid(f"{field}: {wrong} is no token id of this model, whose ids end at {limit - 1}.", field)
            yield list(given.ids)


def _account(ctx: Context, tokens: int) -> None:
    ctx.trailers[TOKENS] = str(tokens)


def _parallel(request: GenerateRequest) -> bool:
    """Whether several calls may come: as asked for, else unless one named tool is demanded, which is called once."""
    if request.HasField("parallel_tool_calls"):
        return request.parallel_tool_calls
    choice = request.tool_choice
    return choice.mode != ToolChoice.Mode.MODE_REQUIRED or len(choice.names) != 1


def _stops(wanted: Sequence[str], marks: Sequence[str]) -> tuple[str, ...]:
    """Texts before which the answer ends: the request's, and bounds of turns that the model would write as text."""
    stops = stop_strings(wanted)
    return (*stops, *(mark for mark in marks if mark not in stops))


@contextmanager
def _cancelling(work: Work) -> Iterator[Work]:
    """Give up what is left of it at the end, whatever the end is."""
    try:
        yield work
    finally:
        work.cancel()


def _shortened(values: Sequence[float], dimensions: int) -> Sequence[float]:
    if not dimensions or dimensions >= len(values):
        return values
    kept = values[:dimensions]
    length = math.sqrt(sum(value * value for value in kept)) or 1.0
    return [value / length for value in kept]


def _input_too_long(field: str, tokens: int, limit: int) -> RpcError:
    message = f"{field} has {tokens} tokens; this model embeds at most {limit}. Cut the text into shorter pieces."
    metadata = {"prompt_tokens": str(tokens), "context_tokens": str(limit)}
    return RpcError(Code.INVALID_ARGUMENT, message, reason="CONTEXT_LENGTH_EXCEEDED", metadata=metadata, field=field)
