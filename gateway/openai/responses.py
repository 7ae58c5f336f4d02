"""What the OpenAI routes answer with. Field names are OpenAI's; `reasoning_content` is what most hubs call it."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

FinishReasonName = Literal["stop", "length", "tool_calls", "content_filter"]


class FunctionCallOut(Struct, kw_only=True, frozen=True):
    """The tool and its arguments as JSON text."""

    name: str
    arguments: str


class ToolCallOut(Struct, kw_only=True, frozen=True):
    """A call that the model makes."""

    id: str
    function: FunctionCallOut
    type: Literal["function"] = "function"


class TopLogprob(Struct, kw_only=True, frozen=True):
    """A token that might have been."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprobOut(Struct, kw_only=True, frozen=True):
    """A token and how likely it was."""

    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[TopLogprob]


class Logprobs(Struct, kw_only=True, frozen=True):
    """One entry for each token."""

    content: list[TokenLogprobOut]
    refusal: None = None


class PromptTokensDetails(Struct, kw_only=True, frozen=True):
    """Of the prompt's tokens."""

    cached_tokens: int = 0
    audio_tokens: int = 0


class CompletionTokensDetails(Struct, kw_only=True, frozen=True):
    """Of the generated tokens."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class UsageOut(Struct, kw_only=True, frozen=True):
    """What a call cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails = PromptTokensDetails()
    completion_tokens_details: CompletionTokensDetails = CompletionTokensDetails()


class AnswerMessage(Struct, kw_only=True, frozen=True):
    """The model's turn."""

    content: str | None
    role: Literal["assistant"] = "assistant"
    refusal: None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallOut] | UnsetType = UNSET


class ChatChoice(Struct, kw_only=True, frozen=True):
    """One answer."""

    index: int
    message: AnswerMessage
    logprobs: Logprobs | None
    finish_reason: FinishReasonName


class ChatCompletion(Struct, kw_only=True, frozen=True):
    """A whole answer."""

    id: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageOut
    system_fingerprint: str
    object: Literal["chat.completion"] = "chat.completion"
    service_tier: Literal["default"] = "default"


class FunctionCallDelta(Struct, kw_only=True, frozen=True):
    """More of a call."""

    name: str | UnsetType = UNSET
    arguments: str = ""


class ToolCallDeltaOut(Struct, kw_only=True, frozen=True):
    """More of a call; `id`, `type` and the name come first."""

    index: int
    function: FunctionCallDelta
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class ChunkDelta(Struct, kw_only=True, frozen=True):
    """More of an answer."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | None | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallDeltaOut] | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True, frozen=True):
    """More of one choice."""

    index: int
    delta: ChunkDelta
    logprobs: Logprobs | None = None
    finish_reason: FinishReasonName | None = None


class ChatCompletionChunk(Struct, kw_only=True, frozen=True):
    """An event of a streamed answer. The one with the usage has no choices."""

    id: str
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    service_tier: Literal["default"] = "default"
    usage: UsageOut | None | UnsetType = UNSET


class LegacyLogprobs(Struct, kw_only=True, frozen=True):
    """Parallel lists, one entry for each token."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class TextChoice(Struct, kw_only=True, frozen=True):
    """One continuation, or more of it."""

    index: int
    text: str
    logprobs: LegacyLogprobs | None
    finish_reason: FinishReasonName | None


class Completion(Struct, kw_only=True, frozen=True):
    """Continuations, whole or as an event of a stream."""

    id: str
    created: int
    model: str
    choices: list[TextChoice]
    system_fingerprint: str
    object: Literal["text_completion"] = "text_completion"
    usage: UsageOut | None | UnsetType = UNSET


class Embedding(Struct, kw_only=True, frozen=True):
    """A vector: numbers, or base64 of little-endian 32-bit floats."""

    index: int
    embedding: list[float] | str
    object: Literal["embedding"] = "embedding"


class EmbeddingUsage(Struct, kw_only=True, frozen=True):
    """What the vectors cost, in tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Struct, kw_only=True, frozen=True):
    """One vector for each input, in their order."""

    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    object: Literal["list"] = "list"


class ModelOut(Struct, kw_only=True, frozen=True):
    """A model or an alias. created: when its file was last changed, seconds since 1970. The rest is Troupe's own.

    context_length: tokens that one call may use. default: it answers where no model is named. status: whether a call
    waits: "available" is loaded by the first call, "unavailable" is a model whose family is away. health: what came of
    the last check of a loaded one. What is not known is null or empty.
    """

    id: str
    created: int
    owned_by: str
    context_length: int | None = None
    default: bool = False
    alias_of: str | None = None
    status: Literal["loaded", "loading", "available", "unavailable"] = "available"
    health: Literal["healthy", "failing"] | None = None
    quantization: str | None = None
    license: str | None = None
    languages: list[str] = []
    input_modalities: list[str] = []
    output_modalities: list[str] = []
    specialties: list[str] = []
    object: Literal["model"] = "model"


class ModelList(Struct, kw_only=True, frozen=True):
    """All models, by name."""

    data: list[ModelOut]
    object: Literal["list"] = "list"


class ErrorDetail(Struct, kw_only=True, frozen=True):
    """What went wrong. The last three are Troupe's own."""

    message: str
    type: str
    param: str | None
    code: str | None
    reason: str
    reference: str
    details: dict[str, Any] | None = None


class ErrorBody(Struct, frozen=True):
    """The body of every answer that is an error."""

    error: ErrorDetail
