"""Who may call: API keys, of which only hashes are kept."""

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass

from bus import Behalf, Code, RpcError, nearest
from gateway.settings import AuthSettings, DoorSettings
from host.settings import SettingsError

KEY_PREFIX = "tr-"
LOCAL = "local"
"""Name of the principal of a hub without keys."""

MAX_KEY = 200
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who calls."""

    name: str
    """As in the settings; travels with each call as `troupe-principal`."""

    scopes: frozenset[str] | None = None
    """What the key may do; None: everything."""

    @property
    def behalf(self) -> Behalf:
        """What travels with each of their calls."""
        return Behalf(self.name, self.scopes)

    def require(self, scope: str) -> None:
        """Raises PERMISSION_DENIED unless the key may do this; an empty scope is everybody's."""
        if not scope or self.scopes is None or scope in self.scopes:
            return
        raise RpcError(
            Code.PERMISSION_DENIED,
            f"The key {self.name!r} may not use {scope!r}; add the scope to its entry in [auth].",
            reason="PERMISSION_DENIED",
            metadata={"scope": scope},
        )


class Access:
    """Finds the principal of a request. Without keys in the settings everybody is `local` and may do everything."""

    def __init__(self, settings: AuthSettings) -> None:
        self._keys = [
            (key.hash.encode(), Principal(key.name, frozenset(key.scopes) if key.scopes else None))
            for key in settings.keys
        ]

    @property
    def required(self) -> bool:
        """A key is needed."""
        return bool(self._keys)

    def principal(self, authorization: str | None) -> Principal:
        """Whose key the value of an Authorization header carries. Raises UNAUTHENTICATED."""
        if not self._keys:
            return Principal(LOCAL)
        given = hash_key(_bearer(authorization)).encode()
        found = None
        # Every hash is compared, so that the time tells nothing about which one came close.
        for known, principal in self._keys:
            if hmac.compare_digest(known, given):
                found = principal
        if found is None:
            raise _unauthenticated("This API key is not known to the hub; see [auth] in its settings.")
        return found


def _bearer(authorization: str | None) -> str:
    header = (authorization or "").strip()
    if not header:
        raise _unauthenticated("An API key is needed: send the header 'Authorization: Bearer tr-…'.")
    key = header[len(_BEARER) :].strip()
    if header[: len(_BEARER)].lower() != _BEARER or not key or len(key) > MAX_KEY:
        raise _unauthenticated("The Authorization header is not 'Bearer' and an API key.")
    return key


def _unauthenticated(message: str) -> RpcError:
    return RpcError(Code.UNAUTHENTICATED, message, reason="UNAUTHENTICATED")


def new_key() -> str:
    """A fresh API key: "tr-" and 43 characters, 256 random bits. Show it once; keep `hash_key` of it."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """What the settings keep of a key: its SHA-256 in hexadecimal. A random key needs no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_loopback(host: str) -> bool:
    """Only this machine reaches what listens on `host`. Empty means every address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(settings: DoorSettings) -> None:
    """Raises SettingsError if a door would be open to other machines without any key."""
    if settings.auth.keys:
        return
    for section, host in (("http", settings.http.host), ("grpc", settings.grpc.host)):
        if not is_loopback(host):
            raise SettingsError(
                settings.source or "environment",
                f"[{section}] host",
                f"{host or 'every address'!r} is reachable from other machines, so the hub needs at least one API key"
                " in [[auth.keys]] (docs/api-keys.md); or listen on 127.0.0.1.",
            )


def check_scopes(settings: AuthSettings, known: frozenset[str], source: str) -> None:
    """Raises SettingsError for a scope that no method asks for."""
    for key in settings.keys:
        for scope in key.scopes:
            if scope not in known:
                close = nearest(scope, known, limit=1)
                hint = f" Did you mean {close[0]}?" if close else f" There are: {', '.join(sorted(known))}."
                raise SettingsError(source, f"[auth] keys {key.name}", f"no method has the scope {scope!r}.{hint}")
