"""What chat and completions have in common on their way into the contract."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from google.protobuf.struct_pb2 import Struct

from bus import RpcError, invalid
from gateway.openai.errors import unsupported
from gateway.openai.schema import (
    JsonResponse,
    JsonSchemaResponse,
    ResponseFormatIn,
    SamplingFields,
    StructuredOutputs,
    TextResponse,
)
from troupe.chat.v1 import (
    GrammarFormat,
    JsonFormat,
    JsonSchemaFormat,
    PatternFormat,
    ResponseFormat,
    Sampling,
    TextFormat,
)

SMALLEST_TOP_P = 1e-6
"""OpenAI allows 0, which keeps the likeliest token only; the contract wants a number over 0."""

MAX_STOP_BYTES = 128
MAX_DEPTH = 24
"""Levels of a JSON value: a protobuf parser stops at 100 of its own, and each of these takes up to three."""

_COPIED = ("temperature", "top_k", "min_p", "frequency_penalty", "presence_penalty")

NOT_HAD = "Leave it out: it would change the answer, and no engine of this hub has it."

_UNKNOWN_KNOBS = dict.fromkeys(
    (
        "min_tokens",
        "ignore_eos",
        "stop_token_ids",
        "bad_words",
        "use_beam_search",
        "length_penalty",
        "typical_p",
        "tfs_z",
        "top_a",
        "mirostat",
        "dry_multiplier",
        "xtc_probability",
        "dynatemp_range",
        "structural_tag",
        "logits_processors",
    ),
    NOT_HAD,
)


def sampling_of(request: SamplingFields) -> Sampling:
    """How the next token is chosen. Raises INVALID_ARGUMENT, also for what other servers know and this one does not."""
    refuse(request, _UNKNOWN_KNOBS)
    sampling = Sampling()
    for name in _COPIED:
        value = getattr(request, name)
        if value is not None:
            setattr(sampling, name, value)
    if request.top_p is not None:
        sampling.top_p = max(request.top_p, SMALLEST_TOP_P)
    penalty = request.repeat_penalty if request.repetition_penalty is None else request.repetition_penalty
    if penalty is not None:
        sampling.repeat_penalty = penalty
    if request.seed is not None:
        sampling.seed = request.seed & 0xFFFFFFFF
    for token, bias in (request.logit_bias or {}).items():
        sampling.logit_bias[_token_id(token)] = bias
    return sampling


def _token_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise invalid(f"logit_bias: {text[:40]!r} is no token id.", "logit_bias")
    return int(text)


def stops_of(request: SamplingFields) -> list[str]:
    """The stop strings. Raises INVALID_ARGUMENT."""
    stops = [request.stop] if isinstance(request.stop, str) else list(request.stop or ())
    for index, stop in enumerate(stops):
        if not 0 < len(stop.encode("utf-8", "surrogatepass")) <= MAX_STOP_BYTES:
            raise invalid(f"stop[{index}] must have 1 to {MAX_STOP_BYTES} bytes.", "stop")
    return stops


def check_stream_options(request: SamplingFields) -> bool:
    """Whether the stream ends with its usage. Raises INVALID_ARGUMENT without a stream."""
    if request.stream_options is not None and not request.stream:
        raise invalid("stream_options needs stream: true.", "stream_options")
    return bool(request.stream_options and request.stream_options.include_usage)


def response_format_of(asked: ResponseFormatIn) -> ResponseFormat:
    """How the text is constrained. Raises INVALID_ARGUMENT."""
    if isinstance(asked, JsonResponse):
        return ResponseFormat(json=JsonFormat())
    if not isinstance(asked, JsonSchemaResponse):
        return ResponseFormat(text=TextFormat())
    given = asked.json_schema
    if given.schema is None:
        raise invalid("response_format.json_schema.schema is missing.", "response_format.json_schema.schema")
    return ResponseFormat(
        json_schema=JsonSchemaFormat(
            name=given.name,
            schema=struct_of(given.schema, "response_format.json_schema.schema"),
            strict=bool(given.strict),
            description=given.description or "",
        )
    )


def constraint_of(request: SamplingFields, asked: ResponseFormatIn | None) -> ResponseFormat | None:
    """To what the answer keeps, under OpenAI's name or another server's. Raises INVALID_ARGUMENT for two."""
    given = {name: value for name in _CONSTRAINTS if (value := getattr(request, name)) is not None}
    if request.structured_outputs is not None:
        given |= _structured(request.structured_outputs)
    named = list(given)
    if len(named) > 1 or (named and asked is not None and not isinstance(asked, TextResponse)):
        both = named if len(named) > 1 else ["response_format", *named]
        raise invalid(f"{both[0]} and {both[1]} are given; an answer keeps to one of them.", both[1])
    if not named:
        return None if asked is None else response_format_of(asked)
    kind = named[0].removeprefix(_STRUCTURED)
    return (_CONSTRAINTS if kind == named[0] else _STRUCTURED_KINDS)[kind](given[named[0]], named[0])


def _structured(asked: StructuredOutputs) -> dict[str, Any]:
    """What of vLLM's structured_outputs is set, by its path. Raises INVALID_ARGUMENT for what is not had here."""
    for name in ("structural_tag", "whitespace_pattern", "disable_any_whitespace", "disable_additional_properties"):
        if getattr(asked, name):
            raise _refusal(_STRUCTURED + name, NOT_HAD)
    given = {name: getattr(asked, name) for name in _STRUCTURED_KINDS}
    found = {_STRUCTURED + name: value for name, value in given.items() if value not in (None, False)}
    if not found:
        kinds = ", ".join(_STRUCTURED_KINDS)
        raise invalid(f"structured_outputs says nothing; give one of {kinds}.", "structured_outputs")
    return found


def _schema(given: Any, name: str) -> ResponseFormat:
    try:
        schema = msgspec.json.decode(given, type=dict[str, Any]) if isinstance(given, str) else given
    except msgspec.DecodeError as error:
        raise invalid(f"{name} is no JSON schema: {error}.", name) from error
    return ResponseFormat(
        json_schema=JsonSchemaFormat(name=name.replace(".", "_"), schema=struct_of(schema, name), strict=True)
    )


def _pattern(given: str, name: str) -> ResponseFormat:
    return ResponseFormat(pattern=PatternFormat(pattern=given))


def _choice(given: list[str], name: str) -> ResponseFormat:
    return ResponseFormat(pattern=PatternFormat(pattern=f"^({'|'.join(map(_literal, given))})$"))


def _literal(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\.^$|?*+()[]{}/" else letter for letter in text)


def _any_object(given: bool, name: str) -> ResponseFormat:
    return ResponseFormat(json=JsonFormat())


def _grammar(given: str, name: str) -> ResponseFormat:
    return ResponseFormat(grammar=GrammarFormat(dialect="gbnf", grammar=given))


_CONSTRAINTS: dict[str, Callable[[Any, str], ResponseFormat]] = {
    "guided_json": _schema,
    "guided_regex": _pattern,
    "regex": _pattern,
    "guided_choice": _choice,
    "guided_grammar": _grammar,
    "grammar": _grammar,
    "json_schema": _schema,
}

_STRUCTURED = "structured_outputs."

_STRUCTURED_KINDS: dict[str, Callable[[Any, str], ResponseFormat]] = {
    "json": _schema,
    "regex": _pattern,
    "choice": _choice,
    "grammar": _grammar,
    "json_object": _any_object,
}


def struct_of(value: Mapping[str, Any], param: str) -> Struct:
    """A JSON object as the contract has it. Raises INVALID_ARGUMENT where it is nested too deeply."""
    if _deeper_than(value, MAX_DEPTH):
        raise invalid(f"{param} is nested more than {MAX_DEPTH} levels deep.", param)
    found = Struct()
    try:
        found.update(value)
    except (ValueError, OverflowError) as error:
        raise invalid(f"{param}: {error}.", param) from error
    return found


def _deeper_than(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return levels < 0 or any(_deeper_than(child, levels - 1) for child in children)


def refuse(request: object, names: Mapping[str, str]) -> None:
    """Raises for the first of these fields that is set; the value says what to do instead."""
    for name, advice in names.items():
        if getattr(request, name) is not None:
            raise _refusal(name, advice)


def _refusal(name: str, advice: str) -> RpcError:
    return unsupported(name, f"{name} is not supported. {advice}".strip())
