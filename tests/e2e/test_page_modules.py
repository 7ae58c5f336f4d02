"""The page's modules under Node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NODE = shutil.which("node")
SUITES = sorted(path.name for path in HERE.glob("page_*.test.mjs"))
OLDEST_NODE = 20


def node_version(node: str) -> int:
    words = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    return int(words.lstrip("v").split(".")[0])


@pytest.mark.parametrize("suite", SUITES)
def test_the_modules_pass_their_own_tests(suite: str) -> None:
    if NODE is None or node_version(NODE) < OLDEST_NODE:
        pytest.skip(f"Node {OLDEST_NODE} or newer is not there; `apt-get install nodejs` or see nodejs.org")
    ran = subprocess.run([NODE, "--test", suite], cwd=HERE, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert "# pass 0" not in ran.stdout.splitlines(), ran.stdout


def test_all_suites_are_found() -> None:
    assert SUITES == ["page_chat.test.mjs", "page_markdown.test.mjs", "page_wire.test.mjs"]
