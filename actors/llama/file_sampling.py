"""How a model's tokens are best chosen: llama.cpp's keys `general.sampling.*` in its file, and a file beside it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from actors.model.gguf_header import ModelHeader
from actors.model.interface import SamplingSettings
from actors.model.validation import POSITIVE, RANGES
from bus import Code, RpcError

KEYS: Mapping[str, str] = {
    "temp": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "penalty_repeat": "repeat_penalty",
}
"""llama.cpp's name -> ours."""


BESIDE = ".sampling.json"
"""Ending of the file beside a model, in the place of ".gguf"."""

BESIDE_LIMIT = 16 * 1024
"""Bytes of it."""


class Beside(Struct, frozen=True, forbid_unknown_fields=True):
    """What the file beside a model may say; the names and ranges are those of troupe.chat.v1.Sampling."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=1 << 30)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=2)] | None = None


def sampling_of(model: Path, header: ModelHeader) -> SamplingSettings:
    """The settings for callers who give none: of the file beside the model, else the model's own, else the usual ones.

    Raises RpcError MODEL_LOAD_FAILED for a file beside it that cannot be understood.
    """
    return replace(default_sampling(header), **_beside(model.with_suffix(BESIDE)))


def _beside(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(BESIDE_LIMIT + 1)
        if len(text) > BESIDE_LIMIT:
            raise _broken(path, f"it has more than {BESIDE_LIMIT} bytes")
        found = msgspec.json.decode(text, type=Beside)
    except FileNotFoundError:
        return {}
    except OSError as problem:
        raise _broken(path, f"it cannot be read ({problem.strerror})") from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise _broken(path, str(problem)) from problem
    return {name: value for name, value in msgspec.structs.asdict(found).items() if value is not None}


def _broken(path: Path, why: str) -> RpcError:
    message = f"{path.name} beside the model cannot be understood: {why}. Mend the file or delete it."
    return RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_LOAD_FAILED")


def default_sampling(header: ModelHeader) -> SamplingSettings:
    """What the model's file says, where it is allowed, else the usual settings."""
    found: dict[str, Any] = {}
    for key, name in KEYS.items():
        value = header.metadata.get(f"general.sampling.{key}")
        low, high = RANGES[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if low <= value <= high and not (value == 0 and name in POSITIVE):
            found[name] = int(value) if name == "top_k" else float(value)
    return replace(SamplingSettings(), **found)
