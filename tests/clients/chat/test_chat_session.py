"""At a terminal."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bus import Code, RpcError
from troupe.model.v1 import ListModelsRequest, ListModelsResponse, Model, ModelState
from troupe.rpc.v1 import Progress
from troupe.weights.v1 import ListWeightsRequest, ListWeightsResponse, Weights, WeightsState
from troupe_client import text_of

CTRL_C, CTRL_D, ALT_ENTER, ENTER, TAB = "\x03", "\x04", "\x1b\r", "\r", "\t"
LIST_MODELS = "troupe.model.v1.ModelService/ListModels"


async def test_a_conversation_at_a_terminal(model: Any, terminal: Any) -> None:
    chat = await terminal()
    assert "model troupe-tiny" in await chat.until("Ctrl-D leaves")
    await chat.prompt()
    chat.type("What is a lease?" + ENTER)
    model.tell(Progress(state=Progress.STATE_QUEUED, position=3))
    await chat.until("place 3")
    model.tell(Progress(state=Progress.STATE_LOADING, fraction=0.25))
    await chat.until("Loading troupe-tiny · 25%")
    model.say("A **lease**", " is\n\n", "- held\n", "- given")
    await chat.until("A lease is")
    model.end()
    await chat.until("given")
    await chat.prompt()
    chat.type(CTRL_D)
    assert await chat.ended() == 0


async def test_a_model_that_is_being_fetched_is_told_of(model: Any, door: Any, terminal: Any) -> None:
    async def list_weights(request: ListWeightsRequest) -> AsyncIterator[ListWeightsResponse]:
        state, services = WeightsState.WEIGHTS_STATE_FETCHING, ["troupe.chat.v1.ChatService"]
        yield ListWeightsResponse(weights=[Weights(name="words", state=state, fraction=0.4, services=services)])

    door.answers["troupe.weights.v1.WeightsService/ListWeights"] = list_weights
    chat = await terminal()
    await chat.until("words is being fetched (40%); /model words asks it once it is there.")
    await chat.prompt()
    chat.type("/quit" + ENTER)
    assert await chat.ended() == 0


async def test_ctrl_c_stops_the_answer_and_not_the_program(model: Any, door: Any, terminal: Any) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("Count!" + ENTER)
    model.say("one, two")
    await chat.until("one, two")
    chat.type(CTRL_C)
    await chat.until("(stopped)")
    await door.cancelled.wait()
    await chat.prompt()
    chat.type("Again" + ENTER)
    model.say("three")
    model.end()
    await chat.until("three")
    assert [text_of(message) for message in model.requests[-1].messages] == ["Count!", "one, two", "Again"]
    await chat.prompt()
    chat.type(CTRL_C)
    await chat.until("leaves.")
    await chat.prompt()
    chat.type(CTRL_C)
    assert await chat.ended() == 0


async def test_another_model_answers_after_the_command(model: Any, terminal: Any) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("/model quintin" + ENTER)
    await chat.until("Did you mean quentin?")
    await chat.prompt()
    chat.type("/model que")
    await chat.until("quentin")
    chat.type(TAB + ENTER)
    await chat.until("From here on quentin answers.")
    chat.type("Hi" + ENTER)
    model.say("Hello")
    model.end()
    await chat.until("Hello")
    assert model.requests[-1].model == "quentin"


async def test_commands_list_save_and_begin_anew(model: Any, terminal: Any, tmp_path: Path) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("/models" + ENTER)
    assert "2.9 M Q8_0" in await chat.until("Knows more.")
    chat.type("/system Hãy ngắn gọn" + ENTER)
    await chat.until("System prompt set")
    chat.type("Hi" + ENTER)
    model.say("Xin chào")
    model.end()
    await chat.until("Xin chào")
    await chat.prompt()
    chat.type("/usage" + ENTER)
    await chat.until("11 prompt tokens (0 from the cache), 22 answer tokens")
    chat.type("/save talk.md" + ENTER)
    await chat.until("Saved to talk.md")
    chat.type("/save talk.md" + ENTER)
    await chat.until("exists already")
    chat.type("/retry" + ENTER)
    model.say("Chào!")
    model.end()
    await chat.until("Chào!")
    assert [text_of(message) for message in model.requests[-1].messages] == ["Hãy ngắn gọn", "Hi"]
    chat.type("/new" + ENTER)
    await chat.until("A new conversation.")
    chat.type("/nwe" + ENTER)
    await chat.until("Did you mean /new")
    chat.type("/xyzzy" + ENTER)
    await chat.until("There is no command /xyzzy. /help lists the commands. To say something")
    chat.type("/quit" + ENTER)
    assert await chat.ended() == 0
    saved = (tmp_path / "talk.md").read_text("utf-8")
    assert saved == "# troupe-tiny\n\n> Hãy ngắn gọn\n\n## User\n\nHi\n\n## Assistant\n\nXin chào\n"
    history = tmp_path / "chat_history"
    assert "+Hi\n" in history.read_text("utf-8")
    assert history.stat().st_mode & 0o077 == 0, "nobody else reads what was said"


async def test_alt_enter_begins_a_new_line_and_two_slashes_say_one(model: Any, terminal: Any) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("//one" + ALT_ENTER + "two" + ENTER)
    model.say("ok")
    model.end()
    await chat.until("ok")
    assert model.heard == "/one\ntwo"


async def test_an_answer_goes_on_after_the_hub_was_away(model: Any, wire: Any, terminal: Any) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("Count!" + ENTER)
    model.say("one, ")
    await chat.until("one,")
    wire.refusing = True
    wire.cut()
    await chat.until("looking for the hub again")
    model.say("two, ", "three")
    model.end()
    wire.refusing = False
    await chat.until("one, two, three")
    await chat.prompt()
    assert len(model.requests) == 1


async def test_what_is_no_utf_8_is_asked_all_the_same(model: Any, terminal: Any) -> None:
    chat = await terminal()
    await chat.prompt()
    chat.type("Chào \udcff" + ENTER)
    model.say("ok")
    model.end()
    await chat.until("ok")
    await chat.prompt()
    assert model.heard == "Chào \ufffd"


async def test_an_error_leaves_the_conversation_open(model: Any, terminal: Any) -> None:
    chat = await terminal("--lang", "vi")
    await chat.until("Hãy hỏi điều gì đó")
    chat.type("Hi" + ENTER)
    model.fail(RpcError(Code.INVALID_ARGUMENT, "Too long.", reason="CONTEXT_LENGTH_EXCEEDED"))
    await chat.until("Lỗi: Too long. (CONTEXT_LENGTH_EXCEEDED)")
    await chat.until("/new")
    await chat.until("Hãy hỏi điều gì đó")
    chat.type(CTRL_D)
    assert await chat.ended() == 0


async def test_a_prompt_at_a_terminal_is_answered_once(model: Any, terminal: Any) -> None:
    chat = await terminal("What", "now?")
    model.say("# This")
    model.end()
    await chat.until("This")
    assert await chat.ended() == 0
    assert model.heard == "What now?"


async def test_ctrl_c_ends_a_prompt_that_is_answered_once(model: Any, door: Any, terminal: Any) -> None:
    chat = await terminal("Count!")
    model.say("one, two")
    await chat.until("one, two")
    chat.type(CTRL_C)
    await door.cancelled.wait()
    assert await chat.ended() == 130


async def test_where_the_hub_tells_no_default_a_model_that_is_there_answers(
    model: Any, door: Any, terminal: Any
) -> None:
    async def others(request: ListModelsRequest) -> AsyncIterator[ListModelsResponse]:
        yield ListModelsResponse(models=[Model(name="quentin", state=ModelState.MODEL_STATE_READY)])

    door.answers[LIST_MODELS] = others
    chat = await terminal()
    assert "model quentin" in await chat.until("Ctrl-D leaves")
