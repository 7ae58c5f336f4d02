"""`python -m gateway.key NAME [SCOPE ...]`: makes an API key and tells what belongs into the settings."""

import argparse
import json
import sys

from gateway.access import hash_key, new_key


def entry(name: str, key: str, scopes: list[str]) -> str:
    """The lines of `troupe.toml` that let a key in."""
    lines = ["[[auth.keys]]", f"name = {json.dumps(name, ensure_ascii=False)}", f'hash = "{hash_key(key)}"']
    return "\n".join([*lines, f"scopes = {json.dumps(scopes)}"] if scopes else lines)


def main() -> int:
    """Entry point of the module."""
    parser = argparse.ArgumentParser(prog="python -m gateway.key", description="Make an API key.")
    parser.add_argument("name", help="whose it is, for logs and for you")
    parser.add_argument("scope", nargs="*", help="what it may do: chat, embedding, models; nothing named: everything")
    given = parser.parse_args()
    key = new_key()
    print(f"The key, shown this once:\n\n    {key}\n\nAdd this to troupe.toml and start the hub again:\n")
    print(entry(given.name, key, given.scope))
    return 0


if __name__ == "__main__":
    sys.exit(main())
