"""What is said of a model's weights besides what computes with them: licence, languages, what it is good at, origin.

A GGUF file says it in its metadata, a repository in the head of its README, and whoever has put a model into the hub's
folder in `NAME.origin.json` beside it, which counts before what the files say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from actors.model.gguf_header import ModelHeader
from troupe.chat.v1 import ChatService
from troupe.embedding.v1 import EmbeddingService
from troupe.model.v1 import Model

ORIGIN = ".origin.json"
"""What the file beside a model ends with, after the model's name."""
ORIGIN_LIMIT = 64 * 1024
"""Bytes of such a file that are read."""
LANGUAGES_LIMIT = 64
SPECIALTIES_LIMIT = 16
TEXT_LIMIT = 200
"""Characters of a licence or a source; 35 of a language."""
LANGUAGE_LIMIT = 35
SPECIALTIES: Mapping[str, str] = {
    "chat": "chat", "conversational": "chat", "instruct": "chat",
    "code": "code", "coding": "code", "code-generation": "code",
    "math": "math", "mathematics": "math",
    "reasoning": "reasoning", "thinking": "reasoning",
    "tools": "tools", "tool-use": "tools", "function-calling": "tools", "agent": "tools",
    "summarization": "summaries", "summarisation": "summaries", "summaries": "summaries",
    "translation": "translation",
    "feature-extraction": "embedding", "sentence-similarity": "embedding", "embedding": "embedding",
    "question-answering": "questions", "table-question-answering": "questions",
    "text-classification": "classification", "classification": "classification",
    "roleplay": "roleplay", "storytelling": "stories", "creative-writing": "stories", "stories": "stories",
    "medical": "medicine", "medicine": "medicine", "biology": "biology", "chemistry": "chemistry",
    "legal": "law", "law": "law", "finance": "finance", "sql": "sql", "text-to-sql": "sql",
}  # fmt: skip
"""Tags that say what a model is good at, and the one word for it here; all others (formats, papers) do not."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is said; empty: nothing."""

    license: str = ""
    source: str = ""
    languages: Sequence[str] = ()
    specialties: Sequence[str] = ()

    def over(self, other: "Card") -> "Card":
        """This, and the other where this says nothing."""
        return Card(
            self.license or other.license,
            self.source or other.source,
            self.languages or other.languages,
            self.specialties or other.specialties,
        )


def card(licence: str = "", source: str = "", languages: Iterable[str] = (), tags: Iterable[str] = ()) -> Card:
    """A card from foreign words: cut to what is shown, of the tags those that say what a model is good at."""
    told = [each.strip() for each in languages]
    good_at = [SPECIALTIES[tag.strip().lower()] for tag in tags if tag.strip().lower() in SPECIALTIES]
    return Card(
        _line(licence),
        _line(source),
        tuple(dict.fromkeys(each for each in told if 0 < len(each) <= LANGUAGE_LIMIT and each.isprintable()))[
            :LANGUAGES_LIMIT
        ],
        tuple(dict.fromkeys(good_at))[:SPECIALTIES_LIMIT],
    )


def card_of_gguf(header: ModelHeader) -> Card:
    """As the keys of the GGUF specification have it: general.license, general.languages, general.tags and so on."""
    licence = header.text("general.license")
    if licence.lower() in ("", "other"):
        licence = header.text("general.license.name") or licence
    sources = ("general.source.repo_url", "general.source.url", "general.repo_url", "general.url")
    tags = [*header.lists.get("general.tags", ()), *header.lists.get("troupe.specialties", ())]
    source = next((found for key in sources if (found := header.text(key))), "")
    return card(licence, source, header.lists.get("general.languages", ()), tags)


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The file beside a model. source: where it comes from, for example "hf:owner/name@revision"."""

    source: str = ""
    license: str = ""
    languages: list[str] = msgspec.field(default_factory=list)
    specialties: list[str] = msgspec.field(default_factory=list)


def read_origin(folder: Path, name: str) -> Card:
    """What lies beside a model; an empty card where there is nothing, or nothing that can be read."""
    try:
        with (folder / f"{name}{ORIGIN}").open("rb") as file:
            found = msgspec.json.decode(file.read(ORIGIN_LIMIT), type=Origin)
    except (OSError, ValueError, msgspec.MsgspecError):
        return Card()
    return card(found.license, found.source, found.languages, found.specialties)


def write_origin(folder: Path, name: str, origin: Origin) -> None:
    """Put it beside a model, whole or not at all. Raises OSError."""
    written = folder / f".{name}{ORIGIN}"
    written.write_bytes(msgspec.json.encode(origin) + b"\n")
    written.replace(folder / f"{name}{ORIGIN}")


def describe(model: Model, said: Card) -> None:
    """Put a card into what the contract says of a model, and what goes in and comes out by the services it has."""
    model.license, model.source = said.license, said.source
    model.languages.extend(said.languages)
    model.specialties.extend(said.specialties)
    offered = {service.partition("/")[0] for service in model.services}
    gives = {"text": ChatService.INFO.name, "embedding": EmbeddingService.INFO.name}
    model.output_modalities.extend(each for each, service in gives.items() if service in offered)
    if offered:
        model.input_modalities.append("text")


def _line(text: str) -> str:
    return " ".join(text.split())[:TEXT_LIMIT]
