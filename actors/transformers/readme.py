"""The head of a repository's README, in which the Hugging Face hub keeps licence, languages and tags."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from actors.model.card import Card, card

README = "README.md"
LIMIT = 256 * 1024
"""Bytes of it that are read."""
MARK = "---"
HEAD_LIMIT, NESTED_LIMIT = 64 * 1024, 200
"""Characters of the head, and lists or mappings in it that are written in brackets: reading nested ones is slow."""


def card_of_readme(folder: Path) -> Card:
    """What it says; an empty card where there is none, or none that can be read."""
    try:
        with (folder / README).open("rb") as file:
            text = file.read(LIMIT).decode("utf-8", "replace")
        written = head(text)
        if len(written) > HEAD_LIMIT or written.count("[") + written.count("{") > NESTED_LIMIT:
            return Card()
        found = yaml.safe_load(written)
    except (OSError, yaml.YAMLError, RecursionError, ValueError):
        return Card()
    if not isinstance(found, dict):
        return Card()
    licence = _text(found, "license")
    if licence in ("", "other"):
        licence = _text(found, "license_name") or licence
    tags = [*_texts(found, "tags"), *_texts(found, "pipeline_tag")]
    return card(licence, "", _texts(found, "language"), tags)


def head(text: str) -> str:
    """The YAML between the first two lines of "---"; empty where the text does not begin so."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != MARK:
        return ""
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == MARK), 0)
    return "\n".join(lines[1:end])


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _texts(found: Mapping[str, Any], key: str) -> Iterable[str]:
    """One or several. YAML takes "no", Norwegian, for a truth value."""
    value = found.get(key)
    values = value if isinstance(value, list) else [value]
    return [each if isinstance(each, str) else "no" for each in values if isinstance(each, str) or each is False]
