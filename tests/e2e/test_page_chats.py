"""The chat page in a real browser: chats that are kept, keys, settings and models."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import expect

from bus import Context
from troupe.chat.v1 import Role
from troupe.model.v1 import Model, ModelState
from troupe.weights.v1 import ListWeightsRequest, ListWeightsResponse, Weights, WeightsService, WeightsState

from .page_steps import answered, answers, ask

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_chats_are_kept_found_again_and_deleted(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    for question in ["Where is the bus?", "Xe buýt ở đâu?"]:
        await ask(page, question)
        hall.prompter.say(f"Answer to {question}")
        hall.prompter.end()
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
    assert len(await kept(page)) == 1
    page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
    await page.get_by_role("button", name="Delete all").click()
    await expect(page.get_by_text("There are no earlier chats.")).to_be_visible()
    await expect(page.locator("#history [value=close]")).to_be_focused()
    assert await kept(page) == []


async def kept(page: Any) -> Any:
    return await page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('troupe.chat.'))")


async def test_a_chat_that_was_deleted_by_mistake_is_had_back(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "Keep me")
    hall.prompter.say("Half an ans")
    await expect(answers(page)).to_have_text("Half an ans")
    await page.get_by_role("button", name="Earlier chats").click()
    await page.get_by_role("button", name="Delete “Keep me”").press("Enter")
    await hall.prompter.cancelled.wait()
    undo = page.get_by_role("button", name="Undo: keep “Keep me”")
    await expect(undo).to_be_focused()
    await expect(page.get_by_text("Deleted: Keep me")).to_be_visible()
    await expect(answers(page)).to_have_count(0)
    assert await kept(page) == []
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Keep me").first).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(answers(page)).to_have_text("Half an ans")
    await page.get_by_role("button", name="Earlier chats").click()
    await page.get_by_role("button", name="Delete “Keep me”").click()
    await page.get_by_role("button", name="Close").click()
    await page.reload()
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    assert await kept(page) == []


async def test_a_new_chat_can_be_held_while_an_answer_is_made_in_another(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "First")
    hall.prompter.say("Slow ")
    await expect(answers(page)).to_have_text("Slow")
    await page.get_by_role("button", name="New chat").click()
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    hall.prompter.say("answer")
    hall.prompter.end()
    await page.get_by_role("button", name="Earlier chats").click()
    await page.get_by_role("button", name="First").first.click()
    await expect(answers(page)).to_have_text("Slow answer")


async def test_a_hub_that_asks_for_a_key_is_given_one(visitor: Any, locked_hall: Any) -> None:
    page = await visitor.visit(locked_hall.url)
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
    locked_hall.prompter.say("Welcome.")
    locked_hall.prompter.end()
    await expect(answers(page)).to_have_text("Welcome.")
    kept = await page.evaluate("JSON.stringify(localStorage)")
    assert "open-sesame" not in kept
    await page.reload()
    await expect(page.locator("#model")).to_be_enabled()


async def test_enter_sends_shift_enter_breaks_the_line_and_composing_does_neither(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
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
    hall.prompter.end()
    await answered(page)
    assert hall.prompter.requests[0].messages[0].parts[0].text == "one\nhai"


async def test_settings_reach_the_model_and_stay(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_label("Instructions").fill("Trả lời ngắn gọn.")
    await page.get_by_label("Use the model’s own").uncheck()
    await page.get_by_label("Temperature", exact=True).fill("0.3")
    await page.get_by_label("Appearance").select_option("dark")
    await page.get_by_role("button", name="Done").click()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(24, 22, 20)"
    await page.reload()
    await ask(page, "Hello")
    hall.prompter.end()
    await answered(page)
    request = hall.prompter.requests[0]
    assert request.sampling.temperature == pytest.approx(0.3)
    assert (request.messages[0].role, request.messages[0].parts[0].text) == (Role.ROLE_SYSTEM, "Trả lời ngắn gọn.")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(24, 22, 20)"


async def test_a_new_chat_has_the_hubs_default_model_and_one_that_began_keeps_its_own(visitor: Any, hall: Any) -> None:
    ready, services = ModelState.MODEL_STATE_READY, ["troupe.chat.v1.ChatService"]
    hall.listed.models.insert(0, Model(name="aardvark", services=services, state=ready))
    page = await visitor.visit(hall.url)
    menu = page.get_by_label("Model", exact=True)
    await expect(menu).to_have_value("troupe-tiny")  # and not the first that is ready
    await ask(page, "Hello")
    hall.listed.models.append(Model(name="words", services=services, state=ready, default=True))
    hall.prompter.say("Hi.")
    hall.prompter.end()
    await expect(menu.locator("option").nth(2)).to_have_text("words (default)")
    await expect(menu).to_have_value("troupe-tiny")
    await page.get_by_role("button", name="New chat").click()
    await expect(menu).to_have_value("words")
    await menu.select_option("aardvark")
    await page.get_by_role("button", name="New chat").click()
    await expect(menu).to_have_value("aardvark")


async def test_every_model_is_suggested_questions_that_it_can_answer(visitor: Any, hall: Any) -> None:
    ready, services = ModelState.MODEL_STATE_READY, ["troupe.chat.v1.ChatService"]
    hall.listed.models += [Model(name=name, services=services, state=ready) for name in ("own", "smollm2-135m")]
    page = await visitor.visit(hall.url, locale="vi-VN")
    menu = page.locator("#model")
    first = page.locator("#suggestions button").first
    for model, suggested in [
        ("troupe-tiny", "Làm sao để khởi động Troupe?"),
        ("own", "Vì sao bầu trời có màu xanh?"),
        ("smollm2-135m", "Why is the sky blue?"),  # it knows English alone
    ]:
        await expect(menu).to_be_enabled()
        await menu.select_option(model)
        await expect(first).to_have_text(suggested)
    await first.click()
    await expect(page.get_by_role("article", name="Bạn")).to_have_text("Why is the sky blue?")


async def test_models_can_be_chosen_and_what_cannot_be_loaded_is_not_offered(visitor: Any, hall: Any) -> None:
    services = ["troupe.chat.v1.ChatService"]
    hall.listed.models += [
        Model(name="another", services=services, state=ModelState.MODEL_STATE_AVAILABLE),
        Model(name="broken", services=services, state=ModelState.MODEL_STATE_FAILED, error="The file is cut off."),
        Model(name="embedder", services=["troupe.embedding.v1.EmbeddingService"]),
    ]
    page = await visitor.visit(hall.url)
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
    hall.prompter.say("Here.")
    hall.prompter.end()
    await expect(answers(page)).to_have_text("Here.")


class Fetching(WeightsService):
    """Fetches a model."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    async def list_weights(self, request: ListWeightsRequest, ctx: Context) -> ListWeightsResponse:
        return ListWeightsResponse(weights=[self.weights])


async def test_a_model_that_is_being_fetched_is_shown_and_can_be_chosen_once_it_is_there(
    visitor: Any, hall: Any
) -> None:
    services = ["troupe.chat.v1.ChatService"]
    fetching = Fetching(
        Weights(name="words", state=WeightsState.WEIGHTS_STATE_FETCHING, fraction=0.456, services=services)
    )
    await hall.server.add(fetching, WeightsService.INFO)
    page = await visitor.visit(hall.url)
    option = page.get_by_label("Model", exact=True).locator("option").nth(1)
    await expect(option).to_have_text("words (being fetched, 45 %)")
    assert await option.is_disabled()
    fetching.weights.state = WeightsState.WEIGHTS_STATE_PRESENT
    hall.listed.models.append(Model(name="words", services=services, state=ModelState.MODEL_STATE_READY, default=True))
    await expect(option).to_have_text("words (default)")
    await expect(page.get_by_label("Model", exact=True)).to_have_value("words")


async def test_a_hub_without_a_chat_model_says_what_to_do_and_shows_one_when_it_comes(visitor: Any, hall: Any) -> None:
    models = hall.listed.models[:]
    hall.listed.models.clear()
    page = await visitor.visit(hall.url)
    await expect(page.get_by_text("The hub has no chat model yet.")).to_be_visible()
    await page.get_by_role("textbox").fill("Hello")
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    hall.listed.models += models
    await expect(page.get_by_role("button", name="Send")).to_be_enabled()
    await expect(page.get_by_text("The hub has no chat model yet.")).to_be_hidden()
