"""Writes the actors' part of docs/settings.md from the actors' own Settings. Run by `make docs`.

The text of a key is the docstring below it in its Struct.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from actors.registry import ACTORS
from host import registry
from host.runner import UnfitActor, settings_kind
from host.settings import Size

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
MARK = "<!-- From here on written by `make docs`, from the actors' Settings. -->\n"


def actors_with_settings() -> Iterator[tuple[str, type[Struct]]]:
    """Each actor of the registry that has a section, and the Struct of that section."""
    for name in ACTORS:
        kind = registry.find(name, ACTORS)
        if "settings" in inspect.signature(kind).parameters:
            yield name, settings_kind(kind)


def texts(kind: type[Struct]) -> dict[str, str]:
    """The docstring below each key of a Struct, as one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for statement, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and str(after.value.value)
            found[statement.target.id] = " ".join(said.split()) if said else ""
    return found


def shown(found: FieldInfo) -> str:
    """A key's default as the page has it; one that has none must be set."""
    return "*must be set*" if found.required else f"`{default(found)}`"


def default(found: FieldInfo) -> str:
    """A key's default, as JSON."""
    value = found.default_factory() if found.default_factory is not msgspec.NODEFAULT else found.default
    plain = int(value) if isinstance(value, Size) else value
    return msgspec.json.encode(plain, enc_hook=str).decode()


def section(name: str, kind: type[Struct]) -> str:
    """The chapter of an actor."""
    chapters = [table(f"## [actors.{name}]", kind)]
    chapters += [table(f"### [[actors.{name}.{key}]]", entry) for key, entry in nested(kind)]
    return "\n".join(chapters)


def nested(kind: type[Struct]) -> Iterator[tuple[str, type[Struct]]]:
    """The keys that are lists of tables, and the Struct of an entry."""
    for found in fields(kind):
        items = get_args(found.type)
        if get_origin(found.type) is list and isinstance(items[0], type) and issubclass(items[0], Struct):
            yield found.name, items[0]


def table(heading: str, kind: type[Struct]) -> str:
    """All keys of a Struct."""
    said = texts(kind)
    rows = [f"| `{found.name}` | {shown(found)} | {said[found.name]} |" for found in fields(kind)]
    return "\n".join([heading, "", "| Key | Default | What it is |", "|---|---|---|", *rows, ""])


def page(text: str) -> str:
    """The page with the actors' chapters as they are now."""
    before, mark, _ = text.partition(MARK)
    assert mark, f"{PAGE} lacks the line {MARK!r}"
    return "\n".join([before + mark, *(section(name, kind) for name, kind in actors_with_settings())])


def main() -> int:
    """Write the page."""
    try:
        PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
    except UnfitActor as error:
        print(f"settings_page: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
