"""Who somebody is, by what they show: the place for key files, sessions and tokens alike."""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from bus import Behalf, Code, RpcError
from gateway.settings import ROOMS, AuthSettings, KeySettings
from host import settings as files
from host.settings import SettingsError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who calls."""

    name: str
    """Opaque to the hub; of a key file: the name in the settings. Travels with each call as `troupe-principal`."""

    kind: str = "key"
    """What they are: "local" on a hub without keys, "key", or what another identity has, such as "user"."""

    scopes: frozenset[str] | None = None
    """What they may do; None: everything."""

    credential_id: str = ""
    """Names what they showed, never the secret itself: for logs, and to take back one of several."""

    expires_at: float | None = None
    """Seconds since 1970 from when on what they showed is worth nothing; None: it does not expire."""

    max_calls: int = 0
    """Calls at once; 0: as [limits] has it."""

    calls_per_minute: float = 0
    """Calls that begin; 0: as [limits] has it."""

    @property
    def behalf(self) -> Behalf:
        """What travels with each of their calls."""
        return Behalf(self.name, self.scopes, self.credential_id)

    def require(self, scope: str) -> None:
        """Raises PERMISSION_DENIED unless they may do this; an empty scope is everybody's."""
        if not scope or self.scopes is None or scope in self.scopes:
            return
        raise RpcError(
            Code.PERMISSION_DENIED,
            f"The key {self.name!r} may not use {scope!r}; add the scope to its entry in [auth].",
            reason="PERMISSION_DENIED",
            metadata={"scope": scope},
        )


class Identity(Protocol):
    """Tells whose a credential is. Its answers are kept for a while and asked anew on long connections."""

    async def principal(self, credential: str) -> Principal:
        """Whose it is. credential: a key or a token, at most 8 KiB.

        Raises UNAUTHENTICATED for one that is not known or worth nothing any more, UNAVAILABLE if that cannot be told
        now. Cancellation leaves nothing behind.
        """

    async def changed(self) -> bool:
        """Answers that were given before may be wrong now. Asked every few seconds."""


class KeyFile:
    """The entries [[auth.keys]] of the settings, of which only hashes are kept.

    source: the settings' file, read again when it changes; empty: there is none. clock: seconds since 1970.
    """

    def __init__(self, settings: AuthSettings, source: str = "", clock: Callable[[], float] = time.time) -> None:
        self._source = Path(source) if source else None
        self._clock = clock
        self._seen = self._stamp()
        self._keys = _entries(settings)

    async def principal(self, credential: str) -> Principal:
        given = hash_key(credential).encode()
        found = None
        # Every hash is compared, so that the time tells nothing about which one came close.
        for known, principal in self._keys:
            if hmac.compare_digest(known, given):
                found = principal
        if found is None:
            raise unauthenticated("This API key is not known to the hub; see [auth] in its settings.")
        if found.expires_at is not None and found.expires_at <= self._clock():
            raise unauthenticated(f"The API key {found.name!r} has expired; see [auth] in the hub's settings.")
        return found

    async def changed(self) -> bool:
        stamp = self._stamp()
        if stamp == self._seen or self._source is None:
            return False
        self._seen = stamp
        try:
            read = files.load(self._source, {}, rooms=ROOMS).room("auth", AuthSettings)
        except SettingsError as error:  # a file that is being written, or has a mistake: the keys stay as they are
            log.warning("keys.unreadable", error=str(error))
            return False
        self._keys = _entries(read)
        log.info("keys.reloaded", count=len(self._keys))
        return True

    def _stamp(self) -> tuple[int, int] | None:
        if self._source is None:
            return None
        try:
            found = self._source.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


def _entries(settings: AuthSettings) -> list[tuple[bytes, Principal]]:
    return [(key.hash.encode(), _principal(key)) for key in settings.keys]


def _principal(key: KeySettings) -> Principal:
    return Principal(
        key.name,
        scopes=frozenset(key.scopes) if key.scopes else None,
        credential_id=f"key-{key.hash[:12]}",
        expires_at=key.expires.timestamp() if key.expires else None,
        max_calls=key.max_calls,
        calls_per_minute=key.calls_per_minute,
    )


def unauthenticated(message: str) -> RpcError:
    """Nobody known called."""
    return RpcError(Code.UNAUTHENTICATED, message, reason="UNAUTHENTICATED")


def hash_key(key: str) -> str:
    """What the settings keep of a key: its SHA-256 in hexadecimal. A random key needs no slow hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
