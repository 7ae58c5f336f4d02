import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus import Code, RpcError
from gateway.access import (
    REMEMBER_SECONDS,
    Access,
    check_doors,
    check_exposure,
    check_ports,
    check_scopes,
    is_loopback,
    new_key,
)
from gateway.identity import KeyFile, Principal, hash_key
from gateway.settings import AuthSettings, DoorSettings, GrpcSettings, HttpSettings, KeySettings
from host.settings import SettingsError


def access(*keys: tuple[str, str, list[str]]) -> Access:
    return Access(
        AuthSettings(keys=[KeySettings(name=name, hash=hash_key(key), scopes=scopes) for name, key, scopes in keys])
    )


def settings(http: str = "127.0.0.1", grpc: str = "127.0.0.1", key: str = "") -> DoorSettings:
    keys = [KeySettings(name="one", hash=hash_key(key))] if key else []
    return DoorSettings(http=HttpSettings(host=http), grpc=GrpcSettings(host=grpc), auth=AuthSettings(keys=keys))


async def refused(found: Access, authorization: str | None, api_key: str | None = None) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await found.principal(authorization, api_key)
    assert caught.value.code is Code.UNAUTHENTICATED
    assert caught.value.reason == "UNAUTHENTICATED"
    return caught.value


async def test_without_keys_everybody_is_local_and_may_do_everything() -> None:
    principal = await access().principal("Bearer whatever-an-sdk-sends")
    assert (principal.name, principal.kind, principal.scopes) == ("local", "local", None)
    principal.require("models")


async def test_a_key_is_known_by_its_hash_and_carries_its_name_scopes_and_id() -> None:
    key = new_key()
    found = access(("other", new_key(), []), ("laptop", key, ["chat"]))
    principal = await found.principal(f"Bearer {key}")
    assert (principal.name, principal.scopes) == ("laptop", frozenset({"chat"}))
    assert principal.credential_id == f"key-{hash_key(key)[:12]}"
    assert (await found.principal(f"bearer   {key} ")).name == "laptop"
    assert (await found.principal(None, key)).name == "laptop"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "tr-" + "a" * 43, "Bearer " + "a" * 8193]
)
async def test_what_is_no_bearer_key_is_refused(header: str | None) -> None:
    await refused(access(("one", new_key(), [])), header)


async def test_a_token_may_be_as_long_as_those_of_others_are() -> None:
    token = "ey" + "a" * 8190
    assert (await access(("one", token, [])).principal(f"Bearer {token}")).name == "one"


async def test_an_unknown_key_is_refused_without_telling_which_are_known() -> None:
    error = await refused(access(("secret-name", new_key(), [])), f"Bearer {new_key()}")
    assert "secret-name" not in error.message


# ---- what changes while somebody is connected


class Sessions:
    """An identity of its own, whose answers are counted."""

    def __init__(self) -> None:
        self.known: dict[str, Principal] = {}
        self.asked = 0
        self.news = False

    async def principal(self, credential: str) -> Principal:
        self.asked += 1
        if credential not in self.known:
            raise RpcError(Code.UNAUTHENTICATED, "This session has ended.", reason="UNAUTHENTICATED")
        return self.known[credential]

    async def changed(self) -> bool:
        return self.news


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_an_answer_is_kept_for_a_while_and_never_longer_than_it_is_good() -> None:
    sessions, clock = Sessions(), Clock()
    sessions.known = {"long": Principal("anna", "user"), "short": Principal("ben", "user", expires_at=1003.0)}
    found = Access(AuthSettings(), sessions, clock)
    for _ in range(3):
        assert (await found.principal("Bearer long")).kind == "user"
        await found.principal(None, "short")
    assert sessions.asked == 2
    clock.now += 3
    await found.principal("Bearer long")
    await found.principal(None, "short")
    assert sessions.asked == 3
    clock.now += REMEMBER_SECONDS
    await found.principal("Bearer long")
    assert sessions.asked == 4


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.access.MAX_REMEMBERED", 2)
    sessions = Sessions()
    sessions.known = {name: Principal(name) for name in "abc"}
    found = Access(AuthSettings(), sessions, Clock())
    for name in "abca":
        await found.principal(None, name)
    assert sessions.asked == 4


async def test_a_connection_whose_session_ends_opens_no_more_calls() -> None:
    sessions, clock = Sessions(), Clock()
    sessions.known["s"] = Principal("anna")
    found = Access(AuthSettings(), sessions, clock)
    admitted = await found.admit("Bearer s")
    admitted.check()
    del sessions.known["s"]
    sessions.news = True
    await found.look()
    with pytest.raises(RpcError, match="session has ended") as caught:
        admitted.check()
    assert caught.value.code is Code.UNAUTHENTICATED


async def test_a_connection_gets_new_scopes_and_ends_with_its_expiry() -> None:
    sessions, clock = Sessions(), Clock()
    sessions.known["s"] = Principal("anna", expires_at=1060.0)
    found = Access(AuthSettings(), sessions, clock)
    admitted = await found.admit("Bearer s")
    sessions.known["s"] = Principal("anna", scopes=frozenset({"chat"}), expires_at=1060.0)
    clock.now += REMEMBER_SECONDS
    await found.look()
    assert admitted.principal.scopes == frozenset({"chat"})
    clock.now = 1060.0
    with pytest.raises(RpcError, match="expired"):
        admitted.check()


async def test_an_identity_that_cannot_be_asked_ends_no_connection() -> None:
    sessions, clock = Sessions(), Clock()
    sessions.known["s"] = Principal("anna")
    found = Access(AuthSettings(), sessions, clock)
    admitted = await found.admit("Bearer s")
    clock.now += REMEMBER_SECONDS

    async def away(credential: str) -> Principal:
        raise RpcError(Code.UNAVAILABLE, "away")

    sessions.principal = away  # type: ignore[method-assign]  # it goes away
    await found.look()
    admitted.check()


async def test_keys_that_are_taken_out_of_the_file_are_refused_and_new_ones_let_in(tmp_path: Path) -> None:
    file = tmp_path / "troupe.toml"
    old, new = new_key(), new_key()
    auth = AuthSettings(keys=[KeySettings(name="old", hash=hash_key(old))])
    file.write_text(f'[[auth.keys]]\nname = "old"\nhash = "{hash_key(old)}"')
    found = Access(auth, KeyFile(auth, str(file)))
    admitted = await found.admit(f"Bearer {old}")
    file.write_text(f'[[auth.keys]]\nname = "newer"\nhash = "{hash_key(new)}"')
    await found.look()
    assert (await found.principal(f"Bearer {new}")).name == "newer"
    await refused(found, f"Bearer {old}")
    with pytest.raises(RpcError):
        admitted.check()


@pytest.mark.parametrize("text", ["[[auth.keys]]\nnaem = 1", "= broken", "[[auth.keys]]"])
async def test_a_file_with_a_mistake_leaves_the_keys_as_they_are(tmp_path: Path, text: str) -> None:
    file = tmp_path / "troupe.toml"
    file.write_text("")
    key = new_key()
    auth = AuthSettings(keys=[KeySettings(name="one", hash=hash_key(key))])
    found = Access(auth, KeyFile(auth, str(file)))
    file.write_text(text)
    await found.look()
    assert (await found.principal(f"Bearer {key}")).name == "one"


async def test_keys_that_are_all_taken_out_leave_the_hub_closed(tmp_path: Path) -> None:
    file = tmp_path / "troupe.toml"
    file.write_text("#")
    key = new_key()
    auth = AuthSettings(keys=[KeySettings(name="one", hash=hash_key(key))])
    found = Access(auth, KeyFile(auth, str(file)))
    file.write_text("")
    await found.look()
    await refused(found, f"Bearer {key}")
    await refused(found, None)


async def test_a_key_that_has_expired_is_refused_by_name() -> None:
    key = new_key()
    expires = datetime(2027, 1, 1, tzinfo=UTC)
    auth = AuthSettings(keys=[KeySettings(name="guest", hash=hash_key(key), expires=expires)])
    clock = Clock()
    clock.now = expires.timestamp() - 1
    found = Access(auth, KeyFile(auth, clock=clock), clock)
    assert (await found.principal(None, key)).expires_at == expires.timestamp()
    clock.now += 1
    assert "'guest' has expired" in (await refused(found, None, key)).message


def test_a_key_with_scopes_may_do_those_only() -> None:
    principal = Principal("laptop", scopes=frozenset({"chat"}))
    principal.require("chat")
    principal.require("")
    with pytest.raises(RpcError, match="laptop") as caught:
        principal.require("models")
    assert caught.value.code is Code.PERMISSION_DENIED
    assert caught.value.metadata == {"scope": "models"}


def test_a_new_key_has_43_url_safe_characters_and_is_never_the_same() -> None:
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"tr-[A-Za-z0-9_-]{43}", key) for key in keys)


def test_the_hash_of_a_key_is_its_sha256_in_hexadecimal() -> None:
    assert hash_key("tr-x") == "7f34f7f7efcd98710cdcb991148f6c88260457f9cb7f58bf87ff35291cdca839"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_is_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "example.org"])
def test_what_others_reach_is_no_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("http", "grpc", "section"), [("0.0.0.0", "127.0.0.1", "http"), ("127.0.0.1", "::", "grpc"), ("", "::1", "http")]
)
def test_a_door_open_to_other_machines_needs_a_key(http: str, grpc: str, section: str) -> None:
    with pytest.raises(SettingsError, match="needs at least one API key") as caught:
        check_exposure(settings(http, grpc))
    assert caught.value.key == f"[{section}] host"
    check_exposure(settings(http, grpc, key=new_key()))


def test_on_loopback_no_key_is_needed() -> None:
    check_exposure(settings("localhost", "::1"))


def test_a_misspelt_scope_is_named_with_the_nearest_one() -> None:
    keys = AuthSettings(keys=[KeySettings(name="one", hash=hash_key("x"), scopes=["chat", "chatt"])])
    with pytest.raises(SettingsError, match="Did you mean chat"):
        check_scopes(keys, frozenset({"chat", "models"}), "troupe.toml")
    check_scopes(keys, frozenset({"chat", "chatt"}), "troupe.toml")


@pytest.mark.parametrize(
    ("http", "grpc"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", "::1")]
)
def test_doors_with_one_port_are_refused(http: str, grpc: str) -> None:
    def both(http_port: int, grpc_port: int) -> DoorSettings:
        return DoorSettings(http=HttpSettings(host=http, port=http_port), grpc=GrpcSettings(host=grpc, port=grpc_port))

    with pytest.raises(SettingsError, match=r"9001 is the port of \[http\] too"):
        check_ports(both(9001, 9001))
    check_ports(both(9001, 9002))
    check_ports(both(0, 0))


def test_one_port_of_two_addresses_is_no_mistake() -> None:
    check_ports(DoorSettings(http=HttpSettings(host="127.0.0.1", port=9), grpc=GrpcSettings(host="127.0.0.2", port=9)))


def test_the_scopes_of_keys_are_those_of_the_contract() -> None:
    def of(scope: str) -> DoorSettings:
        return DoorSettings(auth=AuthSettings(keys=[KeySettings(name="one", hash=hash_key("x"), scopes=[scope])]))

    check_doors(of("chat"))
    with pytest.raises(SettingsError, match="Did you mean chat"):
        check_doors(of("chta"))
