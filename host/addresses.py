"""Where a hub is reached: its doors, before it runs and while it does."""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from host.running import Running


class HubFailed(Exception):
    """The hub cannot start or go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a hub is reached, and how its processes are.

    doors: host and port of each, by name: "127.0.0.1:8080". bus: without credentials. states: of each process, by name:
    "serving" as a rule, else "starting", "backing_off", "failed" or "not_installed". lacking: the part that each of the
    last lacks.
    """

    doors: Mapping[str, str]
    bus: str
    home: Path
    states: Mapping[str, str]
    lacking: Mapping[str, str] = field(default_factory=dict)

    def record(self) -> Running:
        """What others in this home find."""
        return Running(process=os.getpid(), started=time.time(), doors=dict(self.doors), bus=self.bus)


@dataclass(frozen=True, slots=True)
class Door:
    """Where the gateway listens. name: of its section in the settings. port: 0 for a free one."""

    name: str
    host: str
    port: int


def with_port(door: Door) -> Door:
    """The door with a port that is free; 0 becomes one. Raises HubFailed naming one that is not."""
    with socket.socket(socket.AF_INET6 if ":" in door.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((door.host, door.port))
        except OSError as error:
            raise HubFailed(
                f"{door.host}:{door.port} cannot be used for {door.name} ({error.strerror or error}). "
                f"Free it, or choose another port with TROUPE_{door.name.upper()}_PORT."
            ) from error
        return replace(door, port=int(probe.getsockname()[1]))


def reachable(host: str) -> str:
    """The address that a program on this machine uses for a door."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  # compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
