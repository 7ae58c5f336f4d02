"""What every process of a hub does with its operating system: loop, signals, its end with its parent's."""

import asyncio
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

PARENT_POLL_SECONDS = 1.0


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a process's coroutine on uvloop, or on asyncio's own loop where there is none; its exit status."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def allow_files(count: int) -> int:
    """Let this process have so many files and connections open, as far as the system allows; how many it may have.

    What a shell allows by default, often 1024, is fewer than the connections of a hub.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return count
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    allowed = count if hard == unlimited else min(count, hard)
    if soft != unlimited and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    return count if soft == unlimited else soft


def stop_requested(again: Callable[[], None] | None = None) -> asyncio.Event:
    """Set by SIGTERM, Ctrl-C, or the end of the terminal (unless that is ignored, as under nohup).

    again: called when it is asked for once more; without it the process then ends at once.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)

    def asked() -> None:
        if stop.is_set() and again is not None:
            again()
        stop.set()
        for number in numbers if again is None else ():
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, asked)
    return stop


def dying_with_parent(signal_name: str = "KILL") -> list[str]:
    """A command prefix that makes the kernel send a signal when the parent ends; empty where there is none.

    Another signal than KILL is not heard by a process that was stopped: it would stay.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", signal_name] if setpriv else []


def watch_parent(grace: float) -> None:
    """Begin to stop, as after SIGTERM, when the parent has ended; end for good `grace` seconds later.

    Also covers systems without `dying_with_parent`, and processes that do not come to their end by themselves.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
