"""`troupe add` with a part of the test's own: real pip, an index on this machine, a hub that runs."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from bus.testing.nats_server import free_port

from .part_shop import LARGE, Shop

PATIENCE_SECONDS = 120
CALL = ("call", "troupe.echo.v1.EchoService/Echo", '{"text": "hi"}', "--json")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def add(shop: Shop, *options: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """`troupe add sound`. shell: what a shell does before."""
    command = shop.command("add", "sound", *options)
    if shell:
        command = ["sh", "-c", f'{shell}; exec "$@"', "sh", *command]
    return subprocess.run(
        command,
        cwd=shop.copy,
        env=shop.environment(shop.venv.parent / "home", **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@contextmanager
def hub(shop: Shop, **environment: str) -> Iterator[dict[str, str]]:
    """A hub of the copy whose actors are "sound" and what a hub has besides; the environment of its clients."""
    more = {
        "TROUPE_HTTP_PORT": str(free_port()),
        "TROUPE_GRPC_PORT": str(free_port()),
        "TROUPE_SUPERVISOR_ACTORS": "sound",
        **environment,
    }
    env = shop.environment(shop.venv.parent / "home", **more)
    process = subprocess.Popen(shop.command("up"), cwd=shop.copy, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("  Processes"):
                break
        yield more
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)


def readiness(environment: dict[str, str]) -> tuple[int, dict[str, Any]]:
    answer = httpx.get(f"http://127.0.0.1:{environment['TROUPE_HTTP_PORT']}/readyz", timeout=30)
    return answer.status_code, answer.json()["actors"]["sound"]


def call(shop: Shop, environment: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """What the actor answers, or the error as google.rpc.Status."""
    done = subprocess.run(
        shop.command(*CALL),
        cwd=shop.copy,
        env=shop.environment(shop.venv, **environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or done.stderr)


def test_a_part_comes_to_life_in_a_hub_that_runs(shop: Shop) -> None:
    with hub(shop) as environment:
        status, sound = readiness(environment)
        assert (status, sound["state"], sound["remedy"]) == (200, "not_installed", "troupe add sound")
        code, error = call(shop, environment)
        assert (code, error["code"], "`troupe add sound`" in error["message"]) == (1, 9, True)
        assert "PART_NOT_INSTALLED" in json.dumps(error)
        done = add(shop, "--yes", **environment)
        assert done.returncode == 0, done.stderr
        assert "about 2 MB to fetch" in done.stdout
        assert done.stdout.endswith("sound is installed.\nsound serves.\n")
        assert call(shop, environment) == (0, {"text": "HI"})
        status, sound = readiness(environment)
        assert (status, sound["state"], sound["processes"]) == (200, "serving", 1)
        assert "sound is there already" in add(shop, **environment).stdout
    assert "troupe-horn" in shop.listed()


def test_where_no_hub_runs_the_next_one_has_it(shop: Shop) -> None:
    done = add(shop, "--yes")
    assert (done.returncode, "`troupe up` starts it with sound" in done.stdout) == (0, True), done.stderr


def test_where_nobody_can_be_asked_nothing_is_fetched(shop: Shop) -> None:
    with shop.unchanged():
        done = add(shop)
    assert (done.returncode, "--yes" in done.stderr) == (2, True)


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x04"])
def test_who_says_no_keeps_what_there_was(shop: Shop, answer: bytes) -> None:
    ours, theirs = pty.openpty()
    with shop.unchanged():
        process = subprocess.Popen(
            shop.command("add", "sound"),
            cwd=shop.copy,
            env=shop.environment(shop.venv),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(ours, answer)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, "about 2 MB to fetch" in out, "Nothing was fetched." in err) == (1, True, True)


def test_without_a_network_nothing_is_left_behind(shop: Shop) -> None:
    with shop.unchanged():
        done = add(shop, "--yes", PIP_INDEX_URL=f"http://127.0.0.1:{free_port()}/simple")
    assert (done.returncode, "nothing of it was left behind" in done.stderr) == (1, True)


def test_what_has_another_checksum_than_the_index_says_is_refused(shop: Shop) -> None:
    shop.stock(digest="0" * 64)
    with shop.unchanged():
        done = add(shop, "--yes")
    assert (done.returncode, "HASHES" in done.stderr) == (1, True), done.stderr


def test_what_the_pins_do_not_allow_is_refused(shop: Shop) -> None:
    pins = shop.copy / "constraints.txt"
    pins.write_text(pins.read_text().replace("troupe-horn==1.0", "troupe-horn==2.0"))
    with shop.unchanged():
        assert add(shop, "--yes").returncode == 1


def test_a_disk_that_fills_while_it_is_unpacked_leaves_nothing_behind(shop: Shop) -> None:
    blocks = LARGE // 512 // 2
    with shop.unchanged():
        done = add(shop, "--yes", shell=f"ulimit -f {blocks}")
    assert (done.returncode, "Installing collected packages" in done.stderr) == (1, True), done.stderr


def test_ctrl_c_in_mid_download_leaves_nothing_behind(shop: Shop) -> None:
    shop.server.stalls = True
    with shop.unchanged():
        process = subprocess.Popen(
            shop.command("add", "sound", "--yes"),
            cwd=shop.copy,
            env=shop.environment(shop.venv),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Programs that a shell has put into the background ignore it, and so would this one.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        assert shop.server.asked.wait(PATIENCE_SECONDS)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
