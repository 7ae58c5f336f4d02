"""Read the logs of this home's hub in order of time, written for people.

Names of logs (gateway, supervisor, nats, an actor) choose among them; any other word must stand in a line: the
reference that an error shows, a call id, a principal, a model. Without any, the last lines are shown.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from cli.completion import completing, log_names
from cli.failure import FAILED, OK, CommandError, why
from cli.log_lines import LEVELS, Choice, Line, Tail, read, sources, written
from cli.plain_text import colours

LAST = 200
LOOK_SECONDS = 0.25
UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe logs` understands."""
    what = parser.add_argument("what", nargs="*", help="a log, or what must stand in the line, for example a reference")
    completing(what, log_names)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    parser.add_argument(
        "--since", type=moment, default=0.0, metavar="TIME", help="10m, 2h, 1d, or a time such as 2026-11-28T18:16"
    )
    parser.add_argument("--level", choices=LEVELS[:4], default="debug", help="the least that is shown (default: all)")
    parser.add_argument(
        "-n", "--lines", type=int, metavar="N", help=f"the last N (default: {LAST}; with a word or --since: all)"
    )
    parser.add_argument("--json", action="store_true", help="lines as they are in the files")


def moment(text: str) -> float:
    """A moment in seconds since 1970, from a span before now or a time here. Raises ArgumentTypeError."""
    number, unit = text.rstrip("smihdn"), text.lstrip("0123456789.")
    try:
        if unit in UNITS:
            return time.time() - float(number) * UNITS[unit]
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        message = f"{text[:40]!r} is no time; say 10m, 2h, 1d, or 2026-11-28T18:16"
        raise argparse.ArgumentTypeError(message) from None


def run(args: argparse.Namespace) -> int:
    """Print the lines; exit code 1 if there is none. Raises CommandError, SettingsError."""
    from gateway.settings import load

    home = load(args.config).home
    known = sources(home)
    if not known:
        raise CommandError(f"There are no logs in {home / 'logs'}.", "A hub that ran in this home has some.", FAILED)
    names = [word for word in args.what if word in known]
    words = [word for word in args.what if word not in known]
    choice = Choice(words, args.since, args.level)
    chosen = names or list(known)
    tell = _teller(args, max(map(len, chosen)))
    try:
        tails = [Tail(name, known[name][-1]) for name in chosen] if args.follow else []
        found = _told(_last(read({name: known[name] for name in chosen}, tails), choice, args), tell)
        if not found and not args.follow:
            raise _nothing(words, known, home)
        while tails:
            time.sleep(LOOK_SECONDS)
            grown = (line for tail in tails for line in tail.grown() if line in choice)
            _told(sorted(grown, key=lambda line: line.at), tell)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise CommandError(f"{error.filename or home} cannot be read: {why(error)}.", code=FAILED) from error
    return OK


def _last(lines: Iterable[Line], choice: Choice, args: argparse.Namespace) -> Iterable[Line]:
    wanted: Iterator[Line] = (line for line in lines if line in choice)
    narrowed = choice.words or args.since
    if args.lines is None and narrowed:
        return wanted
    return deque(wanted, maxlen=max(0, LAST if args.lines is None else args.lines))


def _told(lines: Iterable[Line], tell: Callable[[Line], None]) -> int:
    count = 0
    for line in lines:
        tell(line)
        count += 1
    sys.stdout.flush()
    return count


def _teller(args: argparse.Namespace, width: int) -> Callable[[Line], None]:
    if args.json:
        return lambda line: print(line.text)
    coloured = colours(sys.stdout)
    return lambda line: print(written(line, width=width, colours=coloured))


def _nothing(words: list[str], known: Iterable[str], home: Path) -> CommandError:
    from bus import nearest

    if not words:
        return CommandError("No line of the logs is so.", "Ask for more with --since or --level.", FAILED)
    close = nearest(words[0], known, limit=1)
    meant = f"Did you mean the log {close[0]}? " if close else ""
    return CommandError(
        f"No line in {home / 'logs'} has {' and '.join(map(repr, words))}.",
        f"{meant}Logs are {', '.join(known)}; older lines than 8 MiB of each are gone.",
        FAILED,
    )
