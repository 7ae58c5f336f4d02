"""The events of a streamed chat answer as bytes.

What does not change within a stream is encoded once; a token costs the encoding of its text and one concatenation.
"""

import math
from typing import Any

import msgspec

from gateway.openai.responses import (
    ChunkDelta,
    FunctionCallDelta,
    Logprobs,
    TokenLogprobOut,
    ToolCallDeltaOut,
    TopLogprob,
    UsageOut,
)
from gateway.openai.responses import CompletionTokensDetails as CompletionDetails
from gateway.openai.responses import PromptTokensDetails as PromptDetails
from troupe.chat.v1 import Delta, FinishReason, ToolCallDelta, Usage
from troupe.chat.v1 import TokenLogprob as ContractLogprob

FINISH_REASONS: dict[int, Any] = {
    FinishReason.FINISH_REASON_STOP: "stop",
    FinishReason.FINISH_REASON_LENGTH: "length",
    FinishReason.FINISH_REASON_TOOL_CALLS: "tool_calls",
}

_encode = msgspec.json.Encoder().encode


class ChatChunks:
    """Builds the events of one stream.

    with_usage: every event carries "usage", null until the last.
    """

    def __init__(self, answer_id: str, created: int, model: str, fingerprint: str, *, with_usage: bool) -> None:
        head = {"id": answer_id, "object": "chat.completion.chunk", "created": created, "model": model}
        head |= {"service_tier": "default", "system_fingerprint": fingerprint}
        self._head = b"data: " + _encode(head)[:-1] + b',"choices":['
        self._usage_null = b',"usage":null' if with_usage else b""
        self._tail = b"]" + self._usage_null + b"}\n\n"
        self._text_prefixes: dict[int, bytes] = {}
        self._text_suffix = b'},"logprobs":null,"finish_reason":null}' + self._tail
        self._begun: set[int] = set()

    def delta(self, delta: Delta) -> bytes:
        """The events of a delta, at times none; the first of a choice also tells the role."""
        choice = delta.choice
        begin = b"" if choice in self._begun else self._begin(choice)
        if delta.tool_calls or delta.reasoning or delta.logprobs:
            return begin + self._rich(delta)
        if not delta.text:
            return begin
        prefix = self._text_prefixes.get(choice) or self._text_prefix(choice)
        return b"".join((begin, prefix, _encode(delta.text), self._text_suffix))

    def _text_prefix(self, choice: int) -> bytes:
        prefix = self._text_prefixes[choice] = self._head + b'{"index":%d,"delta":{"content":' % choice
        return prefix

    def _begin(self, choice: int) -> bytes:
        self._begun.add(choice)
        return self._event(choice, ChunkDelta(role="assistant", content=""))

    def _rich(self, delta: Delta) -> bytes:
        found = ChunkDelta(
            content=delta.text if delta.text or not (delta.tool_calls or delta.reasoning) else msgspec.UNSET,
            reasoning_content=delta.reasoning or msgspec.UNSET,
            tool_calls=[_tool_call(call) for call in delta.tool_calls] or msgspec.UNSET,
        )
        return self._event(delta.choice, found, logprobs_of(delta.logprobs) if delta.logprobs else None)

    def finish(self, choice: int, reason: int) -> bytes:
        """The event that ends a choice."""
        begin = b"" if choice in self._begun else self._begin(choice)
        return begin + self._event(choice, ChunkDelta(), None, FINISH_REASONS.get(reason, "stop"))

    def _event(
        self, choice: int, delta: ChunkDelta, logprobs: Logprobs | None = None, finish_reason: str | None = None
    ) -> bytes:
        body = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return self._head + _encode(body) + self._tail

    def usage(self, usage: UsageOut) -> bytes:
        """The event without choices."""
        return self._head + b'],"usage":' + _encode(usage) + b"}\n\n"


def _tool_call(call: ToolCallDelta) -> ToolCallDeltaOut:
    if not call.id:
        return ToolCallDeltaOut(index=call.index, function=FunctionCallDelta(arguments=call.arguments))
    function = FunctionCallDelta(name=call.name, arguments=call.arguments)
    return ToolCallDeltaOut(index=call.index, id=call.id, type="function", function=function)


def logprobs_of(entries: "Any") -> Logprobs:
    """Log probabilities as OpenAI has them. entries: troupe.chat.v1.TokenLogprob."""
    return Logprobs(content=[_logprob(entry) for entry in entries])


def _logprob(entry: ContractLogprob) -> TokenLogprobOut:
    return TokenLogprobOut(
        token=entry.token,
        logprob=entry.logprob,
        bytes=list(entry.bytes),
        top_logprobs=[
            TopLogprob(token=other.token, logprob=other.logprob, bytes=list(other.bytes))
            for other in entry.alternatives
        ],
    )


def usage_of(usage: Usage) -> UsageOut:
    """Usage as OpenAI has it."""
    return UsageOut(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=usage.cached_tokens),
        completion_tokens_details=CompletionDetails(reasoning_tokens=usage.reasoning_tokens),
    )


def progress_comment(progress: "Any") -> str:
    """What a call is waiting for, for people who read the stream. progress: troupe.rpc.v1.Progress."""
    words = [progress.State.Name(progress.state).removeprefix("STATE_").lower()]
    if progress.position:
        words.append(f"position {progress.position}")
    if progress.HasField("fraction"):
        words.append(f"{progress.fraction:.0%}")
    if progress.HasField("eta"):
        words.append(f"about {math.ceil(progress.eta.ToNanoseconds() / 1e9)} s")
    if progress.note:
        words.append(" ".join(progress.note.split()))
    return " ".join(words)
