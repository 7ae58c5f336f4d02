"""A process that waits for the next load: taken, killed, stopped, broken, unwanted, and gone with its family."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from actors.model import spare as spares
from actors.model.launcher import Report, Subprocess, SubprocessLauncher, WorkerProcess
from actors.model.spare import SpareLauncher, spare_of

PATIENCE_SECONDS = 60.0

FAMILY = """
import os, sys

def warm():
    print("a library starts", flush=True)

def run(arguments=None):
    print('{"state": "loading"}', flush=True)
    print('{"state": "ready"}' if "--path" in arguments else "", flush=True)
    sys.stdin.read()
    return 0

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
"""
BROKEN = FAMILY.replace('    print("a library starts", flush=True)', "    raise OSError('no such library')")
SLOW = FAMILY.replace('    print("a library starts", flush=True)', "    import threading; threading.Event().wait()")


class Counting(SubprocessLauncher):
    """Counts what takes the normal road."""

    def __init__(self, folder: Path) -> None:
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", ""), *sys.path]))
        super().__init__("lone_family", {"PYTHONPATH": path})
        self.plain = 0
        self.spare: list[int] = []

    async def launch(self, name: str, path: Path, instance: str) -> Subprocess:
        self.plain += 1
        return await super().launch(name, path, instance)

    async def launch_spare(self) -> Subprocess:
        process = await super().launch_spare()
        self.spare.append(process.pid)
        return process


class Hall:
    """A launcher whose models are a module of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.plain = Counting(folder)
        self.room: int | None = 1 << 40
        self.launcher = SpareLauncher(self.plain, self._left)
        self._changed = asyncio.Event()
        self.launcher.on_change = self._changed.set
        self.models: list[WorkerProcess] = []

    async def _left(self) -> int | None:
        return self.room

    async def load(self, name: str = "small") -> WorkerProcess:
        """A model that is loaded."""
        model = await self.launcher.launch(name, Path(f"{name}.gguf"), "abc")
        self.models.append(model)
        async for report in model.reports():
            if report.state == "ready":
                return model
        raise AssertionError(f"it ended: {await model.ended()}")

    async def until(self, fits: Callable[[], bool]) -> None:
        while not fits():
            self._changed.clear()
            await self._changed.wait()

    async def warm(self, other_than: int = 0) -> int:
        """The spare process, once it is ready."""
        await self.until(lambda: self.launcher.pid not in (0, other_than))
        return self.launcher.pid

    async def close(self) -> None:
        await self.launcher.close()
        for model in self.models:
            model.kill()
            await model.ended()


@pytest.fixture
async def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hall]:
    monkeypatch.setattr(spares, "CALM_SECONDS", 0.0)
    (tmp_path / "lone_family.py").write_text(FAMILY)
    hall = Hall(tmp_path)
    async with asyncio.timeout(PATIENCE_SECONDS):
        yield hall
        await hall.close()
    for pid in hall.plain.spare:
        assert not _runs(pid), "a spare process is left"


async def _gone(pid: int) -> None:
    """Return when a process has ended, whosever it is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_the_first_load_takes_the_normal_road_and_the_next_one_the_spare_process(hall: Hall) -> None:
    assert hall.launcher.pid == 0
    await hall.load("first")
    spare = await hall.warm()
    second = await hall.load("second")
    assert (second.pid, hall.plain.plain) == (spare, 1)
    command = psutil.Process(spare).cmdline()
    assert [word for word in command if word][1:] == ["-m", "lone_family", "--model", "second", "--path", "second.gguf"]
    assert await hall.warm() != spare
    second.terminate()
    assert (await second.ended()).why == "it ended with code 0"


async def test_it_imports_at_a_low_priority_and_computes_at_the_familys_own(hall: Hall, tmp_path: Path) -> None:
    (tmp_path / "lone_family.py").write_text(SLOW)
    await hall.load()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await hall.until(lambda: bool(hall.plain.spare))
        while len(threads := psutil.Process(hall.plain.spare[0]).threads()) < 2:
            await asyncio.sleep(0)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    nice = {each.id: os.getpriority(os.PRIO_PROCESS, each.id) for each in threads}
    assert nice.pop(hall.plain.spare[0]) == own
    while list(nice.values()) != [max(own, 10)]:
        await asyncio.sleep(0)
        nice = {each: os.getpriority(os.PRIO_PROCESS, each) for each in nice}


async def test_one_that_is_killed_is_replaced_and_a_load_meanwhile_takes_the_normal_road(hall: Hall) -> None:
    await hall.load()
    spare = await hall.warm()
    os.kill(spare, signal.SIGKILL)
    await hall.until(lambda: hall.launcher.pid != spare)
    await hall.load("meanwhile")
    assert hall.plain.plain == 2
    assert await hall.warm() != spare


async def test_one_that_is_killed_in_the_moment_of_the_load_costs_the_load_nothing_but_the_start(hall: Hall) -> None:
    await hall.load()
    os.kill(await hall.warm(), signal.SIGKILL)
    await hall.load("at once")
    assert hall.plain.plain == 2


async def test_one_that_was_stopped_does_not_hold_up_a_load_and_is_gone(hall: Hall) -> None:
    await hall.load()
    spare = await hall.warm()
    os.kill(spare, signal.SIGSTOP)
    while psutil.Process(spare).status() != psutil.STATUS_STOPPED:
        await asyncio.sleep(0)
    await hall.load("at once")
    assert hall.plain.plain == 2
    assert not _runs(spare)


async def test_one_that_hangs_is_noticed_by_itself_and_replaced(hall: Hall) -> None:
    await hall.load()
    spare = await hall.warm()
    os.kill(spare, signal.SIGSTOP)
    assert await hall.warm(other_than=spare) != spare
    assert not _runs(spare)


async def test_of_loads_in_quick_succession_one_takes_it_and_one_is_kept_afterwards(hall: Hall) -> None:
    await hall.load()
    spare = await hall.warm()
    models = await asyncio.gather(*(hall.load(f"model-{number}") for number in range(3)))
    assert sum(model.pid == spare for model in models) == 1
    assert hall.plain.plain == 3
    for _ in range(4):
        models[0].terminate()
        await models[0].ended()
        models = [await hall.load("again")]
    await hall.warm()
    assert sum(map(_runs, hall.plain.spare)) <= 1 + len(hall.models)
    assert len(set(hall.plain.spare)) == len(hall.plain.spare)


async def test_none_is_started_while_something_loads(hall: Hall) -> None:
    loading = await hall.launcher.launch("slow", Path("slow.gguf"), "abc")
    hall.models.append(loading)
    await hall.load("other")
    await asyncio.sleep(0)
    assert (hall.plain.spare, hall.launcher.pid) == ([], 0)
    async for report in loading.reports():
        if report.state == "ready":
            break
    await hall.warm()


async def test_none_is_kept_where_there_is_no_room_or_somebody_wants_the_room(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "LOOK_SECONDS", 0.01)
    asked = asyncio.Event()
    hall.room = 1000

    async def left() -> int | None:
        asked.set()
        return hall.room

    hall.launcher._room = left
    await hall.load()
    await asked.wait()
    assert hall.plain.spare == []
    hall.room = None
    asked.clear()
    await asked.wait()
    assert hall.plain.spare == []
    hall.room = 1 << 40
    spare = await hall.warm()
    hall.room = 0
    await hall.until(lambda: hall.launcher.pid == 0)
    await _gone(spare)


async def test_one_that_breaks_leaves_loads_the_normal_road(hall: Hall, tmp_path: Path) -> None:
    (tmp_path / "lone_family.py").write_text(BROKEN)
    await hall.load()
    await hall.until(lambda: len(hall.plain.spare) == 1 + spares.MAX_RESTARTS and hall.launcher._spare is None)
    await hall.load("another")
    assert (hall.plain.plain, hall.launcher.pid) == (2, 0)


async def test_one_that_is_stopped_or_still_importing_ends_with_its_family(hall: Hall, tmp_path: Path) -> None:
    await hall.load()
    os.kill(await hall.warm(), signal.SIGSTOP)
    await hall.launcher.close()
    assert not any(map(_runs, hall.plain.spare))
    (tmp_path / "lone_family.py").write_text(SLOW)
    other = Hall(tmp_path)
    await other.load()
    await other.until(lambda: bool(other.plain.spare))
    await other.close()
    assert not any(map(_runs, other.plain.spare))
    await other.launcher.close()


async def test_a_load_that_is_given_up_while_it_takes_one_leaves_none_behind(hall: Hall) -> None:
    await hall.load()
    spare = await hall.warm()
    taking = asyncio.create_task(hall.launcher.launch("given-up", Path("x.gguf"), "abc"))
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    await _gone(spare)
    assert await hall.warm(other_than=spare)


async def test_it_ends_with_its_family_also_where_that_is_killed_and_it_was_stopped(tmp_path: Path) -> None:
    (tmp_path / "lone_family.py").write_text(FAMILY)
    (tmp_path / "parent.py").write_text(
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from actors.model.launcher import SubprocessLauncher\n"
        "from actors.model.spare import SpareLauncher\n"
        "async def main():\n"
        "    launcher = SpareLauncher(SubprocessLauncher('lone_family'))\n"
        "    changed = asyncio.Event()\n"
        "    launcher.on_change = changed.set\n"
        "    model = await launcher.launch('small', Path('small.gguf'), 'abc')\n"
        "    async for _ in model.reports():\n"
        "        if _.state == 'ready': break\n"
        "    while not launcher.pid:\n"
        "        changed.clear()\n"
        "        await changed.wait()\n"
        "    sys.stdout.write(f'{launcher.pid} {model.pid}\\n')\n"
        "    sys.stdout.flush()\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    async with asyncio.timeout(PATIENCE_SECONDS):
        parent = await asyncio.create_subprocess_exec(
            sys.executable,
            str(tmp_path / "parent.py"),
            env={**os.environ, "PYTHONPATH": path},
            stdout=asyncio.subprocess.PIPE,
        )
        assert parent.stdout is not None
        while not (line := await parent.stdout.readline()).split()[:1] or not line.split()[0].isdigit():
            assert line, "the parent has ended"
        pids = [int(word) for word in line.split()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        parent.kill()
        await parent.wait()
        await asyncio.gather(*map(_gone, pids))


async def test_a_launcher_of_another_kind_has_no_spare_process(tmp_path: Path) -> None:
    class Other:
        async def launch(self, name: str, path: Path, instance: str) -> WorkerProcess:
            raise OSError("nothing")

    assert spare_of(Other(), None) is None
    assert isinstance(spare_of(Counting(tmp_path), None), SpareLauncher)


def test_its_reports_are_none_of_a_models() -> None:
    for state in ("warming", "spare", "taken"):
        report = Report.read(f'{{"state": "{state}"}}'.encode())
        assert report is not None and report.state == state
