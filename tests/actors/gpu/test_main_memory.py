"""The main memory, as made-up and as real kernels tell of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.gpu import processes
from actors.gpu.main_memory import MainMemory, Room, of_groups, of_machine, tightest
from actors.gpu.reading import Held, Reading
from actors.gpu.words import Kind

MEMINFO = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:   10000 kB\nHugePages_Total:  0\n"
ROLLUP = """1000-2000 ---p 00000000 00:00 0 [rollup]
Rss:                5000 kB
Pss:                3000 kB
Pss_Dirty:           100 kB
Pss_Anon:            800 kB
Pss_File:           2000 kB
Pss_Shmem:           200 kB
"""
K = 1024


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def test_what_could_be_given_to_somebody_else_is_not_used(tmp_path: Path) -> None:
    assert of_machine(write(tmp_path, meminfo=MEMINFO)) == Room(16000 * K, 6000 * K)


def test_an_old_kernel_tells_what_is_free(tmp_path: Path) -> None:
    assert of_machine(write(tmp_path, meminfo="MemTotal: 10 kB\nMemFree: 4 kB\n")) == Room(10 * K, 6 * K)


def test_the_tightest_group_holds(tmp_path: Path) -> None:
    proc = write(tmp_path / "proc", self__cgroup="0::/a/b\n")
    groups = tmp_path / "groups"
    write(groups / "a", **{"memory.max": "9000\n", "memory.current": "5000\n", "memory.stat": "file 1000\nshmem 400\n"})
    write(groups / "a" / "b", **{"memory.max": "max\n", "memory.current": "100\n", "memory.stat": "file 0\n"})
    assert list(of_groups(proc, groups)) == [Room(9000, 4400)]
    assert tightest(Room(16000, 2000), of_groups(proc, groups)) == Room(9000, 4400)
    assert tightest(Room(16000, 15000), of_groups(proc, groups)) == Room(9000, 8000)


def test_groups_of_the_first_version_hold_too(tmp_path: Path) -> None:
    proc = write(tmp_path / "proc", self__cgroup="9:cpu:/x\n4:memory:/a\n0::/\n")
    stat = {"memory.stat": "cache 1\ntotal_cache 300\ntotal_shmem 100\n"}
    write(tmp_path / "g" / "memory" / "a", **{"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "700"}, **stat)
    write(tmp_path / "g" / "memory", **{"memory.limit_in_bytes": str(2**63 - 4096), "memory.usage_in_bytes": "1"})
    assert list(of_groups(proc, tmp_path / "g")) == [Room(1000, 500)]


def test_a_machine_without_groups_has_no_limit(tmp_path: Path) -> None:
    assert list(of_groups(write(tmp_path, self__cgroup="0::/\n"), tmp_path / "none")) == []
    assert list(of_groups(tmp_path / "nothing", tmp_path / "none")) == []


def test_a_process_holds_its_share_and_files_are_not_counted_twice(tmp_path: Path) -> None:
    assert processes.held(5, write(tmp_path, **{"5__smaps_rollup": ROLLUP})) == Held(3000 * K, 1000 * K)


def test_a_kernel_that_does_not_tell_kinds_tells_what_is_anonymous(tmp_path: Path) -> None:
    rollup = "0-1 [rollup]\nPss: 3000 kB\nAnonymous: 700 kB\n"
    assert processes.held(5, write(tmp_path, **{"5__smaps_rollup": rollup})) == Held(3000 * K, 700 * K)


def test_a_kernel_that_adds_nothing_up_tells_what_is_resident(tmp_path: Path) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    assert processes.held(5, write(tmp_path, **{"5__statm": "900 50 20 1 0 30 0\n"})) == Held(50 * page, 30 * page)


def test_a_process_that_has_ended_holds_nothing(tmp_path: Path) -> None:
    assert processes.held(5, tmp_path) is None


def test_a_device_is_the_machine_and_the_processes_that_are_asked_for(tmp_path: Path) -> None:
    proc = write(tmp_path, meminfo=MEMINFO, self__cgroup="0::/\n", **{"5__smaps_rollup": ROLLUP})
    [reading] = MainMemory("main", proc=proc, groups=tmp_path / "none").read({5, 6})
    assert reading == Reading("main", Kind.SYSTEM, 16000 * K, 6000 * K, {5: Held(3000 * K, 1000 * K)})
    [half] = MainMemory("main", 8000 * K, proc, tmp_path / "none").read(())
    assert (getattr(half, "total", 0), getattr(half, "used", 1)) == (8000 * K, 0)


def test_a_system_without_proc_tells_how_much_there_is(tmp_path: Path) -> None:
    [reading] = MainMemory("main", proc=tmp_path).read({1})
    assert isinstance(reading, Reading)
    assert reading.total == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert reading.held is None


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="a system without /proc")


@needs_proc
def test_this_machine_has_memory_and_this_process_some_of_it() -> None:
    [reading] = MainMemory("main").read({os.getpid()})
    assert isinstance(reading, Reading)
    assert 0 < reading.used < reading.total
    assert reading.held is not None
    own = reading.held[os.getpid()]
    assert 2**20 < own.counted <= own.whole < reading.total


@needs_proc
def test_a_process_is_known_by_when_it_began() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    began = processes.began(child.pid)
    assert began >= processes.began(os.getpid()) > 0
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.began(child.pid) == 0, "a zombie holds nothing"
    child.communicate()
    assert processes.began(child.pid) == 0
    assert processes.namespace().startswith("pid:[")
