"""What the OpenAI routes understand of a request.

A field that is not here is refused by name: who asks for something is never answered as if it had not been asked. What
OpenAI's clients send and cannot change the answer is in `Unheeded`.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Probability = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TokenCount = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Choices = Annotated[int, Meta(ge=1, le=16)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
GuidedChoice = Annotated[list[str], Meta(min_length=1, max_length=256)]
Stop = str | Annotated[list[str], Meta(max_length=16)]
ModelName = Annotated[str, Meta(max_length=256, description="A model or an alias; empty: the hub's default model.")]
ToolName = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]


class TextPart(Struct, tag="text", tag_field="type"):
    """Text."""

    text: str


class RefusalPart(Struct, tag="refusal", tag_field="type"):
    """What the model said instead of an answer."""

    refusal: str


class ImageUrl(Struct):
    """A picture. url: "data:<media type>;base64,…" or "blob:<id>" in the hub's store."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(Struct, tag="image_url", tag_field="type"):
    """A picture."""

    image_url: ImageUrl


class InputAudio(Struct):
    """Sound, in base64."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Struct, tag="input_audio", tag_field="type"):
    """Sound."""

    input_audio: InputAudio


class FileContent(Struct):
    """A document: its data as a data URL, or the name of a blob in the hub's store."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(Struct, tag="file", tag_field="type"):
    """A document."""

    file: FileContent


ContentPart = TextPart | RefusalPart | ImagePart | AudioPart | FilePart


class FunctionCall(Struct):
    """A tool and its arguments as JSON text."""

    name: str
    arguments: str = ""


class ToolCallIn(Struct, tag="function", tag_field="type"):
    """A call that an earlier turn made."""

    id: str
    function: FunctionCall


class ChatMessage(Struct):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    name: Annotated[str, Meta(max_length=64)] | None = None
    tool_calls: list[ToolCallIn] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None


class FunctionDefinition(Struct):
    """A tool. parameters: a JSON schema of its arguments."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolDefinition(Struct, tag="function", tag_field="type"):
    """A tool."""

    function: FunctionDefinition


class FunctionName(Struct):
    """A tool's name."""

    name: str


class NamedToolChoice(Struct, tag="function", tag_field="type"):
    """Exactly this tool is called."""

    function: FunctionName


class AllowedTools(Struct):
    """Some of the tools."""

    mode: Literal["auto", "required"]
    tools: list[NamedToolChoice]


class AllowedToolsChoice(Struct, tag="allowed_tools", tag_field="type"):
    """Only these tools may be called."""

    allowed_tools: AllowedTools


class TextResponse(Struct, tag="text", tag_field="type"):
    """Any text."""


class JsonResponse(Struct, tag="json_object", tag_field="type"):
    """Any JSON object."""


class JsonSchema(Struct):
    """A schema that the answer satisfies."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class JsonSchemaResponse(Struct, tag="json_schema", tag_field="type"):
    """JSON that satisfies a schema. It always does, `strict` or not."""

    json_schema: JsonSchema


ResponseFormatIn = TextResponse | JsonResponse | JsonSchemaResponse


class StreamOptions(Struct):
    """How a stream looks."""

    include_usage: bool | None = None


class StructuredOutputs(Struct, forbid_unknown_fields=True):
    """vLLM's way to say to what the answer keeps: one of the first five. The others are refused unless they say no."""

    json: dict[str, Any] | str | None = None
    regex: str | None = None
    choice: GuidedChoice | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: Any = None
    whitespace_pattern: Any = None
    disable_any_whitespace: Any = None
    disable_additional_properties: Any = None
    disable_fallback: Any = None


class Unheeded(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is accepted and changes nothing: whose request it is, what OpenAI keeps of it, how it is paid and cached."""

    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    prediction: Any = None
    cache_prompt: Any = None


class SamplingFields(Unheeded, kw_only=True):
    """How the next token is chosen, and to what the answer keeps.

    `top_k`, `min_p` and `repetition_penalty` are not OpenAI's; the names from `guided_json` on are those of vLLM,
    SGLang and llama.cpp, of which the last are refused.
    """

    model: ModelName = ""
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    min_p: Probability | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=2)] | None = None
    seed: int | None = None
    logit_bias: Annotated[dict[str, Bias], Meta(max_length=1024)] | None = None
    stop: Stop | None = None
    n: Choices | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    adapter: str | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    regex: str | None = None
    guided_choice: GuidedChoice | None = None
    guided_grammar: str | None = None
    grammar: str | None = None
    json_schema: dict[str, Any] | str | None = None
    structured_outputs: StructuredOutputs | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=2)] | None = None
    min_tokens: Any = None
    ignore_eos: Any = None
    stop_token_ids: Any = None
    bad_words: Any = None
    use_beam_search: Any = None
    length_penalty: Any = None
    typical_p: Any = None
    tfs_z: Any = None
    top_a: Any = None
    mirostat: Any = None
    dry_multiplier: Any = None
    xtc_probability: Any = None
    dynatemp_range: Any = None
    structural_tag: Any = None
    logits_processors: Any = None


class ChatRequest(SamplingFields, kw_only=True):
    """POST /v1/chat/completions. The last fields are OpenAI's and refused."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=4096)]
    tools: Annotated[list[ToolDefinition], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | AllowedToolsChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormatIn | None = None
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    functions: Any = None
    function_call: Any = None
    audio: Any = None
    modalities: Any = None
    web_search_options: Any = None
    verbosity: Any = None
    moderation: Any = None


class CompletionRequest(SamplingFields, kw_only=True):
    """POST /v1/completions."""

    prompt: str | Annotated[list[Any], Meta(min_length=1, max_length=64)]
    suffix: str | None = None
    max_tokens: TokenCount | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    best_of: int | None = None
    response_format: ResponseFormatIn | None = None


class EmbeddingRequest(Unheeded, kw_only=True):
    """POST /v1/embeddings."""

    model: ModelName = ""
    input: str | Annotated[list[Any], Meta(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
