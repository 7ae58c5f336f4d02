"""Which files of a repository make a model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bus import Code, RpcError, invalid, nearest

MAX_SOURCE = 400
SOURCE = re.compile(
    r"hf:(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})(?:@(?P<revision>[\w./-]{1,100}))?(?::(?P<wanted>[^:@\s]{1,200}))?"
)
LIKED = ("Q4_K_M", "Q4_K_S", "Q5_K_M", "Q4_0", "Q4_1", "Q5_0", "Q5_K_S", "Q6_K", "Q8_0", "Q3_K_M", "F16", "BF16", "F32")
"""Quantizations in the order in which one is taken where nobody says which."""
SPLIT = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf")
DATA = re.compile(r"[\w.-]+\.(safetensors|safetensors\.index\.json|json|jinja|model|txt|tiktoken)")
"""What a model of safetensors is made of, all in the repository's own folder; never a program, never a pickle."""
LICENCES = re.compile(r"(LICEN[SC]E|NOTICE|USE_POLICY)([.\w-]*)", re.IGNORECASE)
SAFE = re.compile(r"[\w][\w. +()\[\]-]*(/[\w][\w. +()\[\]-]*)*")
"""Names of files that are taken: whoever answers for a hub cannot name a place outside of the folder."""
NAME = re.compile(r"[\w][\w.+-]{0,99}")
"""What a model may be called."""
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Source:
    """A place on a hub."""

    repo: str
    revision: str = ""
    """Empty: the newest."""
    wanted: str = ""
    """A file, or a quantization like "Q4_K_M"; empty: see LIKED."""

    @classmethod
    def of(cls, text: str) -> "Source":
        """As people write it. Raises RpcError INVALID_ARGUMENT (SOURCE_INVALID)."""
        match = SOURCE.fullmatch(text) if len(text) <= MAX_SOURCE else None
        if match is None or ".." in text:
            message = (
                f"source is {text[:80]!r}; write hf:owner/name, then :file.gguf or :Q4_K_M if you want a certain one."
            )
            raise invalid(message, "source", reason="SOURCE_INVALID")
        return cls(match["repo"], match["revision"] or "", match["wanted"] or "")

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf:{self.repo}{revision}{f':{self.wanted}' if self.wanted else ''}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The files of a model, and how they lie: GGUF files as they are, all others in a folder."""

    name: str
    files: tuple[str, ...]
    folder: bool


def choose(source: Source, there: Sequence[str]) -> Chosen:
    """The files of a repository that make the model.

    Raises RpcError NOT_FOUND (SOURCE_NOT_FOUND) with what there is.
    """
    there = [name for name in there if SAFE.fullmatch(name) and ".." not in name]
    ggufs = sorted(name for name in there if name.lower().endswith(".gguf"))
    if source.wanted:
        found = _wanted(source, ggufs)
    elif ggufs:
        ranked = sorted(ggufs, key=lambda name: (_rank(name), name))
        found = ranked[0]
    else:
        return _folder(source, there)
    split = SPLIT.fullmatch(found)
    if split is None:
        return Chosen(_stem(found), (found,), folder=False)
    parts = int(split["parts"])
    files = tuple(f"{split['stem']}-{number:05d}-of-{parts:05d}.gguf" for number in range(1, parts + 1))
    missing = [name for name in files if name not in ggufs]
    if missing:
        raise _not_found(source, f"lacks {missing[0]}", ggufs)
    return Chosen(_stem(f"{split['stem']}.gguf"), files, folder=False)


def check_name(name: str) -> None:
    """Raises RpcError INVALID_ARGUMENT for what no model can be called; empty: its own name."""
    if name and (not NAME.fullmatch(name) or ".." in name):
        raise invalid("name is 1 to 100 letters, digits and . _ + -, beginning with a letter or digit.", "name")


def licences(there: Sequence[str]) -> list[str]:
    """Files that have the terms."""
    return [name for name in there if LICENCES.fullmatch(name)][:3]


def _wanted(source: Source, ggufs: Sequence[str]) -> str:
    if source.wanted in ggufs:
        return source.wanted
    alike = [name for name in ggufs if _quantization(name) == source.wanted.upper()]
    if not alike:
        raise _not_found(source, f"has no {source.wanted}", ggufs)
    return alike[0]


def _folder(source: Source, there: Sequence[str]) -> Chosen:
    files = tuple(sorted(name for name in there if DATA.fullmatch(name)))
    if not any(name.endswith(".safetensors") for name in files):
        raise _not_found(source, "has neither GGUF files nor safetensors", there)
    return Chosen(source.repo.partition("/")[2], files, folder=True)


def _quantization(name: str) -> str:
    """As the name of a file tells it; empty: it does not."""
    base = SPLIT.fullmatch(name)
    stem = (base["stem"] if base else name.rpartition(".")[0]).upper()
    return max((each for each in LIKED if re.search(rf"(?<![A-Z0-9]){each}$", stem)), key=len, default="")


def _rank(name: str) -> int:
    found = _quantization(name)
    return LIKED.index(found) if found else len(LIKED)


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]


def _not_found(source: Source, why: str, there: Sequence[str]) -> RpcError:
    close = nearest(source.wanted, there) if source.wanted else []
    some = ", ".join(close or there[:SHOWN]) or "nothing"
    message = f"{source.repo} {why}. There is: {some[:500]}."
    return RpcError(Code.NOT_FOUND, message, reason="SOURCE_NOT_FOUND", field="source")
