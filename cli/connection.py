"""Which hub a command talks to."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.settings import GrpcSettings
    from host.settings import Settings
    from troupe_client import Hub

KEY_VARIABLE = "TROUPE_KEY"

EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  (what a hub listens on; nobody can call it)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the hub is and who asks."""
    parser.add_argument("--host", help="the hub's host (default: from the settings, else this home's hub)")
    parser.add_argument("--port", type=int, help="its gRPC port (default: from the settings, else this home's hub)")
    parser.add_argument("--target", help="host and gRPC port together, for example hub.local:50051")
    parser.add_argument("--key", default=os.environ.get(KEY_VARIABLE), help=f"API key (default: ${KEY_VARIABLE})")
    parser.add_argument(
        "--tls", nargs="?", const=True, metavar="CA.pem", help="use TLS; with a file: trust these certificates"
    )


def hub_of(args: argparse.Namespace) -> "Hub":
    """The hub that the arguments name, not yet connected. Raises SettingsError, RpcError."""
    return hub_at(args, settings_of(args))


def hub_at(args: argparse.Namespace, settings: "Settings") -> "Hub":
    """As `hub_of`, with settings that were read already. Raises RpcError."""
    from troupe_client import connect

    return connect(target_of(args, settings), key=args.key, tls=args.tls)


def settings_of(args: argparse.Namespace) -> "Settings":
    """The settings that the arguments name. Raises SettingsError."""
    from gateway.settings import load

    config = getattr(args, "config", None)
    return load(Path(config) if config else None)


def target_of(args: argparse.Namespace, settings: "Settings") -> str:
    """Where the hub's gRPC door is: as the arguments say, else the settings, else the hub that runs in this home."""
    if args.target:
        return str(args.target)
    from gateway.settings import doors_of

    grpc = doors_of(settings).grpc
    if not args.host and not args.port and (own := own_door(grpc, settings.home)):
        return own
    host = args.host or grpc.host
    if host in EVERY_ADDRESS:
        host = "127.0.0.1"
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{bracketed}:{args.port or grpc.port}"


def own_door(grpc: "GrpcSettings", home: Path) -> str:
    """The gRPC door of this home's hub, where the settings name none; empty if they do, or none runs."""
    from gateway.settings import GrpcSettings
    from host.running import find

    if grpc.port and grpc != GrpcSettings():
        return ""
    running = find(home)
    return running.doors.get("grpc", "") if running else ""
