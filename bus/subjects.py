"""Every subject, queue, stream and bucket name of Troupe on NATS, in one place."""

import hashlib
import re

ACTORS_QUEUE = "actors"
"""Queue group in which the processes that serve the same subject take turns."""

CALLS_BUCKET = "calls"
"""Where a resumable call lives: call id -> troupe.rpc.v1.Location."""

EVENTS_STREAM = "EVENTS"
"""The event log."""

MAX_TOKEN = 200
"""Bytes of an escaped name that a subject holds."""

_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")


def escape(name: str) -> str:
    """`name` as one subject token: other bytes of its UTF-8 than A-Z a-z 0-9 _ - become =XX; empty becomes "="."""
    return _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], name.encode("utf-8", "surrogatepass")).decode() or "="


def unescape(token: str) -> str:
    """What was escaped."""
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), token.encode().removesuffix(b"=")).decode()


def token(name: str) -> str:
    """`name` as one subject token of bounded length, since NATS closes the connection over a subject of 4 KiB.

    Longer names than MAX_TOKEN end in "==" and their digest, which no escaped name contains.
    """
    escaped = escape(name)
    if len(escaped) <= MAX_TOKEN:
        return escaped
    return f"{escaped[:MAX_TOKEN]}=={hashlib.sha256(escaped.encode()).hexdigest()[:32]}"


def call(service: str, method: str, route: str = "") -> str:
    """Where an OPEN goes."""
    return f"rpc.{service}.{method}.{token(route)}" if route else f"rpc.{service}.{method}"


def calls_of(service: str, route: str = "") -> str:
    """Where a process listens for OPENs of all methods of a service."""
    return call(service, "*", route)


def reply(process: str, call_id: str, attempt: int = 0) -> str:
    """Where the frames of a call's responder go; a call that is opened again hears its newest attempt alone."""
    return f"reply.{process}.{call_id}={attempt}" if attempt else f"reply.{process}.{call_id}"


def process_of(subject: str) -> str:
    """The process of a reply, control, heartbeat or gone subject; empty where it is none."""
    return subject.split(".", 2)[1] if "." in subject else ""


def attempt_of(subject: str) -> tuple[str, int]:
    """The reply subject of a call's first attempt, and which attempt this one belongs to."""
    if "=" not in subject:  # as nearly always
        return subject, 0
    # The name of a process may contain it, too.
    process, dot, last = subject.rpartition(".")
    call, _, attempt = last.partition("=")
    return f"{process}{dot}{call}", int(attempt) if attempt.isdecimal() and len(attempt) < 10 else 0


def replies(process: str) -> str:
    """Where a calling process listens."""
    return f"reply.{process}.*"


def control(process: str, call_id: str) -> str:
    """Where the frames of a call's caller go, after its OPEN."""
    return f"control.{process}.{call_id}"


def controls(process: str) -> str:
    """Where a responding process listens."""
    return f"control.{process}.*"


def heartbeat(process: str) -> str:
    """Where a process tells that it lives."""
    return f"heartbeat.{process}"


HEARTBEATS = "heartbeat.*"
"""All of them."""


def gone(process: str) -> str:
    """Where it is told that a process has lost its connection for good."""
    return f"gone.{process}"


GONE = "gone.*"
"""All of them."""


def announcements(verb: str, name: str, process: str) -> tuple[str, str, str]:
    """Where NATS's services protocol asks all, all of a name, or one process; `verb` is PING, INFO or STATS."""
    return f"$SRV.{verb}", f"$SRV.{verb}.{name}", f"$SRV.{verb}.{name}.{process}"


CONNECTED = "advisory.connected"
"""Where the server tells that a client has come; imported from its system account."""

DISCONNECTED = "advisory.disconnected"
"""Where the server tells that a client has left."""

METRICS = "metrics"
"""Whoever is asked here answers with its metrics in Prometheus' text form."""


def event(kind: str) -> str:
    """Where an event of the log is published; `kind` in the past tense, for example "actor.failed"."""
    return f"event.{kind}"
