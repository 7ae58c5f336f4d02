"""The chat page in a real browser: what a model may make it show, and that everybody can read and reach it."""

import json
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from .page_steps import answered, answers, ask

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_a_model_writes_never_runs(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "Attack")
    hall.prompter.say(
        "<img src=x onerror=\"document.title='run'\"> <script>document.title='run'</script>\n\n",
        "[click](javascript:document.title='run') [fine](https://troupe.example/) ![pic](https://troupe.example/p.png)",
    )
    hall.prompter.end()
    await answered(page)
    assert await page.locator(".answer :is(img, script, iframe)").count() == 0
    links = page.locator(".answer a")
    assert [await link.get_attribute("href") for link in await links.all()] == [
        "https://troupe.example/",
        "https://troupe.example/p.png",
    ]
    assert await links.first.get_attribute("rel") == "noopener noreferrer"
    assert await page.title() == "Troupe"


async def test_code_can_be_copied(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url, permissions=["clipboard-read", "clipboard-write"])
    await ask(page, "Code")
    hall.prompter.say("```sh\ntroupe up\n```")
    hall.prompter.end()
    await page.locator(".code-bar").get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "troupe up"


async def test_a_reader_who_scrolls_back_is_left_there(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    await ask(page, "Long")
    hall.prompter.say(*[f"Line {number}\n\n" for number in range(80)])
    await expect(answers(page)).to_contain_text("Line 79")
    await page.wait_for_function(AT_END)
    await page.locator("#stage").evaluate("stage => { stage.scrollTop = 100 }")
    await expect(page.get_by_role("button", name="To the latest message")).to_be_visible()
    hall.prompter.say("The end.")
    hall.prompter.end()
    await answered(page)
    assert await page.locator("#stage").evaluate("stage => stage.scrollTop") == 100
    await page.get_by_role("button", name="To the latest message").click()
    await page.wait_for_function(AT_END)


AT_END = """() => {
  const stage = document.querySelector("#stage");
  return stage.scrollHeight - stage.scrollTop - stage.clientHeight < 2;
}"""


async def test_every_control_has_a_name_and_nothing_is_wider_than_a_phone(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url, viewport={"width": 360, "height": 640})
    await ask(page, "Hello")
    cells = "| " + " | ".join(["a long cell"] * 7) + " |\n"
    hall.prompter.say(cells + "|-" * 7 + "|\n" + cells + "\n")
    hall.prompter.say("```\n" + "long " * 60 + "\n```\n\n" + "x" * 300)
    hall.prompter.end()
    await answered(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.locator("#stage").evaluate("stage => stage.scrollWidth <= stage.clientWidth")
    for opener in ["Settings", "Earlier chats"]:
        await page.get_by_role("button", name=opener).click()
        nameless = await page.evaluate(NAMELESS)
        assert nameless == []
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog[open]")).to_have_count(0)


PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


async def shown_in_full(visitor: Any, hall: Any, **context: Any) -> Any:
    """A page with an answer that has everything in it."""
    page = await visitor.visit(hall.url, **context)
    await ask(page, "Hello")
    if context.get("is_mobile"):
        await page.get_by_role("button", name="Send").click()
    hall.prompter.say(
        "# One\n\n| a | b |\n|---|---|\n| c | d |\n\n```sh\ntroupe up\n```\n\n1. [x](https://troupe.example/)"
    )
    hall.prompter.end()
    await answered(page)
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("context", [{}, PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing(visitor: Any, hall: Any, scheme: Any, context: dict[str, Any]) -> None:
    page = await shown_in_full(visitor, hall, color_scheme=scheme, **context)
    assert await violations(page) == []
    for opener in ["Settings", "Earlier chats"]:
        await page.get_by_role("button", name=opener).click()
        assert await violations(page) == []
        await page.keyboard.press("Escape")


async def violations(page: Any) -> list[str]:
    found = await Axe().run(page)
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found.response["violations"]]


async def test_fingers_find_everything_at_least_44_pixels_large(visitor: Any, hall: Any) -> None:
    page = await shown_in_full(visitor, hall, **PHONE)
    assert await page.evaluate(SMALL) == []
    for opener in ["Settings", "Earlier chats"]:
        await page.get_by_role("button", name=opener).click()
        assert await page.evaluate(SMALL) == []
        await page.keyboard.press("Escape")


@pytest.mark.parametrize("height", [844, 500])
async def test_what_ends_a_sheet_is_in_sight_on_every_screen(visitor: Any, hall: Any, height: int) -> None:
    page = await visitor.visit(hall.url, **{**PHONE, "viewport": {"width": 390, "height": height}})
    for opener, end in [("Settings", "Done"), ("Earlier chats", "Close")]:
        await page.get_by_role("button", name=opener).click()
        await expect(page.get_by_role("button", name=end)).to_be_in_viewport(ratio=1)
        sheet = await page.locator("dialog[open]").bounding_box()
        ending = await page.get_by_role("button", name=end).bounding_box()
        assert ending["y"] + ending["height"] <= sheet["y"] + sheet["height"] - 8
        await page.get_by_role("button", name=end).click()
        await expect(page.locator("dialog[open]")).to_have_count(0)


# A box to tick is as large as the label that ticks it; a link in a text is part of it.
SMALL = """() => [...document.querySelectorAll("button, select, input, textarea, summary")]
  .map((each) => each.type === "checkbox" ? each.closest("label") : each)
  .filter((each) => each.checkVisibility())
  .filter((each) => { const { width, height } = each.getBoundingClientRect(); return width < 44 || height < 44; })
  .map((each) => `${each.outerHTML.slice(0, 120)} ${JSON.stringify(each.getBoundingClientRect())}`)"""


async def test_where_fingers_type_enter_makes_a_new_line_and_the_button_sends(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url, **PHONE)
    await expect(page.locator("#model")).to_be_enabled()
    field = page.get_by_role("textbox")
    await field.tap()
    await page.keyboard.type("one")
    await page.keyboard.press("Enter")
    await page.keyboard.type("hai")
    assert await field.input_value() == "one\nhai"
    await page.get_by_role("button", name="Send").tap()
    await expect(page.get_by_role("article", name="You")).to_have_text("one\nhai")
    hall.prompter.end()
    await answered(page)


NAMELESS = """() => [...document.querySelectorAll("button, select, input, textarea, a[href]")]
  .filter((control) => !(control.getAttribute("aria-label") || control.textContent.trim()
    || [...(control.labels ?? [])].some((label) => label.textContent.trim())))
  .map((control) => control.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_ground(visitor: Any, hall: Any, scheme: str) -> None:
    page = await visitor.visit(hall.url, color_scheme=scheme)
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


async def test_the_page_allows_nothing_that_is_not_its_own(visitor: Any, hall: Any) -> None:
    page = await visitor.visit(hall.url)
    response = await page.request.get(hall.url)
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    hosts = await page.evaluate("performance.getEntriesByType('resource').map((entry) => new URL(entry.name).host)")
    assert set(hosts) == {f"127.0.0.1:{hall.wire.port}"}
    assert json.loads(await page.evaluate("JSON.stringify(document.cookie)")) == ""
