"""Who may call: what a request shows, whose it is, and whether it still is while a connection lasts."""

import asyncio
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakSet

import structlog

from bus import Code, RpcError, nearest
from gateway.catalog import Catalog
from gateway.identity import Identity, KeyFile, Principal, hash_key, unauthenticated
from gateway.settings import AuthSettings, DoorSettings
from host.settings import SettingsError

KEY_PREFIX = "tr-"

LOCAL = Principal("local", "local")
"""Whoever calls a hub without keys."""

MAX_CREDENTIAL = 8 * 1024
"""Characters of a key or token; JWTs are long."""

REMEMBER_SECONDS = 10.0
"""An answer of the identity is good for so long, if it does not expire before."""

MAX_REMEMBERED = 4096

WATCH_SECONDS = 5.0
"""Between two looks whether those who are connected still may be."""

_BEARER = "bearer "

log = structlog.get_logger(__name__)


class Pass:
    """What a long connection was let in with; each of its calls is made with it. See Access.watch.

    refused: called once when the credential is worth nothing any more, to end what runs; must not block.
    """

    def __init__(self, principal: Principal, credential: str, clock: Callable[[], float]) -> None:
        self.principal = principal
        self.credential = credential
        self.refusal: RpcError | None = None
        self.refused: Callable[[RpcError], None] | None = None
        self._clock = clock

    def check(self) -> None:
        """Raises UNAUTHENTICATED once the credential has expired or was taken back."""
        expires = self.principal.expires_at
        if self.refusal is not None:
            raise unauthenticated(self.refusal.message)
        if expires is not None and expires <= self._clock():
            raise unauthenticated("What this connection was opened with has expired; connect again with a fresh one.")


class Access:
    """Finds the principal of a request. Without keys in the settings everybody is LOCAL and may do everything.

    identity: who tells; the keys of the settings unless given. clock: seconds since 1970.
    """

    def __init__(
        self, settings: AuthSettings, identity: Identity | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.required = bool(settings.keys) or identity is not None
        """A key is needed. Decided at the start: keys that are all taken out later leave the hub closed."""

        self._identity = identity or KeyFile(settings)
        self._clock = clock
        self._remembered: OrderedDict[str, tuple[Principal, float]] = OrderedDict()
        self._passes: WeakSet[Pass] = WeakSet()

    async def principal(self, authorization: str | None, api_key: str | None = None) -> Principal:
        """Whose key or token the headers Authorization and x-api-key carry.

        Raises UNAUTHENTICATED, and UNAVAILABLE where it cannot be told.
        """
        if not self.required:
            return LOCAL
        return await self._known(_credential(authorization, api_key))

    async def admit(self, authorization: str | None, api_key: str | None = None) -> Pass:
        """The same for a connection that lasts."""
        if not self.required:
            return Pass(LOCAL, "", self._clock)
        credential = _credential(authorization, api_key)
        found = Pass(await self._known(credential), credential, self._clock)
        self._passes.add(found)
        return found

    async def watch(self) -> None:
        """Until cancelled, ask anew for everybody who is connected.

        Who is refused can open no more calls, and those that run end.
        """
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self.look()

    async def look(self) -> None:
        """One look of `watch`."""
        try:
            if await self._identity.changed():
                self._remembered.clear()
        except RpcError as error:
            log.warning("identity.unavailable", reason=error.reason, reference=error.reference)
            return
        for one in list(self._passes):
            await self._renew(one)

    async def _renew(self, one: Pass) -> None:
        try:
            one.principal, one.refusal = await self._known(one.credential), None
        except RpcError as error:
            if error.code is Code.UNAUTHENTICATED and one.refusal is None:
                one.refusal = error
                if one.refused is not None:
                    one.refused(unauthenticated(error.message))
                log.warning(
                    "connection.refused", principal=one.principal.name, credential_id=one.principal.credential_id
                )

    async def _known(self, credential: str) -> Principal:
        key, now = hash_key(credential), self._clock()
        found, until = self._remembered.get(key, (None, 0.0))
        if found is None or until <= now:
            found = await self._identity.principal(credential)
            until = min(now + REMEMBER_SECONDS, found.expires_at or now + REMEMBER_SECONDS)
            self._remembered[key] = found, until
            while len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return found


def _credential(authorization: str | None, api_key: str | None) -> str:
    header, key = (authorization or "").strip(), (api_key or "").strip()
    if not header and not key:
        raise unauthenticated("An API key is needed: send the header 'Authorization: Bearer tr-…'.")
    if header:
        if header[: len(_BEARER)].lower() != _BEARER:
            raise unauthenticated("The Authorization header is not 'Bearer' and an API key.")
        key = header[len(_BEARER) :].strip()
    if not key or len(key) > MAX_CREDENTIAL:
        raise unauthenticated(f"The API key is empty, or over {MAX_CREDENTIAL:,} characters.")
    return key


def new_key() -> str:
    """A fresh API key: "tr-" and 43 characters, 256 random bits. Show it once; keep `hash_key` of it."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Only this machine reaches what listens on `host`. Empty means every address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_doors(settings: DoorSettings) -> None:
    """All that is wrong with the doors' settings, before any opens. Raises SettingsError."""
    check_exposure(settings)
    check_ports(settings)
    if settings.auth.keys:
        check_scopes(settings.auth, Catalog().scopes, settings.source)


def check_ports(settings: DoorSettings) -> None:
    """Raises SettingsError if the doors want the same port of the same address."""
    http, grpc = settings.http, settings.grpc
    if http.port and http.port == grpc.port and _same(http.host, grpc.host):
        raise SettingsError(
            settings.source or "environment",
            "[grpc] port",
            f"{grpc.port} is the port of [http] too, and each door needs its own; choose another one for either.",
        )


def _same(one: str, other: str) -> bool:
    """Who listens on one host may be in the way of the other."""
    one, other = (_NAMES.get(host.strip("[]"), host.strip("[]")) for host in (one, other))
    return one == other or "" in (one, other)


_NAMES = {"localhost": "127.0.0.1", "0.0.0.0": "", "::": ""}  # noqa: S104  # compared, not bound
"""Other names of an address; empty: every one."""


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
