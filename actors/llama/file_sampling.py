"""What a model's file says about how its tokens are best chosen: llama.cpp's keys `general.sampling.*`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from actors.llama.gguf_file import ModelHeader
from actors.model.interface import SamplingSettings
from actors.model.validation import POSITIVE, RANGES

KEYS: Mapping[str, str] = {
    "temp": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "penalty_repeat": "repeat_penalty",
}
"""llama.cpp's name -> ours."""


def default_sampling(header: ModelHeader) -> SamplingSettings:
    """The settings for callers who give none: the file's where it has some that are allowed, else the usual ones."""
    found: dict[str, Any] = {}
    for key, name in KEYS.items():
        value = header.metadata.get(f"general.sampling.{key}")
        low, high = RANGES[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if low <= value <= high and not (value == 0 and name in POSITIVE):
            found[name] = int(value) if name == "top_k" else float(value)
    return replace(SamplingSettings(), **found)
