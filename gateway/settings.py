"""What the doors are told: the sections [http], [grpc], [auth], [limits] and [embeddings] of the settings."""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from host import settings as files
from host.settings import Count, ModelSettings, Port, Rate, Rooms, Seconds, Settings


class HttpSettings(Struct, frozen=True, kw_only=True):
    """HTTP and WebSocket."""

    host: str = "127.0.0.1"
    port: Port = 8080
    allowed_hosts: list[str] = field(default_factory=list)
    """Names under which browsers may reach the hub, besides the address it listens on."""

    cors_origins: list[str] = field(default_factory=list)
    """Web pages of other origins that may call the hub."""

    open_metrics: bool = False
    """`/metrics` needs no key on a hub with keys."""


class GrpcSettings(Struct, frozen=True, kw_only=True):
    """gRPC."""

    host: str = "127.0.0.1"
    port: Port = 50051


class KeySettings(Struct, frozen=True, kw_only=True):
    """One API key, as its SHA-256 in hexadecimal."""

    name: Annotated[str, Meta(min_length=1)]
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: list[str] = field(default_factory=list)
    """What the key may do; empty: everything."""

    expires: Annotated[datetime, Meta(tz=True)] | None = None
    """From then on it is refused, for example 2027-01-31T00:00:00Z."""

    max_calls: Annotated[int, Meta(ge=0)] = 0
    """Calls at once with this key's name; 0: as `[limits]` has it."""

    calls_per_minute: Seconds = 0
    """Calls that begin; 0: as `[limits]` has it."""


class AuthSettings(Struct, frozen=True, kw_only=True):
    """Who may call."""

    keys: list[KeySettings] = field(default_factory=list)


class LimitSettings(Struct, frozen=True, kw_only=True):
    """What the doors let through."""

    max_body_bytes: Count = 8 * 1024 * 1024
    max_upload_bytes: Count = 512 * 1024 * 1024
    """Of a body that is passed on as it comes; all others are held in memory."""

    max_connections: Count = 2048
    max_calls: Count = 512
    max_calls_per_connection: Count = 64
    max_calls_per_principal: Annotated[int, Meta(ge=0)] = 0
    """Calls at once of whoever has one name; 0: no limit but that of all."""

    calls_per_minute: Seconds = 0
    """Calls that one name begins; 0: any number."""

    messages_per_second: Rate = 500
    message_burst: Count = 1000


class EmbeddingSettings(Struct, frozen=True, kw_only=True):
    """Embeddings over HTTP."""

    token_ids: Literal["cl100k", "model", "refuse"] = "cl100k"  # noqa: S105  # no password
    """Whose the token ids are that clients send instead of text.

    Those of OpenAI's cl100k are turned back into text, the model's own are taken as they are.
    """

    vocabulary: str = ""
    """The file `cl100k_base.tiktoken`, for "cl100k"; empty: the one that `troupe models pull cl100k` brings."""


class DoorSettings(Struct, frozen=True, kw_only=True):
    """All of the above, and what doors need of the process."""

    http: HttpSettings = HttpSettings()
    grpc: GrpcSettings = GrpcSettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
    embeddings: EmbeddingSettings = EmbeddingSettings()
    models: ModelSettings = ModelSettings()

    drain_seconds: Seconds = 10
    """How long running calls may take to end when the process stops."""

    source: str = ""
    """The file they were read from; empty: none."""


VOCABULARY = Path("vocabularies") / "cl100k.tiktoken"
"""Where the vocabulary of cl100k lies under the home, once it has been fetched."""

ROOMS: Rooms = MappingProxyType(
    {
        "http": HttpSettings,
        "grpc": GrpcSettings,
        "auth": AuthSettings,
        "limits": LimitSettings,
        "embeddings": EmbeddingSettings,
    }
)
"""The doors' sections by name, for `host.settings.load`."""


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a process that knows all rooms: any other section is refused. Raises SettingsError."""
    return files.load(path, environ, rooms=ROOMS, complete=True)


def doors_of(settings: Settings) -> DoorSettings:
    """What settings say of the doors. Raises SettingsError."""
    embeddings = settings.room("embeddings", EmbeddingSettings)
    vocabulary = embeddings.vocabulary or str(settings.home / VOCABULARY)
    return DoorSettings(
        http=settings.room("http", HttpSettings),
        grpc=settings.room("grpc", GrpcSettings),
        auth=settings.room("auth", AuthSettings),
        limits=settings.room("limits", LimitSettings),
        embeddings=replace(embeddings, vocabulary=vocabulary),
        models=settings.models,
        drain_seconds=settings.supervisor.drain_seconds,
        source=settings.source,
    )
