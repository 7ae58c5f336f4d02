"""A part of the tests' own: a copy of Troupe that knows it, an environment that lacks it, and an index that has it.

The part "sound" brings the package troupe-sound, and this needs troupe-horn; the actor "sound" stands on it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("actors", "bus", "cli", "clients/python", "clients/web", "gateway", "host", "proto/gen", "store")
LEFT = shutil.ignore_patterns("__pycache__", "*.gguf", "node_modules")

ACTOR = '''"""Speaks through a horn."""

import troupe_sound

from bus import Context
from troupe.echo.v1 import EchoRequest, EchoResponse, EchoService


class SoundActor(EchoService):
    """Answers louder."""

    async def echo(self, request: EchoRequest, ctx: Context) -> EchoResponse:
        """See the contract."""
        return EchoResponse(text=troupe_sound.loud(request.text))
'''
PART = """\
    "sound": Part(
        "sounds", (Library("troupe-sound", "troupe_sound", 2),), {"sound": ("troupe.echo.v1.EchoService",)}
    ),
"""
METADATA = """Metadata-Version: 2.1
Name: troupe-hub
Version: 0.1.0
Provides-Extra: sound
Requires-Dist: troupe-sound; extra == "sound"
"""
PINS = "troupe-horn==1.0\ntroupe-sound==1.0\n"
LOUD = b"def loud(text):\n    return text.upper()\n"
LARGE = 2_000_000
"""Bytes of a file in troupe-sound, which hold hardly anything and are short to fetch."""
LOCK = ".troupe-add.lock"
"""Stays, empty, beside the packages."""


def wheel(folder: Path, name: str, needs: str, files: Mapping[str, bytes]) -> Path:
    """A wheel of version 1.0: one package with these files. needs: another distribution, or nothing."""
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    told = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (f"Requires-Dist: {needs}\n" if needs else "")
    contents = {f"{module}/{file}": text for file, text in files.items()}
    contents |= {
        f"{info}/METADATA": told.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in (*contents, f"{info}/RECORD"))
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in {**contents, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(file, content)
    return path


class Index(SimpleHTTPRequestHandler):
    """Serves the pages and wheels of a folder, as a package index does."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, IndexServer)
        if server.stalls and self.path.endswith(".whl"):
            server.asked.set()
            server.over.wait()
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        return


class IndexServer(ThreadingHTTPServer):
    """stalls: wheels never come. asked: one was asked for. over: the test ends."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Index, directory=str(folder)))
        self.stalls = False
        self.asked = threading.Event()
        self.over = threading.Event()


class Shop:
    """The copy, the environment and the index."""

    def __init__(self, folder: Path) -> None:
        self.copy = folder / "copy"
        self.venv = folder / "venv"
        self._packages = folder / "index"
        for room in ROOMS:
            shutil.copytree(ROOT / room, self.copy / room, ignore=LEFT)
        self._tell_registry()
        self._make_environment()
        self.stock()
        self.server = IndexServer(self._packages)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def _tell_registry(self) -> None:
        registry = self.copy / "actors" / "registry.py"
        text = registry.read_text("utf-8")
        for table, line in (("ACTORS", '    "sound": "actors.sound:SoundActor",\n'), ("PARTS", PART)):
            before, head, after = text.partition(f"\n{table} = {{\n")
            assert head
            text = before + head + line + after
        registry.write_text(text, "utf-8")
        (self.copy / "actors" / "sound.py").write_text(ACTOR)
        (self.copy / "constraints.txt").write_text((ROOT / "constraints.txt").read_text() + PINS)

    def _make_environment(self) -> None:
        """An environment that has what this one has, pip included, and installs into itself."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.venv)], check=True)
        site = Path(sysconfig.get_path("purelib", vars={"base": str(self.venv)}))
        others = [path for path in sys.path if path.endswith("-packages")]
        (site / "beside.pth").write_text("".join(f"{path}\n" for path in others))
        info = site / "troupe_hub-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(METADATA)
        (info / "RECORD").write_text("")

    def stock(self, *, digest: str = "") -> None:
        """Put both wheels into the index. digest: what it says of troupe-sound's, instead of the truth."""
        for name, needs, files in (
            ("troupe-horn", "", {"__init__.py": b"HORN = True\n"}),
            ("troupe-sound", "troupe-horn", {"__init__.py": LOUD, "zeros": bytes(LARGE)}),
        ):
            folder = self._packages / "simple" / name
            folder.mkdir(parents=True, exist_ok=True)
            made = wheel(folder, name, needs, files)
            said = digest if digest and name == "troupe-sound" else hashlib.sha256(made.read_bytes()).hexdigest()
            (folder / "index.html").write_text(f'<a href="{made.name}#sha256={said}">{made.name}</a>')

    @property
    def url(self) -> str:
        """Of the index."""
        return f"http://127.0.0.1:{self.server.server_port}/simple"

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """For programs of the copy; pip knows the index and nothing else."""
        strange = ("TROUPE_", "NATS_", "PIP_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        python_path = os.pathsep.join(str(self.copy / each) for each in ("", "proto/gen", "clients/python"))
        return {
            **kept,
            "PYTHONPATH": python_path,
            "TROUPE_HOME": str(home),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": self.url,
            "PIP_RETRIES": "0",
            "PIP_NO_CACHE_DIR": "1",
            "NO_PROXY": "127.0.0.1",
            **more,
        }

    def command(self, *arguments: str) -> list[str]:
        """`troupe` of the copy, in the environment."""
        return [str(self.venv / "bin" / "python"), "-m", "cli", *arguments]

    def files(self) -> set[Path]:
        """All that lies in the environment, but for what Python remembers of its own sources."""
        return {path for path in self.venv.rglob("*") if "__pycache__" not in path.parts and path.name != LOCK}

    def listed(self) -> str:
        """What pip says is installed there."""
        command = [str(self.venv / "bin" / "python"), "-m", "pip", "list", "--path", str(self._site)]
        return subprocess.run(
            command, env=self.environment(self.venv), capture_output=True, text=True, check=True
        ).stdout

    @property
    def _site(self) -> Path:
        return Path(sysconfig.get_path("purelib", vars={"base": str(self.venv)}))

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """What is done meanwhile leaves nothing behind."""
        files, listed = self.files(), self.listed()
        yield
        assert self.files() == files
        assert self.listed() == listed
        assert "troupe-sound" not in listed

    def close(self) -> None:
        """End the index."""
        self.server.over.set()
        self.server.shutdown()
        self.server.server_close()
