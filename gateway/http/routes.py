"""The table of routes: what the app serves, what a key must be allowed to do, and what the OpenAPI document tells."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.http.body import Body
from gateway.http.problem import NEUTRAL, Dialect


@dataclass(frozen=True, slots=True)
class Answer:
    """One kind of answer to a request."""

    kind: Any = None
    """A Struct, or what msgspec makes a schema of; None: bytes."""

    media_type: str = "application/json"
    status: int = 200
    description: str = "The answer."
    example: Any = None
    """Made into JSON; text where the answer is no JSON."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """Part of a path, a query's field or a header that a route reads."""

    name: str
    description: str
    place: str = "path"
    """"path", "query" or "header"."""

    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route."""

    verb: str
    """"GET" also answers HEAD."""

    path: str
    """As Starlette has it: "/v1/models/{model:path}"."""

    name: str
    """Unique, for programs that are made from the document: "listModels"."""

    summary: str
    handle: Callable[[Any], Awaitable[None]]
    """Is given the Exchange."""

    method: str = ""
    """The method of the contract that it stands for, by full name: its policy says which scope a key needs."""

    body: Body | None = None
    answers: tuple[Answer, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    examples: Mapping[str, Any] = field(default_factory=dict)
    """Requests that work, by what they show."""

    errors: tuple[int, ...] = ()
    """Statuses that it gives besides those that any route with its body and key may give."""

    dialect: Dialect = NEUTRAL
    key: bool = True
    """A hub with keys wants one."""

    admitted: bool = False
    """It takes one of the places for calls."""

    always: bool = False
    """Answers also while the hub has as many connections as it may."""

    quiet: bool = False
    """A success is not worth a line in the access log."""

    documented: bool = True
