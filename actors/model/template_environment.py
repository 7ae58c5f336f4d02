"""Where chat templates run: Jinja2 in a sandbox, with what templates on Hugging Face expect to find."""

import json
from datetime import datetime
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser


class GenerationTag(Extension):
    """{% generation %} marks what a trainer learns from; for an answer it is only what is inside."""

    tags = {"generation"}  # noqa: RUF012  as Jinja2 declares it

    def parse(self, parser: Parser) -> list[Node]:
        """The nodes between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    """A sandbox that cannot change what it is given, with the filters and functions of chat templates."""
    found = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, GenerationTag]
    )
    found.filters["tojson"] = to_json
    found.globals["raise_exception"] = _raise_exception
    found.globals["strftime_now"] = _strftime_now
    return found


def to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT002  templates pass it by place
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,  # noqa: FBT002  as above
) -> str:
    """What chat templates expect of `tojson`: no escapes for HTML, and generators as lists."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys, default=list
    )


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
