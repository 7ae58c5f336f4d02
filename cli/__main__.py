"""`troupe`: start a hub, talk to it, look after it. docs/cli.md tells each command's options and exit codes."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from cli.failure import FAILED, INTERRUPTED, MISUSED, CommandError, worth_looking_up

COMMANDS = {
    "up": "start a hub on this machine",
    "status": "say how the hub is: its processes, models and addresses",
    "stage": "show whose the devices' memory is, who waits for it, and what was decided",
    "logs": "read the logs, or find in them what an error's reference names",
    "stop": "stop the hub of this home",
    "chat": "talk with a model",
    "blob": "keep large content in the hub: put, get, stat, rm",
    "models": "list, load and unload models; bring them, name them, pin them",
    "jobs": "see and steer work that goes on by itself: list, follow, pause, resume, cancel",
    "add": "install a part of the hub, for example voice, and start it",
    "call": "call any method with JSON",
    "key": "make an API key",
    "alive": "say whether a part of the hub serves, for health checks",
    "doctor": "say what is missing on this machine, and the command that mends it",
    "completion": "print what makes a shell complete commands, models and methods",
    "version": "say what is installed",
}
"""Each is the module cli.<name> with `add_arguments(parser)` and `run(args) -> int`."""


COMPLETING = "_ARGCOMPLETE"
"""Set by a shell that wants completions instead of the command."""


def parser(words: Iterable[str] | None = None) -> argparse.ArgumentParser:
    """The command line. words: what was typed; commands that are not among them keep their options to themselves."""
    top = argparse.ArgumentParser(prog="troupe", description="A local-first AI hub.")
    top.add_argument("--config", type=Path, metavar="FILE", help="the settings (default: see docs/settings.md)")
    top.add_argument("--version", action=_Version, help="say which Troupe this is, and leave")
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    wanted = COMMANDS.keys() if words is None else COMMANDS.keys() & set(words)
    for name, summary in COMMANDS.items():
        if name not in wanted:
            commands.add_parser(name, help=summary)
            continue
        module = import_module(f"cli.{name}")
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        command.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="the settings")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


class _Version(argparse.Action):
    """Asks for the version only where it is wanted."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from cli.version import installed

        print(f"troupe {installed('troupe-hub')}")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        _check_text(given)
        _check_command(given)
        whole = parser(_typed(given))
        if COMPLETING in os.environ:
            from cli.completion import complete

            complete(whole)
        args = whole.parse_args(given)
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
        return _said(error, code, _more(error))


def _typed(given: Sequence[str]) -> Sequence[str]:
    """The words of the command line, which a shell that completes one hands over in the environment."""
    return os.environ.get("COMP_LINE", "").split() if COMPLETING in os.environ else given


def _check_text(arguments: Sequence[str]) -> None:
    """Raises CommandError for what is no UTF-8, which nothing that is sent could hold."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise CommandError(f"The argument {argument!r} is no UTF-8.") from None


def _check_command(arguments: Sequence[str]) -> None:
    """Raises CommandError with the nearest command where there is none of the name that was typed."""
    words = iter(arguments)
    for word in words:
        if word == "--config":
            next(words, None)
        elif not word.startswith("-"):
            break
    else:
        return
    if word not in COMMANDS:
        from bus import nearest

        close = " or ".join(f"`troupe {name}`" for name in nearest(word, COMMANDS, 2))
        hint = f"Did you mean {close}? " if close else ""
        raise CommandError(f"There is no command {word[:40]!r}. {hint}`troupe --help` lists them.")


def _said(error: Exception, code: int, more: str = "") -> int:
    print(f"troupe: {error}{more}", file=sys.stderr)
    return code


def _more(error: Exception) -> str:
    """Where the log tells more of an error than its sentence does: how it is found there."""
    from bus import RpcError

    if not isinstance(error, RpcError) or not worth_looking_up(error):
        return ""
    return f"\nOn the hub's machine `troupe logs {error.reference}` tells more."


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
