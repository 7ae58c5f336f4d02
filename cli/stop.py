"""Stop the hub of this home and wait until it has ended: running answers may end first, within the settings' time.

Exit codes: 0 it has ended, 1 it has not within the time, 2 none runs.
"""

import argparse
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from cli.failure import FAILED, OK, CommandError

LOOK_SECONDS = 0.05

BEYOND_SECONDS = 20.0
"""What the hub's processes may take to end once no answer is waited for any more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe stop` understands."""
    parser.add_argument("--home", type=Path, metavar="DIR", help="of which hub (default: TROUPE_HOME, else ~/.troupe)")
    parser.add_argument("--now", action="store_true", help="wait for no answers")
    parser.add_argument(
        "--within", type=float, metavar="SECONDS", help="how long to wait for its end (default: enough)"
    )


def run(args: argparse.Namespace) -> int:
    """Stop it; exit code 0. Raises CommandError, SettingsError."""
    from cli.up import environment
    from gateway.settings import load

    settings = load(args.config, environment(args, os.environ))
    process = _process(settings.home)
    drain = 0.0 if args.now else settings.supervisor.drain_seconds
    _send(process, settings.home)
    if args.now:
        time.sleep(LOOK_SECONDS)  # two signals at once are one
        _send(process, settings.home)
    else:
        print(f"Stopping the hub in {settings.home}; it waits for its answers, {drain:g} s at most.", flush=True)
    within = drain + BEYOND_SECONDS if args.within is None else args.within
    if not _ended(settings.home, within, time.sleep):
        raise CommandError(
            f"The hub in {settings.home} (process {process}) still runs after {within:g} s.",
            "`troupe stop --now` waits for no answers; `troupe logs supervisor` tells what it does.",
            FAILED,
        )
    print("It has ended.")
    return OK


def _process(home: Path) -> int:
    """The number of the process that holds the home. Raises CommandError if there is none."""
    from host.running import holder

    process = holder(home)
    if not process:
        raise CommandError(f"No hub runs in {home}.", "--home or TROUPE_HOME names another.")
    return process


def _send(process: int, home: Path) -> None:
    try:
        os.kill(process, signal.SIGTERM)
    except ProcessLookupError:  # it has ended meanwhile
        return
    except PermissionError:
        raise CommandError(
            f"The hub in {home} (process {process}) belongs to somebody else.", "Stop it as its owner.", FAILED
        ) from None


def _ended(home: Path, within: float, pause: Callable[[float], None]) -> bool:
    from host.running import is_held

    until = time.monotonic() + within
    while is_held(home):
        if time.monotonic() >= until:
            return False
        pause(LOOK_SECONDS)
    return True
