"""A chat request as the contract has it."""

import re
from collections.abc import Iterable

from bus import RpcError, invalid
from gateway.openai.errors import unsupported
from gateway.openai.sampling import constraint_of, refuse, sampling_of, stops_of, struct_of
from gateway.openai.schema import (
    AllowedToolsChoice,
    AudioPart,
    ChatMessage,
    ChatRequest,
    ContentPart,
    FileContent,
    FilePart,
    ImagePart,
    NamedToolChoice,
    RefusalPart,
    TextPart,
    ToolDefinition,
)
from troupe.blob.v1 import Reference
from troupe.chat.v1 import GenerateRequest, Message, Part, Role, Tool, ToolCall, ToolChoice

_ROLES = {
    "system": Role.ROLE_SYSTEM,
    "developer": Role.ROLE_SYSTEM,
    "user": Role.ROLE_USER,
    "assistant": Role.ROLE_ASSISTANT,
    "tool": Role.ROLE_TOOL,
}
_MODES = {
    "none": ToolChoice.MODE_NONE,
    "auto": ToolChoice.MODE_AUTO,
    "required": ToolChoice.MODE_REQUIRED,
}
_UNSUPPORTED = {
    "audio": "Answers are text.",
    "web_search_options": "Offer a search as one of the tools.",
    "moderation": "Nothing here moderates what is asked or answered.",
}
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_DATA_URL = re.compile(r"data:([^;,]*)[;,]")


def generate_request(request: ChatRequest) -> GenerateRequest:
    """The contract's request. Raises INVALID_ARGUMENT naming the parameter."""
    _check(request)
    found = GenerateRequest(
        model=request.model,
        messages=[_message(message, f"messages[{index}]") for index, message in enumerate(request.messages)],
        tools=[_tool(tool, f"tools[{index}]") for index, tool in enumerate(request.tools or ())],
        sampling=sampling_of(request),
        stop=stops_of(request),
        choices=request.n or 1,
        logprobs=bool(request.logprobs),
        top_logprobs=request.top_logprobs or 0,
        adapter=request.adapter or "",
    )
    limit = request.max_completion_tokens or request.max_tokens
    if limit is not None:
        found.max_tokens = limit
    if request.parallel_tool_calls is not None:
        found.parallel_tool_calls = request.parallel_tool_calls
    if request.tool_choice is not None:
        found.tool_choice.CopyFrom(_tool_choice(request))
    if constraint := constraint_of(request, request.response_format):
        found.response_format.CopyFrom(constraint)
    variables = _template_variables(request)
    if variables:
        found.template_variables.CopyFrom(struct_of(variables, "chat_template_kwargs"))
    return found


def _check(request: ChatRequest) -> None:
    refuse(request, _UNSUPPORTED)
    if request.functions not in (None, []):
        raise unsupported("functions", "functions is not supported. Use tools.")
    if request.function_call not in (None, "none", "auto"):
        raise unsupported("function_call", "function_call is not supported. Use tool_choice.")
    if request.verbosity not in (None, "medium"):
        raise unsupported("verbosity", "verbosity may only be medium. Ask for another in the system message.")
    if request.modalities is not None and request.modalities != ["text"]:
        raise unsupported("modalities", 'modalities may only be ["text"]: answers are text.')
    if request.top_logprobs and not request.logprobs:
        raise invalid("top_logprobs needs logprobs: true.", "top_logprobs")
    if request.tool_choice not in (None, "none", "auto") and not request.tools:
        raise invalid("tool_choice needs tools.", "tool_choice")


def _template_variables(request: ChatRequest) -> dict[str, object]:
    variables = dict(request.chat_template_kwargs or {})
    if request.reasoning_effort is not None:
        variables.setdefault("reasoning_effort", request.reasoning_effort)
        variables.setdefault("enable_thinking", request.reasoning_effort != "none")
    return variables


# ---- tools


def _tool(tool: ToolDefinition, path: str) -> Tool:
    given = tool.function
    found = Tool(name=given.name, description=given.description or "", strict=bool(given.strict))
    if given.parameters is not None:
        found.parameters.CopyFrom(struct_of(given.parameters, f"{path}.function.parameters"))
    return found


def _tool_choice(request: ChatRequest) -> ToolChoice:
    asked = request.tool_choice
    offered = {tool.function.name for tool in request.tools or ()}
    if isinstance(asked, NamedToolChoice):
        return ToolChoice(mode=ToolChoice.MODE_REQUIRED, names=_known([asked], offered))
    if isinstance(asked, AllowedToolsChoice):
        allowed = asked.allowed_tools
        return ToolChoice(mode=_MODES[allowed.mode], names=_known(allowed.tools, offered))
    return ToolChoice(mode=_MODES[asked or "auto"])


def _known(choices: Iterable[NamedToolChoice], offered: set[str]) -> list[str]:
    names = [choice.function.name for choice in choices]
    for name in names:
        if name not in offered:
            raise invalid(f"tool_choice: there is no tool {name!r} among the tools.", "tool_choice")
    return names


# ---- messages


def _message(message: ChatMessage, path: str) -> Message:
    if message.role == "tool" and not message.tool_call_id:
        raise invalid(
            f"{path}.tool_call_id is missing: a tool's turn names the call that it answers.", f"{path}.tool_call_id"
        )
    if message.content is None and message.role != "assistant":
        raise invalid(f"{path}.content is missing.", f"{path}.content")
    return Message(
        role=_ROLES[message.role],
        parts=_parts(message, path),
        tool_calls=[
            ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in message.tool_calls or ()
        ],
        tool_call_id=message.tool_call_id or "",
        name=message.name or "",
        reasoning=message.reasoning_content or "",
    )


def _parts(message: ChatMessage, path: str) -> list[Part]:
    if isinstance(message.content, str):
        return [Part(text=message.content)]
    if message.content is None:
        return [Part(text=message.refusal)] if message.refusal else []
    return [_part(part, f"{path}.content[{index}]") for index, part in enumerate(message.content)]


def _part(part: ContentPart, path: str) -> Part:
    if isinstance(part, TextPart):
        return Part(text=part.text)
    if isinstance(part, RefusalPart):
        return Part(text=part.refusal)
    if isinstance(part, ImagePart):
        image = part.image_url
        return Part(image=_reference(image.url, f"{path}.image_url.url", detail=image.detail))
    if isinstance(part, AudioPart):
        media_type = _AUDIO_TYPES[part.input_audio.format]
        return Part(audio=Reference(uri=f"data:{media_type};base64,{part.input_audio.data}", media_type=media_type))
    assert isinstance(part, FilePart)
    return Part(file=_file(part.file, f"{path}.file"))


def _file(given: FileContent, path: str) -> Reference:
    if given.file_data:
        return _reference(given.file_data, f"{path}.file_data", filename=given.filename or "")
    if given.file_id:
        name = given.file_id.removeprefix("blob:")
        return Reference(uri=f"blob:{name}", filename=given.filename or "")
    raise invalid(f"{path} needs file_data or file_id.", path)


def _reference(uri: str, path: str, *, detail: str = "", filename: str = "") -> Reference:
    if uri.startswith("blob:"):
        return Reference(uri=uri, detail=detail, filename=filename)
    data = _DATA_URL.match(uri)
    if data is None:
        raise _not_fetched(uri, path)
    return Reference(uri=uri, media_type=data.group(1), detail=detail, filename=filename)


def _not_fetched(uri: str, path: str) -> RpcError:
    return invalid(
        f"{path}: {uri[:40]!r} is not fetched by the hub; send the content as 'data:<media type>;base64,…' or as"
        " 'blob:<id>' of what was put into the hub's store (/v1/blobs).",
        path,
        "UNSUPPORTED_CONTENT",
    )
