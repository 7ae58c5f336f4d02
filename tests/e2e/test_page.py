"""The chat page in a real browser, on a hub whose model says what the test tells it."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Page, expect

from bus import Code, RpcError
from troupe.chat.v1 import FinishReason, GenerateResponse, Role
from troupe.model.v1 import Model, ModelState
from troupe.rpc.v1 import Progress

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(page: Page, text: str) -> None:
    await expect(page.locator("#model")).to_be_enabled()
    await page.get_by_role("textbox").fill(text)
    await page.keyboard.press("Enter")


def answers(page: Page) -> Any:
    return page.locator(".turn.assistant .answer")


async def answered(page: Page, count: int = 1) -> None:
    await expect(page.locator('.turn.assistant[aria-busy="false"]')).to_have_count(count)


def waiting(state: Any, **fields: Any) -> GenerateResponse:
    progress = Progress(state=state, position=fields.get("position", 0), fraction=fields.get("fraction"))
    progress.eta.FromSeconds(fields.get("eta", 0))
    return GenerateResponse(progress=progress)


async def test_an_answer_streams_in_as_markdown_and_tells_what_it_cost(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    await ask(page, "What are the ports?")
    stage.prompter.say("## Ports\n\nThe hub lis", "tens on **8080**")
    await expect(answers(page)).to_contain_text("The hub listens on 8080")
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    stage.prompter.say(" and `50051`.\n\n| door | port |\n|---|--:|\n| HTTP | 8080 |\n\n```sh\ntroupe up\n```")
    stage.prompter.end()
    await expect(page.locator(".answer h2")).to_have_text("Ports")
    await expect(page.locator(".answer strong")).to_have_text("8080")
    await expect(page.locator(".answer td").nth(1)).to_have_text("8080")
    await expect(page.locator(".answer pre")).to_have_text("troupe up")
    await expect(page.locator(".cost")).to_have_text("12 tokens · 44 tokens/s")
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    await expect(page.get_by_role("article", name="You")).to_have_text("What are the ports?")


async def test_the_conversation_so_far_is_sent_with_each_question(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    for count, (question, answer) in enumerate([("One?", "First."), ("Two?", "Second.")], 1):
        await ask(page, question)
        stage.prompter.say(answer)
        stage.prompter.end()
        await answered(page, count)
        await expect(answers(page).last).to_have_text(answer)
    messages = [(message.role, message.parts[0].text) for message in stage.prompter.requests[1].messages]
    assert messages == [(Role.ROLE_USER, "One?"), (Role.ROLE_ASSISTANT, "First."), (Role.ROLE_USER, "Two?")]
    assert stage.prompter.requests[1].model == "troupe-tiny"
    assert not stage.prompter.requests[1].sampling.HasField("temperature")


async def test_a_vietnamese_browser_gets_a_vietnamese_page(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url, locale="vi-VN")
    await expect(page.get_by_role("heading", name="Bạn muốn biết điều gì?")).to_be_visible()
    assert await page.locator("html").get_attribute("lang") == "vi"
    await page.get_by_role("button", name="HTTP dùng cổng nào?").click()
    stage.prompter.say(waiting(Progress.STATE_QUEUED, position=2, eta=7))
    await expect(page.locator(".waiting")).to_have_text("Đang xếp hàng ở vị trí 2, khoảng 7 giây…")
    stage.prompter.say("Cổng **8080** cho HTTP, ", "và `50051` cho gRPC — đều ở máy này.")
    stage.prompter.end()
    await expect(answers(page)).to_have_text("Cổng 8080 cho HTTP, và 50051 cho gRPC — đều ở máy này.")
    await expect(page.get_by_role("button", name="Gửi")).to_be_visible()
    await page.get_by_role("button", name="Cài đặt").click()
    await page.get_by_label("Ngôn ngữ").select_option("en")
    await expect(page.get_by_role("heading", name="Settings")).to_be_visible()


async def test_what_an_answer_waits_for_is_told_in_words(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await ask(page, "Hello")
    words = page.locator(".waiting")
    for step, expected in [
        (waiting(Progress.STATE_QUEUED, position=3), "Number 3 in line…"),
        (waiting(Progress.STATE_QUEUED, position=1, eta=4), "Next in line, about 4 s…"),
        (waiting(Progress.STATE_LOADING, fraction=0.45, eta=12), "Loading the model, 45 %, about 12 s…"),
        (waiting(Progress.STATE_RUNNING), "Reading your message…"),
    ]:
        stage.prompter.say(step)
        await expect(words).to_have_text(expected)
    stage.prompter.say("Hi.")
    stage.prompter.end()
    await expect(words).to_be_hidden()
    await expect(answers(page)).to_have_text("Hi.")


async def test_an_answer_goes_on_after_a_cut_with_nothing_lost_or_doubled(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await ask(page, "Count")
    words = [f"w{number} " for number in range(300)]
    stage.prompter.say(*words[:50])
    await expect(answers(page)).to_contain_text("w49")
    stage.proxy.refusing = True
    stage.proxy.cut()
    banner = page.get_by_text("The connection to the hub is lost.")
    await expect(banner).to_be_visible()
    stage.prompter.say(*words[50:90])
    await stage.proxy.refused.wait()
    stage.proxy.refusing = False
    await page.get_by_role("button", name="Try now").click()
    await expect(answers(page)).to_contain_text("w89")
    await expect(banner).to_be_hidden()
    for start in range(90, 300, 30):
        stage.prompter.say(*words[start : start + 30])
        await expect(answers(page)).to_contain_text(f"w{start + 10} ")
        stage.proxy.cut()
    stage.prompter.end()
    await answered(page)
    assert (await answers(page).inner_text()).split() == "".join(words).split()
    assert len(stage.prompter.requests) == 1


async def test_a_page_that_is_loaded_again_goes_on_with_its_answer(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await ask(page, "Count")
    words = [f"w{number} " for number in range(120)]
    stage.prompter.say(*words[:70])
    await expect(answers(page)).to_contain_text("w69")
    await page.reload()
    await expect(answers(page)).to_contain_text("w69")
    stage.prompter.say(*words[70:])
    stage.prompter.end()
    await answered(page)
    assert (await answers(page).inner_text()).split() == "".join(words).split()
    assert len(stage.prompter.requests) == 1
    await expect(page.get_by_role("article", name="You")).to_have_text("Count")


@pytest.mark.parametrize("way", ["button", "key"])
async def test_stop_ends_the_answer_here_and_at_the_model(visitor: Any, stage: Any, way: str) -> None:
    page = await visitor.visit(stage.url)
    await ask(page, "Talk")
    stage.prompter.say("And so ", "on")
    await expect(answers(page)).to_have_text("And so on")
    if way == "button":
        await page.get_by_role("button", name="Stop").click()
    else:
        await page.keyboard.press("Escape")
    await stage.prompter.cancelled.wait()
    await expect(page.get_by_text("Stopped.")).to_be_visible()
    await expect(answers(page)).to_have_text("And so on")
    await expect(page.get_by_role("textbox")).to_be_focused()


async def test_an_error_says_in_plain_words_what_to_do_and_can_be_tried_again(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await ask(page, "Hello")
    full = RpcError(Code.RESOURCE_EXHAUSTED, "No room.", reason="QUEUE_FULL", retry_after=2.0)
    stage.prompter.say(full)
    await expect(page.get_by_text("The line for this model is full. Wait 2 s and try again.")).to_be_visible()
    await page.get_by_role("button", name="Try again").click()
    stage.prompter.say("Hello!")
    stage.prompter.end()
    await expect(answers(page)).to_have_text("Hello!")
    await expect(page.get_by_text("The line for this model is full.")).to_be_hidden()
    assert [len(request.messages) for request in stage.prompter.requests] == [1, 1]


async def test_an_answer_whose_rest_is_lost_is_said_to_be_interrupted(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await ask(page, "Hello")
    stage.prompter.say("The first ", "half")
    await expect(answers(page)).to_have_text("The first half")
    stage.prompter.say(RpcError(Code.UNAVAILABLE, "The process has ended.", reason="PEER_LOST"))
    await expect(page.get_by_text("The answer was interrupted and the rest of it is lost.")).to_be_visible()
    await expect(answers(page)).to_have_text("The first half")
    await page.get_by_role("button", name="Try again").click()
    stage.prompter.say("Whole.")
    stage.prompter.end()
    await expect(answers(page)).to_have_text("Whole.")


async def test_an_answer_that_reached_its_greatest_length_says_so(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await ask(page, "Hello")
    stage.prompter.say("Long")
    stage.prompter.end(FinishReason.FINISH_REASON_LENGTH)
    await expect(page.get_by_text("The answer reached its greatest length.")).to_be_visible()
    await expect(answers(page)).to_have_text("Long")


async def test_chats_are_kept_found_again_and_deleted(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    for question in ["Where is the bus?", "Xe buýt ở đâu?"]:
        await ask(page, question)
        stage.prompter.say(f"Answer to {question}")
        stage.prompter.end()
        await answered(page)
        await page.get_by_role("button", name="New chat").click()
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    await page.reload()
    await page.get_by_role("button", name="Earlier chats").click()
    await page.get_by_role("button", name="Where is the bus?").first.click()
    await expect(answers(page)).to_have_text("Answer to Where is the bus?")
    await page.reload()
    await expect(answers(page)).to_have_text("Answer to Where is the bus?")
    await page.get_by_role("button", name="Earlier chats").click()
    await page.get_by_role("button", name="Delete “Where is the bus?”").click()
    await expect(page.locator("#chats li")).to_have_count(1)
    page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
    await page.get_by_role("button", name="Delete all").click()
    await expect(page.get_by_text("There are no earlier chats.")).to_be_visible()
    assert await page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('troupe.chat.'))") == []


async def test_a_new_chat_can_be_held_while_an_answer_is_made_in_another(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await ask(page, "First")
    stage.prompter.say("Slow ")
    await expect(answers(page)).to_have_text("Slow")
    await page.get_by_role("button", name="New chat").click()
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    stage.prompter.say("answer")
    stage.prompter.end()
    await page.get_by_role("button", name="Earlier chats").click()
    await page.get_by_role("button", name="First").first.click()
    await expect(answers(page)).to_have_text("Slow answer")


async def test_a_hub_that_asks_for_a_key_is_given_one(visitor: Any, locked_stage: Any) -> None:
    page = await visitor.visit(locked_stage.url)
    await expect(page.get_by_text("This hub asks for an API key.")).to_be_visible()
    field = page.locator("#key")
    await expect(field).to_be_focused()
    await field.fill("tr-wrong")
    await page.get_by_role("button", name="Use this key").click()
    await expect(page.get_by_text("The hub did not accept this API key.")).to_be_visible()
    await field.fill("tr-open-sesame")
    await page.keyboard.press("Enter")
    await expect(page.locator("#key-form")).to_be_hidden()
    await ask(page, "Hello")
    locked_stage.prompter.say("Welcome.")
    locked_stage.prompter.end()
    await expect(answers(page)).to_have_text("Welcome.")
    kept = await page.evaluate("JSON.stringify(localStorage)")
    assert "open-sesame" not in kept
    await page.reload()
    await expect(page.locator("#model")).to_be_enabled()


async def test_enter_sends_shift_enter_breaks_the_line_and_composing_does_neither(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await expect(page.locator("#model")).to_be_enabled()
    field = page.get_by_role("textbox")
    await expect(field).to_be_focused()
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("hai")
    await field.evaluate(
        "field => field.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true}))"
    )
    assert await field.input_value() == "one\nhai"
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article", name="You")).to_have_text("one\nhai")
    assert await field.input_value() == ""
    stage.prompter.end()
    await answered(page)
    assert stage.prompter.requests[0].messages[0].parts[0].text == "one\nhai"


async def test_settings_reach_the_model_and_stay(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_label("Instructions").fill("Trả lời ngắn gọn.")
    await page.get_by_label("Use the model’s own").uncheck()
    await page.get_by_label("Temperature", exact=True).fill("0.3")
    await page.get_by_label("Appearance").select_option("dark")
    await page.get_by_role("button", name="Done").click()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(24, 22, 20)"
    await page.reload()
    await ask(page, "Hello")
    stage.prompter.end()
    await answered(page)
    request = stage.prompter.requests[0]
    assert request.sampling.temperature == pytest.approx(0.3)
    assert (request.messages[0].role, request.messages[0].parts[0].text) == (Role.ROLE_SYSTEM, "Trả lời ngắn gọn.")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(24, 22, 20)"


async def test_models_can_be_chosen_and_what_cannot_be_loaded_is_not_offered(visitor: Any, stage: Any) -> None:
    services = ["troupe.chat.v1.ChatService"]
    stage.listed.models += [
        Model(name="another", services=services, state=ModelState.MODEL_STATE_AVAILABLE),
        Model(name="broken", services=services, state=ModelState.MODEL_STATE_FAILED, error="The file is cut off."),
        Model(name="embedder", services=["troupe.embedding.v1.EmbeddingService"]),
    ]
    page = await visitor.visit(stage.url)
    menu = page.get_by_label("Model", exact=True)
    await expect(menu.locator("option")).to_have_text(
        ["troupe-tiny", "another (loads when asked)", "broken (cannot be loaded)"]
    )
    await expect(menu).to_have_value("troupe-tiny")
    assert await menu.locator("option").nth(2).is_disabled()
    await menu.select_option("another")
    await page.reload()
    await expect(menu).to_have_value("another")
    await ask(page, "Hello")
    await expect(page.locator(".ending")).to_be_visible()
    await menu.select_option("troupe-tiny")
    await page.get_by_role("button", name="Try again").click()
    stage.prompter.say("Here.")
    stage.prompter.end()
    await expect(answers(page)).to_have_text("Here.")


async def test_a_hub_without_a_chat_model_says_what_to_do_and_shows_one_when_it_comes(visitor: Any, stage: Any) -> None:
    models = stage.listed.models[:]
    stage.listed.models.clear()
    page = await visitor.visit(stage.url)
    await expect(page.get_by_text("The hub has no chat model yet.")).to_be_visible()
    await page.get_by_role("textbox").fill("Hello")
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    stage.listed.models += models
    await expect(page.get_by_role("button", name="Send")).to_be_enabled()
    await expect(page.get_by_text("The hub has no chat model yet.")).to_be_hidden()


async def test_what_a_model_writes_never_runs(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await ask(page, "Attack")
    stage.prompter.say(
        "<img src=x onerror=\"document.title='run'\"> <script>document.title='run'</script>\n\n",
        "[click](javascript:document.title='run') [fine](https://troupe.example/) ![pic](https://troupe.example/p.png)",
    )
    stage.prompter.end()
    await answered(page)
    assert await page.locator(".answer :is(img, script, iframe)").count() == 0
    links = page.locator(".answer a")
    assert [await link.get_attribute("href") for link in await links.all()] == [
        "https://troupe.example/",
        "https://troupe.example/p.png",
    ]
    assert await links.first.get_attribute("rel") == "noopener noreferrer"
    assert await page.title() == "Troupe"


async def test_code_can_be_copied(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url, permissions=["clipboard-read", "clipboard-write"])
    await ask(page, "Code")
    stage.prompter.say("```sh\ntroupe up\n```")
    stage.prompter.end()
    await page.locator(".code-bar").get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "troupe up"


async def test_a_reader_who_scrolls_back_is_left_there(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    await ask(page, "Long")
    stage.prompter.say(*[f"Line {number}\n\n" for number in range(80)])
    await expect(answers(page)).to_contain_text("Line 79")
    await page.wait_for_function(AT_END)
    await page.locator("#stage").evaluate("stage => { stage.scrollTop = 100 }")
    await expect(page.get_by_role("button", name="To the latest message")).to_be_visible()
    stage.prompter.say("The end.")
    stage.prompter.end()
    await answered(page)
    assert await page.locator("#stage").evaluate("stage => stage.scrollTop") == 100
    await page.get_by_role("button", name="To the latest message").click()
    await page.wait_for_function(AT_END)


AT_END = """() => {
  const stage = document.querySelector("#stage");
  return stage.scrollHeight - stage.scrollTop - stage.clientHeight < 2;
}"""


async def test_every_control_has_a_name_and_nothing_is_wider_than_a_phone(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url, viewport={"width": 360, "height": 640})
    await ask(page, "Hello")
    cells = "| " + " | ".join(["a long cell"] * 7) + " |\n"
    stage.prompter.say(cells + "|-" * 7 + "|\n" + cells + "\n")
    stage.prompter.say("```\n" + "long " * 60 + "\n```\n\n" + "x" * 300)
    stage.prompter.end()
    await answered(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.locator("#stage").evaluate("stage => stage.scrollWidth <= stage.clientWidth")
    for opener in ["Settings", "Earlier chats"]:
        await page.get_by_role("button", name=opener).click()
        nameless = await page.evaluate(NAMELESS)
        assert nameless == []
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog[open]")).to_have_count(0)


NAMELESS = """() => [...document.querySelectorAll("button, select, input, textarea, a[href]")]
  .filter((control) => !(control.getAttribute("aria-label") || control.textContent.trim()
    || [...(control.labels ?? [])].some((label) => label.textContent.trim())))
  .map((control) => control.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_ground(visitor: Any, stage: Any, scheme: str) -> None:
    page = await visitor.visit(stage.url, color_scheme=scheme)
    await page.wait_for_load_state("networkidle")  # a page that still loads when its hub ends reports a fault
    colours = await page.evaluate(COLOURS)
    pairs = [
        ("text", "ground"), ("text", "raised"), ("text", "tinted"), ("text", "accent-tint"), ("text", "warn-ground"),
        ("muted", "ground"), ("muted", "raised"), ("muted", "tinted"), ("accent", "ground"), ("accent", "raised"),
        ("on-accent", "accent"),
    ]  # fmt: skip
    poor = {pair: round(contrast(*(colours[name] for name in pair)), 2) for pair in pairs}
    assert {pair: value for pair, value in poor.items() if value < 4.5} == {}
    assert contrast(colours["field-line"], colours["raised"]) >= 3.0


COLOURS = """() => {
  const probe = document.body.appendChild(document.createElement("i"));
  const names = ["text", "muted", "accent", "on-accent", "ground", "raised", "tinted"];
  names.push("accent-tint", "warn-ground", "field-line");
  return Object.fromEntries(names.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number)];
  }));
}"""


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG 2.2's contrast ratio."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: list[float]) -> float:
    channels = [value / 255 for value in colour]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


async def test_the_page_allows_nothing_that_is_not_its_own(visitor: Any, stage: Any) -> None:
    page = await visitor.visit(stage.url)
    response = await page.request.get(stage.url)
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    hosts = await page.evaluate("performance.getEntriesByType('resource').map((entry) => new URL(entry.name).host)")
    assert set(hosts) == {f"127.0.0.1:{stage.proxy.port}"}
    assert json.loads(await page.evaluate("JSON.stringify(document.cookie)")) == ""
