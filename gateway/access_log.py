"""A line for every call at every door: who called what, how it ended, how long it took. Never what was said."""

import re
from typing import Any

import structlog

from bus import Code, RpcError

REFUSALS = frozenset({Code.UNAUTHENTICATED, Code.PERMISSION_DENIED, Code.RESOURCE_EXHAUSTED})
FAULTS = frozenset({Code.UNKNOWN, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS, Code.DEADLINE_EXCEEDED})

_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")

log = structlog.get_logger("access")


def request_id(given: str) -> str:
    """A client's name for its request as it travels on and stands in logs; empty if it is none."""
    return given if _ID.fullmatch(given) else ""


def told(error: RpcError | None) -> dict[str, str]:
    """What a line says of how a call ended. The message is left out: it may repeat somebody's words."""
    if error is None:
        return {"code": "OK"}
    found = {"code": error.code.name, "reason": error.reason, "reference": error.reference}
    return found | ({"field": error.field} if error.field else {})


def peer(client: Any) -> str:
    """The address of an ASGI connection's other side, without its port; empty where there is none. client: its pair."""
    return str(client[0]) if client else ""


def write(door: str, error: RpcError | None, *, peer: str = "", **fields: Any) -> None:
    """Write the line. Refusals and faults are warnings; fields that are empty are left out.

    peer: the address that the call came from, told of those that failed: whoever guesses keys has no other name.
    """
    given = {name: value for name, value in fields.items() if value not in ("", None)}
    if peer and error is not None:
        given["peer"] = peer
    level = log.warning if error is not None and error.code in REFUSALS | FAULTS else log.info
    level("call", door=door, **given, **told(error))
