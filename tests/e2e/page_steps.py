"""What a visitor of the chat page does again and again."""

from typing import Any

from playwright.async_api import Page, expect

from troupe.chat.v1 import GenerateResponse
from troupe.rpc.v1 import Progress


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
