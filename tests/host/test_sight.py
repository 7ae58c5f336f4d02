import os
import signal
import subprocess
import sys

import psutil
import pytest

from host.sight import sight

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


def test_a_process_that_runs_is_seen_with_its_threads() -> None:
    found = sight(os.getpid())
    assert found is not None
    assert found.main == os.getpid()
    assert not found.stopped
    assert found.waited[os.getpid()] >= 0


def test_a_process_that_was_stopped_is_seen_so() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        found = sight(child.pid)
        assert found is not None
        assert found.stopped
    finally:
        child.kill()
        child.wait()


def test_of_a_process_that_is_gone_nothing_is_told() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert not psutil.pid_exists(child.pid)
    assert sight(child.pid) is None
