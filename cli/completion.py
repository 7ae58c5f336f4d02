"""Print what makes a shell complete Troupe's commands, options, models and methods at the Tab key.

bash: add `eval "$(troupe completion bash)"` to ~/.bashrc. zsh: the same with zsh in ~/.zshrc.
fish: `troupe completion fish > ~/.config/fish/completions/troupe.fish`.
PowerShell: add `troupe completion powershell | Out-String | Invoke-Expression` to $PROFILE.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from cli.failure import OK

if TYPE_CHECKING:
    from troupe_client import Hub

SHELLS = ("bash", "zsh", "fish", "powershell")

ASK_SECONDS = 1.0
"""A hub that does not answer so soon has nothing to complete."""

Completer = Callable[..., Iterable[str]]
"""Takes what was typed so far and, as `parsed_args`, what was understood of the line before it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe completion` understands."""
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    """Print the shell's code; exit code 0."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["troupe"], shell=args.shell))
    return OK


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that asks, and leave."""
    import argcomplete

    argcomplete.autocomplete(parser, always_complete_options="long")


def completing(action: argparse.Action, completer: Completer) -> None:
    """Let the values of an argument be completed."""
    action.completer = completer  # type: ignore[attr-defined]  # where argcomplete looks for it


# ---- what may be typed


def model_names(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The models of the hub that the line names; none where it does not answer at once."""

    async def asked(hub: "Hub", seconds: float) -> list[str]:
        from troupe.model.v1 import ListModelsRequest

        answer = await hub.models.list_models(ListModelsRequest(), timeout=seconds)
        return [name for model in answer.models for name in (model.name, *model.aliases)]

    return ask_hub(parsed_args, asked)


def ask_hub(typed: argparse.Namespace, ask: "Callable[[Hub, float], Awaitable[list[str]]]") -> list[str]:
    """What the hub that the line names answers; nothing where it does not at once. `ask` is told the seconds it has."""
    from bus import RpcError
    from host.settings import SettingsError

    try:
        return asyncio.run(_asked(typed, ask))
    except (RpcError, SettingsError, TimeoutError):
        return []


async def _asked(typed: argparse.Namespace, ask: "Callable[[Hub, float], Awaitable[list[str]]]") -> list[str]:
    from cli import connection

    blank = argparse.ArgumentParser()
    connection.add_arguments(blank)
    args = argparse.Namespace(**{**vars(blank.parse_args([])), **_given(typed)})
    async with asyncio.timeout(ASK_SECONDS), connection.hub_of(args) as hub:
        return await ask(hub, ASK_SECONDS)


def method_names(prefix: str, **_: object) -> list[str]:
    """The methods of the contract, in full once a package is begun."""
    from cli.contract import methods

    full = sorted(methods())
    return full if prefix.startswith("troupe.") else [name.rpartition(".")[2] for name in full]


def log_names(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The logs of the home."""
    from cli.connection import settings_of
    from cli.log_lines import sources
    from host.settings import SettingsError

    try:
        return list(sources(settings_of(argparse.Namespace(**_given(parsed_args))).home))
    except SettingsError:
        return []


def _given(typed: argparse.Namespace) -> dict[str, object]:
    return {name: value for name, value in vars(typed).items() if value is not None}
