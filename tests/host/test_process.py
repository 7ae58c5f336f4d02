import asyncio
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process

import psutil
import pytest

STOPPING = """
import asyncio, signal
from host import process
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it, as nohup does
async def main():
    stop = process.stop_requested({again})
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.Event().wait()
    return 0
process.run(main())
"""

ORPHAN = """
import subprocess, sys
child = "import time; from host import process; process.watch_parent(0.1); print('up', flush=True); time.sleep(60)"
own = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
own.stdout.readline()
print(own.pid, flush=True)
sys.stdin.read()
"""


async def started(script: str, stdin: int | None = None) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdin=stdin, stdout=PIPE)


async def line(process: Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_the_first_signal_asks_and_the_second_one_ends(number: signal.Signals) -> None:
    async with asyncio.timeout(20):
        process = await started(STOPPING.format(again=""))
        assert await line(process) == b"ready\n"
        process.send_signal(number)
        assert await line(process) == b"stopping\n"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == -signal.SIGTERM


async def test_whoever_wants_to_hear_of_the_second_signal_does() -> None:
    async with asyncio.timeout(20):
        process = await started(STOPPING.format(again="again=lambda: print('again', flush=True)"))
        await line(process)
        process.send_signal(signal.SIGTERM)
        await line(process)
        process.send_signal(signal.SIGINT)
        assert await line(process) == b"again\n"
        process.kill()
        await process.wait()


async def test_under_nohup_the_end_of_the_terminal_is_ignored() -> None:
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + STOPPING.format(again="")
    async with asyncio.timeout(20):
        process = await started(script)
        await line(process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert await line(process) == b"stopping\n"
        process.kill()
        await process.wait()


async def test_a_process_ends_after_its_parent() -> None:
    async with asyncio.timeout(20):
        parent = await started(ORPHAN, stdin=PIPE)
        child = psutil.Process(int(await line(parent)))
        parent.kill()
        await parent.communicate()
        _, alive = await asyncio.to_thread(psutil.wait_procs, [child], 10)
        assert alive == []


def test_a_process_may_open_as_many_files_as_it_asks_for_and_the_system_allows() -> None:
    program = (
        "import resource; from host import process; hard = 600; resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard));"
        "print(process.allow_files(500), process.allow_files(100), process.allow_files(1000))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert found.stdout.split() == [b"500", b"500", b"600"]
