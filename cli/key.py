"""Make an API key. The key itself is shown once; the settings keep its SHA-256 alone."""

import argparse
import json
from collections.abc import Iterable

from cli.failure import CommandError

SCOPE_HELP = "what the key may do, for example chat; may be given several times (default: everything)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe key` understands."""
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    new = actions.add_parser("new", help="make a key and the lines that let it in")
    new.add_argument("name", help="whose key it is, as logs and limits will call them")
    new.add_argument("--scope", action="append", default=[], metavar="SCOPE", help=SCOPE_HELP)
    new.add_argument("--json", action="store_true", help="as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print a new key and its entry for troupe.toml; exit code 0. Raises CommandError for a scope that there is not."""
    from gateway.access import new_key
    from gateway.identity import hash_key

    _check(args.scope)
    key = new_key()
    entry = {"name": args.name, "hash": hash_key(key), "scopes": args.scope}
    if args.json:
        print(json.dumps({"key": key, "entry": entry}, ensure_ascii=False))
        return 0
    print(f"The key of {args.name}, shown this once:\n\n  {key}\n\nFor troupe.toml, then start the hub again:\n")
    print("\n".join(f"  {line}" for line in lines(entry)))
    return 0


def _check(scopes: Iterable[str]) -> None:
    from bus import nearest
    from troupe import services

    known = {method.policy.scope for service in services().values() for method in service.methods.values()} - {""}
    for scope in scopes:
        if scope not in known:
            close = nearest(scope, known, limit=1) or sorted(known)
            raise CommandError(f"No method has the scope {scope!r}.", f"There is: {', '.join(close)}.")


def lines(entry: dict[str, str | list[str]]) -> list[str]:
    """The entry as TOML; entries without scopes leave the line out."""
    # JSON's strings and lists of strings are TOML's too.
    pairs = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items() if value]
    return ["[[auth.keys]]", *pairs]
