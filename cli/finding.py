"""What a look at the machine found, and how programs are asked."""

import subprocess
from dataclasses import dataclass
from enum import StrEnum

PROGRAM_SECONDS = 20.0


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    POOR = "poor"
    """It works, and could do better."""
    ABSENT = "absent"
    """Not there, and not needed."""
    WRONG = "wrong"
    """A hub does not work, or not as the settings say."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question. remedy: the command or step that mends it; empty where nothing is to be done."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def asked(command: list[str]) -> tuple[bool, str]:
    """Whether a program ended well, and its last line, or what it said in full if it ended well."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
    except OSError as error:
        return False, error.strerror or str(error)
    except subprocess.TimeoutExpired:
        return False, f"no end within {PROGRAM_SECONDS:g} s"
    if done.returncode == 0:
        return True, done.stdout.strip()
    last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
    return False, last[0] if last else f"exit status {done.returncode}"
