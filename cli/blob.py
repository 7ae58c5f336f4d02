"""Keep large content in the hub: put, get, look at and remove blobs."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cli import connection
from cli.failure import OK, CommandError
from cli.plain_text import clean, columns, size_text, time_text

if TYPE_CHECKING:
    from troupe.blob.v1 import BlobInfo
    from troupe_client import Hub

_ARGUMENTS = {"put": "a file", "get": "a blob", "stat": "a blob", "rm": "a blob"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe blob` understands."""
    parser.add_argument("action", choices=tuple(_ARGUMENTS))
    parser.add_argument("what", help="put: a file; else a blob's id, as `put` prints it")
    parser.add_argument("file", nargs="?", type=Path, help="get: where to write it (default: under its own name, here)")
    parser.add_argument("--type", default="", metavar="TYPE", help="put: its media type (default: by the file's name)")
    parser.add_argument("--expires-in", type=float, metavar="SECONDS", help="put: when the hub deletes it by itself")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    connection.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; exit code 0. Raises CommandError, RpcError, SettingsError."""
    if args.file is not None and args.action != "get":
        raise CommandError(f"`troupe blob {args.action}` takes {_ARGUMENTS[args.action]} and no other name.")
    asyncio.run(_run(args))
    return OK


async def _run(args: argparse.Namespace) -> None:
    actions = {"put": _put, "get": _get, "stat": _stat, "rm": _remove}
    async with connection.hub_of(args) as hub:
        await actions[args.action](hub, args)


async def _put(hub: "Hub", args: argparse.Namespace) -> None:
    path = Path(args.what)
    with _Shown(path.name) as told:
        reference = await hub.blobs.upload(path, media_type=args.type, expires_in=args.expires_in, told=told)
    if args.json:
        _print_json(await hub.blobs.info(reference))
    else:
        print(reference.uri)


async def _get(hub: "Hub", args: argparse.Namespace) -> None:
    info = await hub.blobs.info(args.what)
    # A name that came from elsewhere names a file here and no folder.
    path: Path = args.file or Path(Path(clean(info.reference.filename)).name or info.id)
    if args.file is None and await asyncio.to_thread(path.exists):
        raise CommandError(f"{path} is there already.", "Name another file after the blob.")
    with _Shown(path.name) as told:
        info = await hub.blobs.download(args.what, path, told=told)
    if args.json:
        _print_json(info)
    else:
        print(path)


async def _stat(hub: "Hub", args: argparse.Namespace) -> None:
    info = await hub.blobs.info(args.what)
    if args.json:
        _print_json(info)
        return
    for line in columns(details(info)):
        print(clean(line))


async def _remove(hub: "Hub", args: argparse.Namespace) -> None:
    await hub.blobs.delete(args.what)
    if not args.json:
        print(f"{args.what}: deleted")


class _Shown:
    """How far it is, on a terminal's one line; nothing elsewhere."""

    def __init__(self, name: str) -> None:
        self._name = clean(name)
        self._last = ""

    def __enter__(self) -> Callable[[int, int], None]:
        return self.told

    def __exit__(self, *_: object) -> None:
        if self._last:
            print(file=sys.stderr)

    def told(self, there: int, size: int) -> None:
        """So many bytes are there."""
        text = f"\r{self._name}: {there / max(1, size):.0%}"
        if text != self._last and sys.stderr.isatty():
            self._last = text
            print(text, end="", file=sys.stderr, flush=True)


def details(info: "BlobInfo") -> list[tuple[str, str]]:
    """What is known of a blob, one line each; what is not known is left out."""
    pairs = [
        ("id", info.id),
        ("name", info.reference.filename),
        ("type", info.reference.media_type),
        ("size", size_text(info.size)),
        ("state", "complete" if info.complete else "coming"),
        ("sha256", info.sha256),
        ("created", time_text(info.created_at.ToNanoseconds() / 1e9)),
        ("expires", time_text(info.expires_at.ToNanoseconds() / 1e9) if info.HasField("expires_at") else ""),
        ("held by", ", ".join(info.holders)),
    ]
    return [(name, value) for name, value in pairs if value]


def _print_json(info: "BlobInfo") -> None:
    from google.protobuf import json_format

    print(json_format.MessageToJson(info, indent=None, ensure_ascii=False), flush=True)
