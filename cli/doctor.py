"""Say what is missing on this machine, and the command that mends it. Exit code 1 if a hub would not work."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from cli.checks import every
from cli.failure import FAILED, OK
from cli.finding import Finding, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe doctor` understands."""
    parser.add_argument("--json", action="store_true", help="one JSON object per finding")


def run(args: argparse.Namespace) -> int:
    """Print what was found; exit code 1 if something is wrong."""
    found = []
    for finding in findings(args.config):
        print(json.dumps(asdict(finding)) if args.json else as_text(finding), flush=True)
        found.append(finding)
    wrong = [finding for finding in found if finding.state is State.WRONG]
    if not args.json:
        print(verdict(wrong))
    return FAILED if wrong else OK


def findings(config: "Path | None") -> "Iterator[Finding]":
    """The settings first: the rest is checked as they say, or as they would by default."""
    from actors.registry import ACTORS
    from gateway.access import check_doors
    from gateway.settings import doors_of, load
    from host.runner import check_settings
    from host.settings import Settings, SettingsError

    try:
        settings = load(config)
        check_doors(doors_of(settings))
        check_settings(settings, ACTORS)
        yield Finding("Settings", State.OK, settings.source or "none; everything has its default")
    except SettingsError as error:
        settings = Settings()
        yield Finding("Settings", State.WRONG, str(error), f"edit {error.source}")
    yield from every(settings)


def as_text(finding: Finding) -> str:
    """A finding as a line, and a second one with what mends it."""
    line = f"{finding.state:<6}  {finding.name}: {finding.detail}"
    return f"{line}\n        -> {finding.remedy}" if finding.remedy else line


def verdict(wrong: "Iterable[Finding]") -> str:
    """The last line."""
    names = ", ".join(finding.name for finding in wrong)
    return f"To mend: {names}." if names else "This machine can run a hub."
