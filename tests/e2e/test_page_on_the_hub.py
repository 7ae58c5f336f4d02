"""The chat page on a hub of processes, as `troupe up` starts it, whose gateway is killed under the page."""

import asyncio
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from bus.server import Server
from bus.testing.nats_server import free_port
from gateway.settings import load
from host.embedded import connect
from troupe.chat.v1 import ChatService
from troupe.model.v1 import ModelService

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the gateway's process in /proc"),
]

START_SECONDS = 60
MODEL_FILE = Path(__file__).parents[2] / "actors" / "llama" / "models" / "troupe-tiny.gguf"


class RunningHub:
    def __init__(self, process: asyncio.subprocess.Process, home: Path, port: int) -> None:
        self.process = process
        self.home = home
        self.url = f"http://127.0.0.1:{port}/"

    def gateway(self) -> int:
        """The process that serves the page now."""
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                command = (status.parent / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == self.process.pid and b"gateway" in command:
                return int(status.parent.name)
        raise AssertionError("the supervisor has no gateway")

    def kill_gateway(self) -> None:
        os.kill(self.gateway(), signal.SIGKILL)

    async def answer(self, *said: str) -> str:
        """What the model answers over HTTP at temperature 0, `said` being the conversation so far."""
        roles = ["user", "assistant"] * len(said)
        messages = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
        body = json.dumps({"model": "troupe-tiny", "temperature": 0, "messages": messages}).encode()
        asked = urllib.request.Request(
            f"{self.url}v1/chat/completions", data=body, headers={"content-type": "application/json"}
        )

        def read() -> str:
            with urllib.request.urlopen(asked, timeout=60) as response:
                return str(json.load(response)["choices"][0]["message"]["content"])

        return await asyncio.to_thread(read)


@asynccontextmanager
async def running_hub(home: Path, *options: str) -> AsyncIterator[RunningHub]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "up", "--home", str(home), "--http-port", str(port), "--grpc-port",
        str(free_port()), *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TROUPE_ACTORS_WEIGHTS_FETCH": "false"},
    )  # fmt: skip
    printed = bytearray()
    try:
        async with asyncio.timeout(START_SECONDS):
            await until_up(process, printed)
        yield RunningHub(process, home, port)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def until_up(process: asyncio.subprocess.Process, printed: bytearray) -> None:
    assert process.stdout is not None
    while b"Processes" not in printed:
        line = await process.stdout.readline()
        assert line, printed.decode()
        printed += line


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningHub]:
    """Everything, with the model that Troupe ships."""
    if not MODEL_FILE.exists():
        pytest.skip(f"{MODEL_FILE.name} is not there")
    pytest.importorskip("llama_cpp", reason="the llama extra is not installed")
    async with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def slow_hub(tmp_path: Path, hall: Any) -> AsyncIterator[RunningHub]:
    """A hub whose model is in this process: it says what the test tells its prompter, when it is told."""
    async with running_hub(tmp_path / "slow", "--actors", "echo") as running:
        settings = load(None, {"TROUPE_HOME": str(running.home)})
        transport = await connect(settings, "slow")
        server = Server(transport)
        await server.add(hall.listed, ModelService.INFO)
        await server.add(hall.model, ChatService.INFO, route="troupe-tiny")
        yield running
        await server.drain(grace=0.1)
        await transport.close()


async def ask(page: Page, text: str) -> None:
    await expect(page.locator("#model")).to_be_enabled()
    await page.get_by_role("textbox").fill(text)
    await page.keyboard.press("Enter")


async def always_likeliest(page: Page) -> None:
    """Temperature 0, so that the same question has one answer."""
    await page.locator("#open-settings").click()
    await page.locator("#temperature-default").uncheck()
    await page.locator("#temperature").fill("0")
    await page.keyboard.press("Escape")


async def answered(page: Page, count: int = 1) -> None:
    await expect(page.locator('.turn.assistant[aria-busy="false"]')).to_have_count(count)


def answers(page: Page) -> Any:
    return page.locator(".turn.assistant .answer")


@pytest.mark.parametrize(
    ("locale", "questions"),
    [
        ("en-GB", ["What is a lease?", "Which port does gRPC use?"]),
        ("vi-VN", ["Lease là gì?", "gRPC dùng cổng nào?"]),
    ],
)
async def test_a_conversation_with_the_shipped_model(
    visitor: Any, hub: RunningHub, locale: str, questions: list[str]
) -> None:
    page = await visitor.visit(hub.url, locale=locale)
    await always_likeliest(page)
    said: list[str] = []
    for number, question in enumerate(questions, 1):
        await ask(page, question)
        await answered(page, number)
        said += [question, await hub.answer(*said, question)]
        await expect(answers(page).last).to_have_text(said[-1])
    await expect(page.get_by_role("article", name="troupe-tiny")).to_have_count(2)
    await expect(page.get_by_role("button", name="Gửi" if locale == "vi-VN" else "Send")).to_be_visible()


async def test_an_answer_of_the_shipped_model_outlives_its_gateway(visitor: Any, hub: RunningHub) -> None:
    page = await visitor.visit(hub.url)
    await always_likeliest(page)
    question = "What is Troupe?"
    expected = await hub.answer(question)
    await ask(page, question)
    hub.kill_gateway()
    await answered(page)
    await expect(answers(page)).to_have_text(expected)
    await page.get_by_role("button", name="New chat").click()
    await ask(page, question)
    await answered(page)
    await expect(answers(page)).to_have_text(expected)


async def test_a_text_outlives_three_gateways_with_nothing_lost_or_doubled(
    visitor: Any, slow_hub: RunningHub, hall: Any
) -> None:
    page = await visitor.visit(slow_hub.url)
    words = [f"w{number} " for number in range(400)]
    await ask(page, "Đếm đi")
    for start in range(0, 300, 100):
        hall.prompter.say(*words[start : start + 60])
        await expect(answers(page)).to_contain_text(f"w{start + 20} ")
        slow_hub.kill_gateway()
        await expect(page.get_by_text("The connection to the hub is lost.")).to_be_visible()
        hall.prompter.say(*words[start + 60 : start + 100])
        await expect(answers(page)).to_contain_text(f"w{start + 99}")
    hall.prompter.say(*words[300:])
    hall.prompter.end()
    await answered(page)
    assert (await answers(page).inner_text()).split() == "".join(words).split()
    assert len(hall.prompter.requests) == 1


async def test_stop_reaches_the_model_and_the_next_answer_comes(visitor: Any, slow_hub: RunningHub, hall: Any) -> None:
    page = await visitor.visit(slow_hub.url)
    await ask(page, "Talk")
    hall.prompter.say("On and ", "on")
    await expect(answers(page)).to_have_text("On and on")
    await page.get_by_role("button", name="Stop").click()
    await hall.prompter.cancelled.wait()
    await answered(page)
    await expect(page.get_by_text("Stopped.")).to_be_visible()
    await ask(page, "And now?")
    hall.prompter.say("Here.")
    hall.prompter.end()
    await expect(answers(page).last).to_have_text("Here.")
