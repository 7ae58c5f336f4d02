"""The settings of a hub: one file, `troupe.toml`, and the environment, which wins.

Here is how they are read, and what every process has. Other rooms have their sections in a `settings.py` of their own,
and whoever puts rooms together names them to `load`; an actor's section is its own too. `docs/settings.md` tells what
each is for. A wrong name or value is refused with the file, the key and what is allowed.
"""

import difflib
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, ValidationError, field
from msgspec.structs import fields

from bus.errors import nearest

PREFIX = "TROUPE_"

SUPERVISED = "TROUPE_SUPERVISED"
"""Names the file in which a supervisor hands its settings down."""

INSTANCE = "TROUPE_INSTANCE"
"""Becomes part of the names on the bus of a supervised process and its children, so that its supervisor knows them."""

NOT_SETTINGS = frozenset({"TROUPE_CONFIG", "TROUPE_HOME", SUPERVISED, INSTANCE})
"""Variables that begin like settings and are none."""

TYPO = 0.9
"""A variable that resembles a setting's so closely is a misspelt one; others belong to somebody else."""

SECTION_TYPO = 0.8
"""The same of a section, where not all sections are known."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0)]

SIZE_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
"""Bytes of a unit, in lower case."""

MAX_SIZE = 2**60

Kind = TypeVar("Kind", bound=Struct)

Rooms = Mapping[str, type[Struct]]
"""Sections of other rooms, by name: {"http": HttpSettings}."""


class SettingsError(Exception):
    """A setting is wrong. source: the file or variable; key: "[http] port"; message: what is allowed."""

    def __init__(self, source: str, key: str, message: str) -> None:
        super().__init__(f"{source}: {key}: {message}" if key else f"{source}: {message}")
        self.source = source
        self.key = key
        self.message = message


class Size(int):
    """Bytes, 0 to 2^60. In settings a number, or text with a unit: 17179869184, "16GiB", "1.5 GB", "500MB"."""

    @classmethod
    def read(cls, value: Any) -> Self:
        """What a setting says. Raises ValueError with what is allowed."""
        text = value if isinstance(value, str) else str(value)
        found = re.fullmatch(r"\s*(\d{1,19}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", text)
        unit = SIZE_UNITS.get(found[2].lower()) if found else None
        if isinstance(value, bool) or not isinstance(value, (int, str)) or found is None or unit is None:
            raise ValueError('Expected a size: bytes, or a number with a unit, for example "16GiB" or "500MB"')
        size = int(Decimal(found[1]) * unit)
        if size > MAX_SIZE:
            raise ValueError("Expected a size of at most 1048576 TiB")
        return cls(size)


class BusSettings(Struct, frozen=True, kw_only=True):
    """How this machine reaches NATS."""

    url: str = ""
    """One or several servers, separated by commas; empty: `troupe up` starts one of its own."""

    user: str = ""
    password: str = ""
    token: str = ""
    credentials_file: str = ""
    """A NATS `.creds` file."""

    tls_ca: str = ""
    """PEM file with the authority that signed the server's certificate; empty: the system's."""

    tls_cert: str = ""
    tls_key: str = ""


class LogSettings(Struct, frozen=True, kw_only=True):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    redact: bool = True
    """Leave prompts and answers out. Secrets are left out always."""


class TelemetrySettings(Struct, frozen=True, kw_only=True):
    """OpenTelemetry."""

    otlp_endpoint: str = ""
    """Where spans go by OTLP over HTTP, for example "http://127.0.0.1:4318"; empty: none are made."""

    service_name: str = "troupe"


class SupervisorSettings(Struct, frozen=True, kw_only=True):
    """Which processes run, and how they are brought back."""

    actors: list[str] = field(default_factory=list)
    """Names from the registry; empty: all of it."""

    max_restarts: Annotated[int, Meta(ge=0)] = 5
    """More restarts than this within the window, and the actor is left alone as failed."""

    restart_window_seconds: Rate = 60
    drain_seconds: Seconds = 10
    """How long running calls may take to end when a process stops."""


class PartsSettings(Struct, frozen=True, kw_only=True):
    """Where parts come from that are installed when wanted; see `troupe add`."""

    torch_index: str = ""
    """Another index for PyTorch, with builds for a CUDA or for the processor; empty: that of pip."""


class ModelSettings(Struct, frozen=True, kw_only=True):
    """How models are called: at the doors, and by who lists them."""

    default: str = ""
    """Who answers where nobody is named; empty: the hub's own rule."""

    aliases: dict[str, str] = field(default_factory=dict)
    """Other names of models: {"gpt-4o": "troupe-tiny"}. An alias of an alias is none."""

    health_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 300.0
    """How often a loaded model that has nothing to do is asked for a few tokens; 0: never."""

    health_within_seconds: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    """One that has not answered by then does not work."""

    def __post_init__(self) -> None:
        for alias, name in self.aliases.items():
            if not alias or not name:
                raise ValueError(f"aliases: {alias!r} = {name!r} lacks a name.")
            if alias == name:
                raise ValueError(f"aliases: {alias!r} is another name for itself; say which model it stands for.")


def _default_home() -> Path:
    return Path("~/.troupe").expanduser()


class Settings(Struct, frozen=True, kw_only=True):
    """All of them."""

    home: Path = field(default_factory=_default_home)
    """Where models, adapters, the bus's data and logs are kept."""

    bus: BusSettings = BusSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    models: ModelSettings = ModelSettings()
    parts: PartsSettings = PartsSettings()
    actors: dict[str, dict[str, Any]] = field(default_factory=dict)
    """One section for each actor that has any; see `actor`. A name holds no "_": variables end it there."""

    rooms: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was set in the sections of other rooms; see `room`."""

    source: str = ""
    """The file they were read from; empty: none."""

    def actor(self, name: str, kind: type[Kind]) -> Kind:
        """The section `[actors.<name>]` as that actor's own settings. Raises SettingsError."""
        return decode(kind, self.actors.get(name, {}), self.source or "environment", f"actors.{name}", strict=False)

    def room(self, name: str, kind: type[Kind]) -> Kind:
        """The section `[<name>]` of another room, which was named to `load`. Raises SettingsError."""
        return decode(kind, self.rooms.get(name, {}), self.source or "environment", name)

    def changed(self, room: str, **values: Any) -> "Settings":
        """The same with these keys of another room's section set."""
        section = {**self.rooms.get(room, {}), **values}
        return msgspec.structs.replace(self, rooms={**self.rooms, room: section})


def load(
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    rooms: Rooms = MappingProxyType({}),
    complete: bool = False,
) -> Settings:
    """Read the settings.

    The file is `path`, else $TROUPE_CONFIG, else ./troupe.toml, else $TROUPE_HOME/troupe.toml; of the last two neither
    need exist. A supervised process has those of its supervisor. rooms: the sections of other rooms that this process
    reads. complete: they are all there are, so that any other is a mistake; else only what looks like a misspelt one
    is, and the rest is left to those who know it. Raises SettingsError.
    """
    if path is None and environ.get(SUPERVISED):
        return _handed_down(Path(environ[SUPERVISED]))
    home = Path(environ["TROUPE_HOME"]).expanduser().absolute() if environ.get("TROUPE_HOME") else None
    file = _find(path, home or _default_home(), environ)
    data = _read(file) if file else {}
    source = str(file) if file else ""
    where = source or "settings"
    said = data.pop("home", "")
    if not isinstance(said, str):
        raise SettingsError(where, "home", f"{said!r} is not allowed: a folder is expected, as text in quotes.")
    if home is None:
        home = (file.parent if file else Path()) / (Path(said).expanduser() if said else _default_home())
    _refuse_unknown(data, {**_sections(), **rooms}, where, complete=complete)
    settings = _settings(data, rooms, where, home.absolute(), source)
    return _overridden(settings, rooms, environ)


def hand_down(settings: Settings, file: Path) -> dict[str, str]:
    """Write settings for child processes, readable by this user alone; the environment that makes `load` find them."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(msgspec.json.encode(settings, enc_hook=str))
    return {SUPERVISED: str(file)}


def _handed_down(file: Path) -> Settings:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Settings, dec_hook=lambda kind, value: kind(value))
    except (OSError, msgspec.MsgspecError) as error:
        raise SettingsError(str(file), "", f"cannot be read: {_why(error)}. Is {SUPERVISED} set by mistake?") from error


def _find(path: Path | None, home: Path, environ: Mapping[str, str]) -> Path | None:
    named = path or (Path(environ["TROUPE_CONFIG"]) if environ.get("TROUPE_CONFIG") else None)
    if named is not None:
        _check_named(named)
        return named.absolute()
    for candidate in (Path("troupe.toml"), home / "troupe.toml"):
        if candidate.is_file():
            return candidate.absolute()
    return None


def _check_named(file: Path) -> None:
    """Raises SettingsError for what is no file. /dev/null is an empty one; others of its kind may never end."""
    other = "name another with --config or TROUPE_CONFIG."
    try:
        mode = file.stat().st_mode
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {_why(error)}"
        raise SettingsError(str(file), "", f"{why}; {other}") from error
    if stat.S_ISDIR(mode):
        raise SettingsError(str(file), "", f"is a folder, and settings are a file; {other}")
    if not stat.S_ISREG(mode) and file != Path(os.devnull):
        raise SettingsError(str(file), "", f"is no regular file; {other}")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(str(file), "", f"cannot be read: {_why(error)}.") from error


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def _refuse_unknown(data: Mapping[str, Any], sections: Rooms, where: str, *, complete: bool) -> None:
    names = [*sections, "actors", "home"]
    for name, value in data.items():
        misspelt = complete or difflib.get_close_matches(name, names, n=1, cutoff=SECTION_TYPO)
        if name not in names and misspelt:
            raise SettingsError(where, f"[{name}]", f"there is no such section.{_meant(name, names)}")
        if not isinstance(value, dict):
            raise SettingsError(where, name, f"is a section; write [{name}] and its keys below.")


def _settings(data: dict[str, Any], rooms: Rooms, where: str, home: Path, source: str) -> Settings:
    own = _sections()
    values: dict[str, Any] = {name: decode(kind, data[name], where, name) for name, kind in own.items() if name in data}
    others = {name: value for name, value in data.items() if name not in own and name != "actors"}
    for name in others.keys() & rooms.keys():
        decode(rooms[name], others[name], where, name)
    actors = _actors(data.get("actors", {}), where)
    return Settings(home=home, source=source, actors=actors, rooms=others, **values)


def _sections() -> dict[str, type[Struct]]:
    return {
        found.name: found.type
        for found in fields(Settings)
        if isinstance(found.type, type) and issubclass(found.type, Struct)
    }


def _actors(value: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
    for name, section in value.items():
        if not isinstance(section, dict):
            raise SettingsError(where, f"[actors] {name}", f"is a section; write [actors.{name}] and its keys below.")
    return value


# ---- one section


def decode(kind: type[Kind], data: Mapping[str, Any], source: str, section: str, *, strict: bool = True) -> Kind:
    """A section's values as its Struct. strict: text is no number. Raises SettingsError naming the key at fault."""
    known = {found.name: found for found in fields(kind)}
    values = {}
    for key, value in data.items():
        if key not in known:
            raise SettingsError(source, f"[{section}] {key}", f"there is no such key.{_meant(key, known)}")
        values[key] = _value(known[key].type, value, source, f"[{section}] {key}", strict)
    missing = [found.name for found in known.values() if found.required and found.name not in values]
    if missing:
        raise SettingsError(source, f"[{section}] {missing[0]}", "is missing.")
    try:
        return kind(**values)
    except ValueError as error:  # what the Struct itself finds wrong
        raise SettingsError(source, f"[{section}]", str(error)) from error


def _value(kind: Any, value: Any, source: str, key: str, strict: bool) -> Any:
    items = get_args(kind)
    if get_origin(kind) in (list, tuple) and isinstance(value, str) and not strict:
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list) and items and isinstance(items[0], type) and issubclass(items[0], Struct):
        return [_item(items[0], item, source, key, strict) for item in value]
    try:
        found = msgspec.convert(value, kind, strict=strict, dec_hook=_own)
    except ValidationError as error:
        raise SettingsError(source, key, f"{_shown(key, value)} {_allowed(kind, value, error)}") from error
    if not _finite(found):  # TOML has words for such numbers; JSON, by which they are handed down, has none
        raise SettingsError(source, key, f"{_shown(key, value)} is not allowed: a finite number is expected.")
    return found


def _own(kind: type[Any], value: Any) -> Any:
    """A value of a type of this module's own."""
    if kind is Size:
        return Size.read(value)
    raise TypeError(f"Settings know no values of the type {kind.__qualname__}.")


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _item(kind: type[Struct], value: Any, source: str, key: str, strict: bool) -> Struct:
    if not isinstance(value, dict):
        raise SettingsError(source, key, f"each entry is a table with {', '.join(kind.__struct_fields__)}.")
    return decode(kind, value, source, key.strip("[").replace("] ", "."), strict=strict)


def _shown(key: str, value: Any) -> str:
    secret = any(word in key for word in ("password", "token", "hash", "key"))
    return "the value" if secret else repr(value)[:100]


def _allowed(kind: Any, value: Any, error: ValidationError) -> str:
    if get_origin(kind) is Literal:
        choices = [str(choice) for choice in get_args(kind)]
        return f"is not one of {', '.join(choices)}.{_meant(str(value), choices)}"
    return f"is not allowed: {str(error)[:1].lower()}{str(error)[1:]}."


def _meant(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = nearest(name, names, limit=1)
    return f" Did you mean {close[0]}?" if close else f" There are: {', '.join(names)}."


# ---- the environment


def _overridden(settings: Settings, rooms: Rooms, environ: Mapping[str, str]) -> Settings:
    own = _sections()
    sections = {**own, **rooms}
    values: dict[str, dict[str, Any]] = {}
    actors = {name: dict(section) for name, section in settings.actors.items()}
    for variable in sorted(environ):
        section, _, key = variable.removeprefix(PREFIX).lower().partition("_")
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS or not environ[variable]:
            continue
        if section == "actors" and "_" in key:
            name, _, key = key.partition("_")
            actors.setdefault(name, {})[key] = environ[variable]
        elif section in sections:
            values.setdefault(section, {})[key] = _from_variable(
                sections[section], section, key, variable, environ[variable]
            )
        else:
            _refuse_misspelt(variable, sections)
    if environ.get("NATS_URL"):
        values.setdefault("bus", {})["url"] = environ["NATS_URL"]
    changed = {name: msgspec.structs.replace(getattr(settings, name), **values[name]) for name in own if name in values}
    settings = msgspec.structs.replace(settings, actors=actors, **changed)
    for name in rooms.keys() & values.keys():
        settings = settings.changed(name, **values[name])
    return settings


def _from_variable(kind: type[Struct], section: str, key: str, variable: str, text: str) -> Any:
    known = {found.name: found.type for found in fields(kind)}
    if key not in known:
        raise SettingsError(variable, f"[{section}] {key}", f"there is no such key.{_meant(key, known)}")
    items = get_args(known[key])
    if get_origin(known[key]) is dict or (items and isinstance(items[0], type) and issubclass(items[0], Struct)):
        raise SettingsError(variable, f"[{section}] {key}", "belongs into the settings file.")
    return _value(known[key], text, variable, f"[{section}] {key}", strict=False)


def _refuse_misspelt(variable: str, sections: Rooms) -> None:
    names = [f"{PREFIX}{name}_{found.name}".upper() for name, kind in sections.items() for found in fields(kind)]
    close = difflib.get_close_matches(variable, [*names, *NOT_SETTINGS], n=1, cutoff=TYPO)
    if close:
        raise SettingsError(variable, "", f"there is no such setting. Did you mean {close[0]}?")
