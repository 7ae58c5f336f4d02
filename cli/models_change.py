"""The actions of `troupe models` that change what there is: name, pin, remove."""

import argparse
from typing import TYPE_CHECKING

from cli.failure import CommandError
from cli.model_text import print_json
from cli.plain_text import clean, columns, size_text, time_text

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from troupe.model.v1 import Alias
    from troupe_client import Hub


async def alias(hub: "Hub", args: argparse.Namespace) -> None:
    """List, set, move, roll back or remove another name."""
    from troupe.model.v1 import RemoveAliasRequest, RollbackAliasRequest, SetAliasRequest

    if args.alias is None:
        await _list_aliases(hub, args)
        return
    if args.model is not None and (args.remove or args.rollback is not None):
        raise CommandError("A name is given a model, or removed, or rolled back; not two of them.")
    if args.remove:
        _said(args, await hub.models.remove_alias(RemoveAliasRequest(alias=args.alias)), f"{args.alias}: removed")
        return
    if args.rollback is not None:
        request = RollbackAliasRequest(alias=args.alias, version=args.rollback)
        found = (await hub.models.rollback_alias(request)).alias
        _said(args, found, f"{found.name}: means {found.model} ({_version(found)})")
    elif args.model is not None:
        found = (await hub.models.set_alias(SetAliasRequest(alias=args.alias, model=args.model))).alias
        _said(args, found, f"{found.name}: means {found.model} ({_version(found)})")
    else:
        await _list_aliases(hub, args, args.alias)


async def pin(hub: "Hub", args: argparse.Namespace) -> None:
    """Keep a model's memory from being given to others."""
    from troupe.model.v1 import PinModelRequest

    answer = await hub.models.pin_model(PinModelRequest(name=args.name))
    _said(args, answer, f"{answer.model.name}: pinned")


async def unpin(hub: "Hub", args: argparse.Namespace) -> None:
    """Take that back."""
    from troupe.model.v1 import UnpinModelRequest

    answer = await hub.models.unpin_model(UnpinModelRequest(name=args.name))
    _said(args, answer, f"{answer.model.name}: not pinned")


async def remove(hub: "Hub", args: argparse.Namespace) -> None:
    """Remove a model's files."""
    from troupe.model.v1 import RemoveModelRequest

    answer = await hub.models.remove_model(RemoveModelRequest(name=args.name, force=args.force))
    _said(args, answer, f"{args.name}: removed, {size_text(answer.bytes) or '0 B'}")


async def _list_aliases(hub: "Hub", args: argparse.Namespace, only: str = "") -> None:
    """All names, or the versions of one."""
    from troupe.model.v1 import ListAliasesRequest

    listed = (await hub.models.list_aliases(ListAliasesRequest())).aliases
    found = [each for each in listed if only in ("", each.name)]
    if only and not found:
        raise CommandError(f"There is no alias {only[:100]!r}.", "`troupe models alias` lists them.")
    if args.json:
        for each in found:
            print_json(each)
    elif only:
        _print_versions(found[0])
    else:
        rows = [(each.name, each.model, _version(each)) for each in found]
        for line in columns([("ALIAS", "MODEL", "VERSION"), *rows]):
            print(clean(line))


def _print_versions(alias: "Alias") -> None:
    print(clean(f"{alias.name} means {alias.model} ({_version(alias)})"))
    rows = [
        (f"{'*' if each.number == alias.version else ''}{each.number}", each.model,
         time_text(each.set_at.ToNanoseconds() / 1e9), each.set_by)
        for each in reversed(alias.versions)
    ]  # fmt: skip
    for line in columns(rows):
        print(clean(line))


def _version(alias: "Alias") -> str:
    return "settings" if alias.fixed else f"version {alias.version}"


def _said(args: argparse.Namespace, answer: "Message", text: str) -> None:
    if args.json:
        print_json(answer)
    else:
        print(clean(text))
