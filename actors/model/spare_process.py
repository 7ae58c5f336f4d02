"""The process of a model that is not known yet: interpreter and libraries are there, the model's name comes later.

`python -m actors.model.spare_process`, started by `launcher.SubprocessLauncher.launch_spare`. It reads two lines of its
standard input, which module it is to be and later with which arguments, and reports on its standard output until then.
Importing takes place in a thread of low priority; the main thread keeps its own, so that the model computes as any
other does: a process that was started with a low priority could not get rid of it again.
"""

import ctypes
import importlib
import json
import os
import select
import signal
import sys
import threading
from pathlib import Path
from types import ModuleType

BEAT_SECONDS = 0.5
NICE = 10
"""Of the thread that imports: about a tenth of a processor that others want."""
MAX_LINE = 1 << 16
INSTANCE = "TROUPE_INSTANCE"
"""As host/settings.py has it, which would be imported first."""
TITLE = "troupe: a spare process"


class Warming(threading.Thread):
    """Imports a family's module and has it warm its libraries up, by its `warm` where it has one."""

    def __init__(self, module: str) -> None:
        super().__init__(name="warming", daemon=True)
        self._name = module
        self.module: ModuleType | None = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        """See `threading.Thread`."""
        try:
            if sys.platform == "linux":  # elsewhere a thread has no priority of its own
                own = threading.get_native_id()
                os.setpriority(os.PRIO_PROCESS, own, max(NICE, os.getpriority(os.PRIO_PROCESS, own)))
            module = importlib.import_module(self._name)
            getattr(module, "warm", lambda: None)()
            self.module = module
        except BaseException as failure:  # noqa: BLE001  whatever it is, the process is of no use and says so
            self.failure = failure


def main() -> int:
    """The whole process; its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent
    title = own_title()
    write_title(title, [TITLE])
    first = _line()
    if first is None:
        return 0
    warming = Warming(json.loads(first)["module"])
    warming.start()
    assigned = _wait(warming)
    if assigned is None:
        os._exit(0)  # what is being imported is not waited for
    warming.join()
    if warming.failure is not None or warming.module is None:
        raise ImportError(f"{warming._name} cannot be imported: {warming.failure!r}") from warming.failure
    _say("taken")
    given = json.loads(assigned)
    os.environ[INSTANCE] = given["instance"]
    write_title(title, [sys.executable, "-m", warming.module.__name__, *given["arguments"]])
    return int(warming.module.run(given["arguments"]))


def _wait(warming: Warming) -> bytes | None:
    """Report until there is an assignment, and give that; None: nobody will give one any more."""
    while warming.failure is None:
        _say("warming" if warming.module is None else "spare")
        readable, _, _ = select.select([0], [], [], BEAT_SECONDS)
        if readable:
            return _line()
    return b""


def _line() -> bytes | None:
    """The next line of standard input and nothing behind it, which is for whoever reads later; None: it is closed."""
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_LINE:
        byte = os.read(0, 1)
        if not byte:
            return None
        line += byte
    return line


def _say(state: str) -> None:
    """A `launcher.Report`, by hand: that module would be imported first."""
    os.write(1, json.dumps({"state": state}).encode() + b"\n")


# ---- what others see of the process


def own_title() -> tuple[int, int]:
    """Where the command line of this process lies, and how long it is; (0, 0): the system does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begin, end = int(fields[45]), int(fields[46])
    except (OSError, ValueError, IndexError):
        return 0, 0
    return begin, max(0, end - begin)


def write_title(place: tuple[int, int], words: list[str]) -> None:
    """Let the command line that `ps` and /proc show be another one, cut off where there is no room for it."""
    begin, size = place
    if begin and size:
        text = b"\0".join(os.fsencode(word) for word in words)[: size - 1]
        ctypes.memmove(begin, text.ljust(size, b"\0"), size)


if __name__ == "__main__":
    sys.exit(main())
