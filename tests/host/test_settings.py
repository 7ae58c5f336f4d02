import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import msgspec
import pytest

from host.settings import (
    BusSettings,
    LogSettings,
    Rooms,
    Settings,
    SettingsError,
    Size,
    hand_down,
)
from host.settings import load as load_rooms

HASH = "0" * 64


class DoorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A section of another room."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    rate: float = 500
    names: list[str] = msgspec.field(default_factory=list)
    aliases: dict[str, str] = msgspec.field(default_factory=dict)


class KeySettings(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    hash: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    scopes: list[str] = msgspec.field(default_factory=list)


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    keys: list[KeySettings] = msgspec.field(default_factory=list)


ROOMS: Rooms = {"http": DoorSettings, "auth": AuthSettings}


def load(path: Path | None = None, environ: Mapping[str, str] = MappingProxyType({})) -> Settings:
    """As a process that knows all rooms."""
    return load_rooms(path, environ, rooms=ROOMS, complete=True)


def http(settings: Settings) -> DoorSettings:
    return settings.room("http", DoorSettings)


class PaintSettings(msgspec.Struct, frozen=True):
    colour: str = "blue"
    layers: int = 1
    fast: bool = False
    brushes: list[str] = msgspec.field(default_factory=list)
    rooms: tuple[str, ...] = ("hall",)

    def __post_init__(self) -> None:
        if self.layers > 9:
            raise ValueError("layers: nobody paints so often")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)


def read(tmp_path: Path, text: str, **environ: str) -> Settings:
    file = tmp_path / "own.toml"
    file.write_text(text)
    return load(file, {"TROUPE_HOME": str(tmp_path), **environ})


def error(tmp_path: Path, text: str, **environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text, **environ)
    return caught.value


# ---- where they come from


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    settings = load(environ={"TROUPE_HOME": str(tmp_path)})
    assert settings == Settings(home=tmp_path)
    assert http(settings) == DoorSettings()


def test_a_file_of_every_section_is_read(tmp_path: Path) -> None:
    text = f"""
        [bus]
        url = "nats://one:4222,nats://two:4222"
        [http]
        port = 81
        names = ["https://troupe.example"]
        [[auth.keys]]
        name = "laptop"
        hash = "{HASH}"
        scopes = ["chat"]
        [log]
        level = "debug"
        [supervisor]
        actors = ["echo"]
        restart_window_seconds = 30
        [actors.paint]
        colour = "đỏ"
    """
    settings = read(tmp_path, text)
    assert settings.bus == BusSettings(url="nats://one:4222,nats://two:4222")
    assert http(settings) == DoorSettings(port=81, names=["https://troupe.example"])
    assert settings.room("auth", AuthSettings).keys == [KeySettings(name="laptop", hash=HASH, scopes=["chat"])]
    assert settings.log == LogSettings(level="debug")
    assert settings.supervisor.restart_window_seconds == 30
    assert settings.actor("paint", PaintSettings) == PaintSettings(colour="đỏ")
    assert settings.source == str(tmp_path / "own.toml")


@pytest.mark.parametrize("place", ["argument", "TROUPE_CONFIG", "here", "home"])
def test_the_file_is_looked_for_in_four_places(tmp_path: Path, place: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    file = {"here": tmp_path / "troupe.toml", "home": home / "troupe.toml"}.get(place, tmp_path / "named.toml")
    file.write_text("[http]\nport = 81")
    environ = {"TROUPE_HOME": str(home)} | ({"TROUPE_CONFIG": str(file)} if place == "TROUPE_CONFIG" else {})
    assert http(load(file if place == "argument" else None, environ)).port == 81


def test_a_nearer_file_hides_a_farther_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "troupe.toml").write_text("[http]\nport = 1\n[bus]\nurl = 'x'")
    (tmp_path / "troupe.toml").write_text("[http]\nport = 3")
    settings = load(environ={"TROUPE_HOME": str(home)})
    assert (http(settings).port, settings.bus.url) == (3, "")


def test_a_home_in_the_file_is_taken_from_the_files_folder(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('home = "data"')
    assert load(file, {}).home == tmp_path / "data"
    assert load(file, {"TROUPE_HOME": str(tmp_path / "other")}).home == tmp_path / "other"


def test_a_supervised_process_has_its_supervisors_settings_and_no_others(tmp_path: Path) -> None:
    settings = read(
        tmp_path, f'[bus]\npassword = "x"\n[[auth.keys]]\nname = "a"\nhash = "{HASH}"\n[actors.paint]\nlayers = 3'
    )
    environ = hand_down(settings, tmp_path / "settings.json")
    assert load(environ={**environ, "TROUPE_HTTP_PORT": "99"}) == settings
    assert stat.S_IMODE((tmp_path / "settings.json").stat().st_mode) == 0o600


def test_handed_down_settings_that_are_gone_say_which_variable_named_them(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TROUPE_SUPERVISED"):
        load(environ={"TROUPE_SUPERVISED": str(tmp_path / "gone.json")})


# ---- the environment


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        "[http]\nport = 81\nhost = '0.0.0.0'",
        TROUPE_HTTP_PORT="82",
        TROUPE_LOG_LEVEL="error",
        TROUPE_LOG_REDACT="false",
        TROUPE_HTTP_RATE="2.5",
        NATS_URL="nats://elsewhere:4222",
    )
    assert (http(settings).port, http(settings).host) == (82, "0.0.0.0")
    assert (settings.log.level, settings.log.redact) == ("error", False)
    assert http(settings).rate == 2.5
    assert settings.bus.url == "nats://elsewhere:4222"


def test_lists_are_separated_by_commas(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        "",
        TROUPE_SUPERVISOR_ACTORS="echo, llama,",
        TROUPE_ACTORS_PAINT_BRUSHES="thin,thick",
        TROUPE_ACTORS_PAINT_ROOMS="attic",
    )
    assert settings.supervisor.actors == ["echo", "llama"]
    assert settings.actor("paint", PaintSettings).brushes == ["thin", "thick"]
    assert settings.actor("paint", PaintSettings).rooms == ("attic",)


def test_an_actors_own_settings_may_come_from_the_environment(tmp_path: Path) -> None:
    text = "[actors.paint]\nlayers = 2\ncolour = 'red'"
    settings = read(tmp_path, text, TROUPE_ACTORS_PAINT_LAYERS="7", TROUPE_ACTORS_PAINT_FAST="true")
    assert settings.actor("paint", PaintSettings) == PaintSettings(colour="red", layers=7, fast=True)


def test_a_key_of_another_room_can_be_set_for_the_children(tmp_path: Path) -> None:
    settings = read(tmp_path, "[http]\nport = 0\nhost = 'x'").changed("http", port=81)
    handed = load(environ=hand_down(settings, tmp_path / "settings.json"))
    assert http(handed) == DoorSettings(host="x", port=81)


def test_a_process_that_does_not_know_a_room_leaves_its_section_and_variables_alone(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[http]\nprot = 81\n[log]\nlevel = 'debug'")
    environ = {"TROUPE_HOME": str(tmp_path), "TROUPE_HTTP_PROT": "82"}
    settings = load_rooms(file, environ)
    assert settings.log.level == "debug"
    assert settings.rooms == {"http": {"prot": 81}}
    with pytest.raises(SettingsError, match=r"\[http\] prot: .*Did you mean port"):
        http(settings)


@pytest.mark.parametrize(("text", "words"), [("[buss]", "Did you mean bus"), ("[telemtry]", "Did you mean telemetry")])
def test_a_section_that_is_misspelt_is_refused_also_where_not_all_rooms_are_known(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=words):
        load_rooms(file, {})


@pytest.mark.parametrize("variable", ["TROUPE_HTTP_PORT", "NATS_URL", "TROUPE_HOME", "TROUPE_CONFIG"])
def test_an_empty_variable_is_none(variable: str) -> None:
    assert load(environ={variable: ""}) == Settings()


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    others = {"TROUPE_PORT": "tcp://10.0.0.1:80", "TROUPE_SERVICE_HOST": "10.0.0.1", "HTTP_PORT": "x", "PATH": "/bin"}
    assert load(environ={"TROUPE_HOME": str(tmp_path), **others}) == Settings(home=tmp_path)


# ---- what is wrong is named


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[http]\nprot = 81", "[http] prot", "Did you mean port?"),
        ("[htp]\nport = 81", "[htp]", "Did you mean http?"),
        ("[http]\nqqqqq = 81", "[http] qqqqq", "There are: host, port"),
        ("[http]\nport = '81'", "[http] port", "expected `int`"),
        ("[http]\nport = 99999", "[http] port", "65535"),
        ("[supervisor]\ndrain_seconds = inf", "[supervisor] drain_seconds", "inf is not allowed: a finite number"),
        ("[http]\nrate = nan", "[http] rate", "a finite number"),
        ("[supervisor]\nmax_restarts = -1", "[supervisor] max_restarts", ">= 0"),
        ("[log]\nlevel = 'inof'", "[log] level", "Did you mean info?"),
        ("[supervisor]\nrestart_window_seconds = 0", "[supervisor] restart_window_seconds", "> 0"),
        ("[auth]\nkeys = ['tr-secret']", "[auth] keys", "name, hash, scopes"),
        ("[[auth.keys]]\nname = 'a'", "[auth.keys] hash", "is missing"),
        ("[[auth.keys]]\nname = 'a'\nhash = 'tr-secret'", "[auth.keys] hash", "regex"),
        (f"[[auth.keys]]\nnaem = 'a'\nhash = '{HASH}'", "[auth.keys] naem", "Did you mean name?"),
        ("http = 81", "http", "[http]"),
        ("home = 5", "home", "a folder is expected"),
        ("home = ['a']", "home", "a folder is expected"),
        ("[models.aliases]\na = 'a'", "[models]", "'a' is another name for itself"),
        ("[models.aliases]\na = ''", "[models]", "lacks a name"),
        ("[actors]\npaint = 1", "[actors] paint", "[actors.paint]"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_is_right(tmp_path: Path, text: str, key: str, words: str) -> None:
    found = error(tmp_path, text)
    assert found.source == str(tmp_path / "own.toml")
    assert found.key == key
    assert words in found.message
    assert "tr-secret" not in str(found)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("TROUPE_HTTP_PROT", "81", "Did you mean port?"),
        ("TROUPE_HTP_PORT", "81", "Did you mean TROUPE_HTTP_PORT?"),
        ("TROUPE_HTTP_PORT", "eighty", "expected `int`"),
        ("TROUPE_SUPERVISOR_DRAIN_SECONDS", "inf", "a finite number"),
        ("TROUPE_LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("TROUPE_AUTH_KEYS", "tr-secret", "settings file"),
        ("TROUPE_HTTP_ALIASES", "a=b", "settings file"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, value: str, words: str) -> None:
    found = error(tmp_path, "", **{variable: value})
    assert found.source == variable
    assert words in str(found)
    assert "tr-secret" not in str(found)


def test_a_wrong_key_of_an_actor_is_named_when_it_asks(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[actors.paint\] color: .*Did you mean colour"):
        read(tmp_path, "[actors.paint]\ncolor = 'red'").actor("paint", PaintSettings)


def test_what_an_actors_settings_find_wrong_themselves_is_told_with_the_section(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[actors.paint\]: layers: nobody"):
        read(tmp_path, "[actors.paint]\nlayers = 10").actor("paint", PaintSettings)


def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path: Path) -> None:
    found = error(tmp_path, "[http]\nport = = 81")
    assert found.source == str(tmp_path / "own.toml")
    assert "line 2" in found.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load(tmp_path / "none.toml", {})
    with pytest.raises(SettingsError, match="no such file"):
        load(environ={"TROUPE_CONFIG": str(tmp_path / "none.toml")})


def test_a_home_that_is_no_text_is_refused_also_where_nothing_else_names_one(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("home = 5")
    with pytest.raises(SettingsError, match="home: 5 is not allowed"):
        load(file, {})


def test_what_is_there_and_no_file_is_told_apart_from_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a folder, and settings are a file"):
        load(tmp_path, {})
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="is no regular file"):
        load(tmp_path / "pipe", {})
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"cannot be read: Not a directory; name another"):
        load(tmp_path / "file" / "below", {})


def test_dev_null_is_a_file_without_settings(tmp_path: Path) -> None:
    assert http(load(Path(os.devnull), {"TROUPE_HOME": str(tmp_path)})) == DoorSettings()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("")
    file.chmod(0)
    with pytest.raises(SettingsError, match="cannot be read"):
        load(file, {})


class BucketSettings(msgspec.Struct, frozen=True):
    volume: Size = Size(0)


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ("0", 0),
        ("17179869184", 17179869184),
        ('"17179869184"', 17179869184),
        ('"16GiB"', 16 * 2**30),
        ('"1.5 GB"', 1_500_000_000),
        ('"500mb"', 500_000_000),
        ('"2 KiB"', 2048),
        ('"1 B"', 1),
        ('"0.1 GiB"', 107374182),
    ],
)
def test_a_size_is_bytes_or_a_number_with_a_unit(tmp_path: Path, said: str, size: int) -> None:
    (tmp_path / "t.toml").write_text(f"[actors.bucket]\nvolume = {said}\n")
    assert load(tmp_path / "t.toml").actor("bucket", BucketSettings).volume == size


@pytest.mark.parametrize(
    "said", ['"16G"', '"sixteen"', '""', '"-1"', "-1", "true", "1.5", '"1e3"', '"2000000 TiB"', "[]"]
)
def test_what_is_no_size_is_refused_with_an_example(tmp_path: Path, said: str) -> None:
    (tmp_path / "t.toml").write_text(f"[actors.bucket]\nvolume = {said}\n")
    with pytest.raises(SettingsError, match=r"\[actors\.bucket\] volume: .*is not allowed: expected a size"):
        load(tmp_path / "t.toml").actor("bucket", BucketSettings)


def test_a_size_comes_from_the_environment_and_through_a_supervisor(tmp_path: Path) -> None:
    settings = load(None, {"TROUPE_ACTORS_BUCKET_VOLUME": "3 MiB", "TROUPE_HOME": str(tmp_path)})
    handed = load(None, hand_down(settings, tmp_path / "down.json"))
    assert [each.actor("bucket", BucketSettings).volume for each in (settings, handed)] == [3 * 2**20] * 2
