"""`troupe`: start a hub, talk to it, look after it. docs/cli.md tells each command's options and exit codes."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from cli.failure import FAILED, INTERRUPTED, MISUSED, CommandError

COMMANDS = {
    "up": "start a hub on this machine",
    "chat": "talk with a model",
    "models": "list, load and unload models",
    "call": "call any method with JSON",
    "key": "make an API key",
    "alive": "say whether a part of the hub serves, for health checks",
    "doctor": "say what is missing on this machine, and the command that mends it",
    "version": "say what is installed",
}
"""Each is the module cli.<name> with `add_arguments(parser)` and `run(args) -> int`."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="troupe", description="A local-first AI hub.")
    top.add_argument("--config", type=Path, metavar="FILE", help="the settings (default: see docs/settings.md)")
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    for name, summary in COMMANDS.items():
        module = import_module(f"cli.{name}")
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        command.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="the settings")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        _check_text(given)
        args = parser().parse_args(given)
        return int(args.run(args))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on; the interpreter must not try to flush what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except CommandError as error:
        return _said(error, error.code)
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        return _said(error, code)


def _check_text(arguments: Sequence[str]) -> None:
    """Raises CommandError for what is no UTF-8, which nothing that is sent could hold."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise CommandError(f"The argument {argument!r} is no UTF-8.") from None


def _said(error: Exception, code: int) -> int:
    print(f"troupe: {error}", file=sys.stderr)
    return code


def _code_of(error: Exception) -> int | None:
    """The exit code of the errors that are a user's or the hub's; None: a fault of this program."""
    from bus import RpcError
    from host.settings import SettingsError
    from troupe_client import HubUnreachable

    if isinstance(error, (SettingsError, HubUnreachable)):
        return MISUSED
    return FAILED if isinstance(error, RpcError) else None


if __name__ == "__main__":
    sys.exit(main())
