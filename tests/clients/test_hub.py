import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import troupe_client
from troupe.chat.v1 import Delta, GenerateRequest, GenerateResponse
from troupe_client import Hub


def test_the_public_surface_is_what_it_says() -> None:
    assert sorted(troupe_client.__all__) == [
        "Blobs",
        "BusyStream",
        "Code",
        "ConnectionLost",
        "Conversation",
        "DEFAULT_MODEL",
        "GrpcChannel",
        "Hub",
        "HubUnreachable",
        "RequestsLost",
        "RpcError",
        "connect",
        "text_of",
        "turn",
    ]
    assert all(hasattr(troupe_client, name) for name in troupe_client.__all__)


def test_a_hub_is_made_outside_of_an_event_loop_and_connects_to_nothing() -> None:
    assert not troupe_client.connect("127.0.0.1:1").channel.connected


def test_importing_the_client_takes_none_of_the_hub_along() -> None:
    script = "import sys, troupe_client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"gateway", "actors", "cli", "prompt_toolkit", "uvicorn", "starlette"} & set(loaded)


async def test_who_names_no_model_asks_whichever_the_hub_has_for_that(hub: Hub, door: Any) -> None:
    asked = []

    async def answer(request: GenerateRequest) -> AsyncIterator[GenerateResponse]:
        asked.append(request.model)
        yield GenerateResponse(delta=Delta(text="Yes."))

    door.answers["troupe.chat.v1.ChatService/Generate"] = answer
    assert [piece async for piece in hub.ask("Is it?")] == ["Yes."]
    assert await hub.conversation().reply("Is it?") == "Yes."
    assert [piece async for piece in hub.ask("Is it?", model="quentin")] == ["Yes."]
    assert asked == ["default", "default", "quentin"]
