"""Keep large content in the hub: put, get, look at and remove blobs."""

import argparse
import asyncio
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli import connection
from cli.failure import OK, CommandError, why
from cli.plain_text import clean, columns, size_text, time_text

if TYPE_CHECKING:
    from troupe.blob.v1 import BlobInfo
    from troupe_client import Hub

STANDARD = "-"
"""In place of a file: what is piped in, or out."""

_ARGUMENTS = {"put": "a file", "get": "a blob", "stat": "a blob", "rm": "a blob"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe blob` understands."""
    parser.add_argument("action", choices=tuple(_ARGUMENTS))
    parser.add_argument("what", help="put: a file, - for stdin; else a blob's id, as `put` prints it")
    parser.add_argument(
        "file", nargs="?", help="get: where to write it, - for stdout (default: under its own name, here)"
    )
    parser.add_argument("--type", default="", metavar="TYPE", help="put: its media type (default: by the file's name)")
    parser.add_argument("--expires-in", type=float, metavar="SECONDS", help="put: when the hub deletes it by itself")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    connection.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; exit code 0. Raises CommandError, RpcError, SettingsError."""
    if args.file is not None and args.action != "get":
        raise CommandError(f"`troupe blob {args.action}` takes {_ARGUMENTS[args.action]} and no other name.")
    if args.file == STANDARD and args.json:
        raise CommandError("The blob and the JSON would both go to stdout.", "Leave out --json, or name a file.")
    from bus import RpcError

    try:
        with _source(args) as args.source:
            asyncio.run(_run(args))
    except RpcError as error:
        if error.reason in ("FILE_UNREADABLE", "FILE_UNWRITABLE"):  # no refusal of the hub: the command names the file
            raise CommandError(error.message) from error
        raise
    return OK


async def _run(args: argparse.Namespace) -> None:
    actions = {"put": _put, "get": _get, "stat": _stat, "rm": _remove}
    async with connection.hub_of(args) as hub:
        await actions[args.action](hub, args)


async def _put(hub: "Hub", args: argparse.Namespace) -> None:
    path: Path = args.source
    name = "" if args.what == STANDARD else path.name
    with _Shown(name or "stdin") as told:
        reference = await hub.blobs.upload(
            path, media_type=args.type, filename=name, expires_in=args.expires_in, told=told
        )
    if args.json:
        _print_json(await hub.blobs.info(reference))
    else:
        print(reference.uri)


@contextmanager
def _source(args: argparse.Namespace) -> Iterator[Path]:
    """The file to put. What is piped in is kept in one first: only a file is sent on after a lost connection."""
    if args.action != "put" or args.what != STANDARD:
        yield Path(args.what)
        return
    with tempfile.TemporaryDirectory(prefix="troupe-") as folder:
        path = Path(folder) / "stdin"
        try:
            with path.open("xb") as kept:
                shutil.copyfileobj(sys.stdin.buffer, kept)
        except OSError as error:
            raise CommandError(f"What is piped in cannot be kept in {folder}: {why(error)}.") from error
        yield path


async def _get(hub: "Hub", args: argparse.Namespace) -> None:
    info = await hub.blobs.info(args.what)
    if args.file == STANDARD:
        await _write_out(hub, info)
        return
    # A name that came from elsewhere names a file here and no folder.
    path = Path(args.file or Path(clean(info.reference.filename)).name or info.id)
    if args.file is None and await asyncio.to_thread(path.exists):
        raise CommandError(f"{path} is there already.", "Name another file after the blob.")
    with _Shown(path.name) as told:
        info = await hub.blobs.download(args.what, path, told=told)
    if args.json:
        _print_json(info)
    else:
        print(path)


async def _write_out(hub: "Hub", info: "BlobInfo") -> None:
    """To stdout as it comes; whether it was whole is known at the end. Raises DATA_LOSS (DIGEST_MISMATCH)."""
    from bus import Code, RpcError

    digest = hashlib.sha256()
    async with aclosing(hub.blobs.pieces(info.id)) as pieces:
        async for piece in pieces:
            digest.update(piece)
            await asyncio.to_thread(sys.stdout.buffer.write, piece)
    sys.stdout.buffer.flush()
    if digest.hexdigest() != info.sha256:
        raise RpcError(Code.DATA_LOSS, "The blob came damaged; fetch it again.", reason="DIGEST_MISMATCH")


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
