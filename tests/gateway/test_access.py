import re

import pytest

from bus import Code, RpcError
from gateway.access import Access, Principal, check_exposure, check_scopes, hash_key, is_loopback, new_key
from gateway.settings import AuthSettings, DoorSettings, GrpcSettings, HttpSettings, KeySettings
from host.settings import SettingsError


def access(*keys: tuple[str, str, list[str]]) -> Access:
    return Access(
        AuthSettings(keys=[KeySettings(name=name, hash=hash_key(key), scopes=scopes) for name, key, scopes in keys])
    )


def settings(http: str = "127.0.0.1", grpc: str = "127.0.0.1", key: str = "") -> DoorSettings:
    keys = [KeySettings(name="one", hash=hash_key(key))] if key else []
    return DoorSettings(http=HttpSettings(host=http), grpc=GrpcSettings(host=grpc), auth=AuthSettings(keys=keys))


def refused(found: Access, authorization: str | None) -> RpcError:
    with pytest.raises(RpcError) as caught:
        found.principal(authorization)
    assert caught.value.code is Code.UNAUTHENTICATED
    assert caught.value.reason == "UNAUTHENTICATED"
    return caught.value


def test_without_keys_everybody_is_local_and_may_do_everything() -> None:
    principal = access().principal("Bearer whatever-an-sdk-sends")
    assert principal == Principal("local")
    principal.require("models")


def test_a_key_is_known_by_its_hash_and_carries_its_name_and_scopes() -> None:
    key = new_key()
    found = access(("other", new_key(), []), ("laptop", key, ["chat"]))
    assert found.principal(f"Bearer {key}") == Principal("laptop", frozenset({"chat"}))
    assert found.principal(f"bearer   {key} ").name == "laptop"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "tr-" + "a" * 43, "Bearer " + "a" * 300]
)
def test_what_is_no_bearer_key_is_refused(header: str | None) -> None:
    refused(access(("one", new_key(), [])), header)


def test_an_unknown_key_is_refused_without_telling_which_are_known() -> None:
    error = refused(access(("secret-name", new_key(), [])), f"Bearer {new_key()}")
    assert "secret-name" not in error.message


def test_a_key_with_scopes_may_do_those_only() -> None:
    principal = Principal("laptop", frozenset({"chat"}))
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
