"""Which hub a command talks to."""

import argparse
import os
from typing import TYPE_CHECKING

from cli.chat import KEY_VARIABLE, target_of

if TYPE_CHECKING:
    from troupe_client import Hub


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the hub is and who asks."""
    parser.add_argument("--host", help="the hub's host (default: from the settings, else 127.0.0.1)")
    parser.add_argument("--port", type=int, help="its gRPC port (default: from the settings, else 50051)")
    parser.add_argument("--target", help="host and gRPC port together, for example hub.local:50051")
    parser.add_argument("--key", default=os.environ.get(KEY_VARIABLE), help=f"API key (default: ${KEY_VARIABLE})")
    parser.add_argument(
        "--tls", nargs="?", const=True, metavar="CA.pem", help="use TLS; with a file: trust these certificates"
    )


def hub_of(args: argparse.Namespace) -> "Hub":
    """The hub that the arguments name, not yet connected. Raises SettingsError, RpcError."""
    from gateway.settings import load
    from troupe_client import connect

    return connect(target_of(args, load(args.config)), key=args.key, tls=args.tls)
