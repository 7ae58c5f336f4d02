"""The chat page in a real browser: questions, answers, and what becomes of them when something breaks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

from bus import Code, Context, RpcError
from troupe.chat.v1 import ChatService, FinishReason, Role
from troupe.model.v1 import LoadModelRequest, LoadModelResponse, Model, ModelService
from troupe.rpc.v1 import Progress
from troupe_client import text_of

from .conftest import MODEL, ListedModels
from .page_steps import answered, answers, ask, waiting

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_answer_streams_in_as_markdown_and_tells_what_it_cost(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    await ask(page, "What are the ports?")
    hall.prompter.say("## Ports\n\nThe hub lis", "tens on **8080**")
    await expect(answers(page)).to_contain_text("The hub listens on 8080")
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    hall.prompter.say(" and `50051`.\n\n| door | port |\n|---|--:|\n| HTTP | 8080 |\n\n```sh\ntroupe up\n```")
    hall.prompter.end()
    await expect(page.locator(".answer h2")).to_have_text("Ports")
    await expect(page.locator(".answer strong")).to_have_text("8080")
    await expect(page.locator(".answer td").nth(1)).to_have_text("8080")
    await expect(page.locator(".answer pre")).to_have_text("troupe up")
    await expect(page.locator(".cost")).to_have_text("12 tokens · 44 tokens/s")
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    await expect(page.get_by_role("article", name="You")).to_have_text("What are the ports?")


async def test_the_conversation_so_far_is_sent_with_each_question(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    for count, (question, answer) in enumerate([("One?", "First."), ("Two?", "Second.")], 1):
        await ask(page, question)
        hall.prompter.say(answer)
        hall.prompter.end()
        await answered(page, count)
        await expect(answers(page).last).to_have_text(answer)
    messages = [(message.role, message.parts[0].text) for message in hall.prompter.requests[1].messages]
    assert messages == [(Role.ROLE_USER, "One?"), (Role.ROLE_ASSISTANT, "First."), (Role.ROLE_USER, "Two?")]
    assert hall.prompter.requests[1].model == "troupe-tiny"
    assert not hall.prompter.requests[1].sampling.HasField("temperature")


async def test_a_vietnamese_browser_gets_a_vietnamese_page(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url, locale="vi-VN")
    await expect(page.get_by_role("heading", name="Bạn muốn biết điều gì?")).to_be_visible()
    assert await page.locator("html").get_attribute("lang") == "vi"
    await page.get_by_role("button", name="HTTP dùng cổng nào?").click()
    hall.prompter.say(waiting(Progress.STATE_QUEUED, position=2, eta=7))
    await expect(page.locator(".waiting")).to_have_text("Đang xếp hàng ở vị trí 2, khoảng 7 giây…")
    hall.prompter.say("Cổng **8080** cho HTTP, ", "và `50051` cho gRPC — đều ở máy này.")
    hall.prompter.end()
    await expect(answers(page)).to_have_text("Cổng 8080 cho HTTP, và 50051 cho gRPC — đều ở máy này.")
    await expect(page.get_by_role("button", name="Gửi")).to_be_visible()
    await page.get_by_role("button", name="Cài đặt").click()
    await page.get_by_label("Ngôn ngữ").select_option("en")
    await expect(page.get_by_role("heading", name="Settings")).to_be_visible()


async def test_what_an_answer_waits_for_is_told_in_words(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "Hello")
    words = page.locator(".waiting")
    for step, expected in [
        (waiting(Progress.STATE_QUEUED, position=3), "Number 3 in line…"),
        (waiting(Progress.STATE_QUEUED, position=1, eta=4), "Next in line, about 4 s…"),
        (waiting(Progress.STATE_LOADING, fraction=0.45, eta=12), "Loading the model, 45 %, about 12 s…"),
        (waiting(Progress.STATE_RUNNING), "Reading your message…"),
    ]:
        hall.prompter.say(step)
        await expect(words).to_have_text(expected)
    hall.prompter.say("Hi.")
    hall.prompter.end()
    await expect(words).to_be_hidden()
    await expect(answers(page)).to_have_text("Hi.")


async def test_an_answer_goes_on_after_a_cut_with_nothing_lost_or_doubled(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "Count")
    words = [f"w{number} " for number in range(300)]
    hall.prompter.say(*words[:50])
    await expect(answers(page)).to_contain_text("w49")
    hall.wire.refusing = True
    hall.wire.cut()
    banner = page.get_by_text("The connection to the hub is lost.")
    await expect(banner).to_be_visible()
    hall.prompter.say(*words[50:90])
    await hall.wire.refused.wait()
    hall.wire.refusing = False
    await page.get_by_role("button", name="Try now").click()
    await expect(answers(page)).to_contain_text("w89")
    await expect(banner).to_be_hidden()
    for start in range(90, 300, 30):
        hall.prompter.say(*words[start : start + 30])
        await expect(answers(page)).to_contain_text(f"w{start + 10} ")
        hall.wire.cut()
    hall.prompter.end()
    await answered(page)
    assert (await answers(page).inner_text()).split() == "".join(words).split()
    assert len(hall.prompter.requests) == 1


async def test_a_page_that_is_loaded_again_goes_on_with_its_answer(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "Count")
    words = [f"w{number} " for number in range(120)]
    hall.prompter.say(*words[:70])
    await expect(answers(page)).to_contain_text("w69")
    await page.reload()
    await expect(answers(page)).to_contain_text("w69")
    hall.prompter.say(*words[70:])
    hall.prompter.end()
    await answered(page)
    assert (await answers(page).inner_text()).split() == "".join(words).split()
    assert len(hall.prompter.requests) == 1
    await expect(page.get_by_role("article", name="You")).to_have_text("Count")


class Loading(ListedModels):
    """Loads its model when it is told to."""

    def __init__(self, models: list[Model]) -> None:
        super().__init__(models)
        self.loads = asyncio.Event()

    async def load_model(self, request: LoadModelRequest, ctx: Context) -> AsyncIterator[LoadModelResponse]:
        yield LoadModelResponse(progress=Progress(state=Progress.STATE_LOADING))
        await self.loads.wait()
        yield LoadModelResponse(model=self.models[0])


async def test_a_page_that_is_loaded_again_while_its_model_is_being_loaded_is_answered(visitor: Any, hall: Any) -> None:
    loading = Loading(hall.listed.models)
    await hall.server.remove(ChatService.INFO, MODEL)
    await hall.server.remove(ModelService.INFO)
    await hall.server.add(loading, ModelService.INFO)
    page = await visitor.visit(hall.url)
    await ask(page, "Count")
    await expect(page.locator(".waiting")).to_have_text("Loading the model…")
    await page.reload()
    await expect(page.locator(".waiting")).to_have_text("Loading the model…")
    await hall.server.add(hall.model, ChatService.INFO, route=MODEL)
    loading.loads.set()
    hall.prompter.say("one two")
    hall.prompter.end()
    await answered(page)
    assert await answers(page).inner_text() == "one two"
    assert [text_of(message) for request in hall.prompter.requests for message in request.messages] == ["Count"]


@pytest.mark.parametrize("way", ["button", "key"])
async def test_stop_ends_the_answer_here_and_at_the_model(visitor: Any, hall: Any, way: str) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "Talk")
    hall.prompter.say("And so ", "on")
    await expect(answers(page)).to_have_text("And so on")
    if way == "button":
        await page.get_by_role("button", name="Stop").click()
    else:
        await page.keyboard.press("Escape")
    await hall.prompter.cancelled.wait()
    await expect(page.get_by_text("Stopped.")).to_be_visible()
    await expect(answers(page)).to_have_text("And so on")
    await expect(page.get_by_role("textbox")).to_be_focused()


async def test_an_error_says_in_plain_words_what_to_do_and_can_be_tried_again(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "Hello")
    full = RpcError(Code.RESOURCE_EXHAUSTED, "No room.", reason="QUEUE_FULL", retry_after=2.0)
    hall.prompter.say(full)
    await expect(page.get_by_text("The line for this model is full. Wait 2 s and try again.")).to_be_visible()
    await page.get_by_role("button", name="Try again").click()
    hall.prompter.say("Hello!")
    hall.prompter.end()
    await expect(answers(page)).to_have_text("Hello!")
    await expect(page.get_by_text("The line for this model is full.")).to_be_hidden()
    assert [len(request.messages) for request in hall.prompter.requests] == [1, 1]


async def test_an_answer_whose_rest_is_lost_is_said_to_be_interrupted(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "Hello")
    hall.prompter.say("The first ", "half")
    await expect(answers(page)).to_have_text("The first half")
    hall.prompter.say(RpcError(Code.UNAVAILABLE, "The process has ended.", reason="PEER_LOST"))
    await expect(page.get_by_text("The answer was interrupted and the rest of it is lost.")).to_be_visible()
    await expect(answers(page)).to_have_text("The first half")
    await page.get_by_role("button", name="Try again").click()
    hall.prompter.say("Whole.")
    hall.prompter.end()
    await expect(answers(page)).to_have_text("Whole.")


async def test_an_answer_that_reached_its_greatest_length_says_so(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "Hello")
    hall.prompter.say("Long")
    hall.prompter.end(FinishReason.FINISH_REASON_LENGTH)
    await expect(page.get_by_text("The answer reached its greatest length.")).to_be_visible()
    await expect(answers(page)).to_have_text("Long")
