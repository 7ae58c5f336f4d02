from typing import Any

import httpx
import openai
import pytest

from host.settings import ModelSettings


async def test_models_are_listed_by_name(client: openai.AsyncOpenAI) -> None:
    found = [model async for model in client.models.list()]
    assert [model.id for model in found] == ["scripted", "org/other", "coming", "best"]
    assert (found[0].object, found[0].owned_by, found[0].created) == ("model", "troupe", 1_700_000_000)


async def test_the_list_says_what_is_loaded_and_which_names_are_given_while_the_hub_runs(
    client: openai.AsyncOpenAI,
) -> None:
    said = {model.id: model.model_extra or {} for model in (await client.models.list()).data}
    assert {name: (each["status"], each.get("alias_of")) for name, each in said.items()} == {
        "scripted": ("loaded", None),
        "org/other": ("available", None),
        "coming": ("loading", None),
        "best": ("available", "org/other"),
    }
    one = (await client.models.retrieve("scripted")).model_extra or {}
    assert one["status"] == "loaded"


@pytest.mark.parametrize("name", ["scripted", "org/other"])
async def test_one_model_is_found_by_its_name_slashes_and_all(client: openai.AsyncOpenAI, name: str) -> None:
    assert (await client.models.retrieve(name)).id == name


async def test_an_unknown_model_is_not_found_and_the_nearest_is_named(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Did you mean scripted") as caught:
        await client.models.retrieve("scriptet")
    assert caught.value.code == "model_not_found"


# ---- aliases and the default


async def test_an_alias_is_answered_by_its_model_under_the_name_that_was_asked_for(scripted: Any) -> None:
    names = ModelSettings(default="scripted", aliases={"gpt-4o": "scripted"})
    async with scripted.door(models=names) as door, httpx.AsyncClient(base_url=door.url, trust_env=False) as http:
        request: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
        for model, shown in (("gpt-4o", "gpt-4o"), ("", "scripted"), ("default", "default"), (None, "scripted")):
            response = await http.post(
                "/v1/chat/completions", json=request | ({} if model is None else {"model": model})
            )
            assert response.status_code == 200, response.text
            assert response.json()["model"] == shown
            assert response.headers["x-troupe-model"] == "scripted"
        stream = await http.post("/v1/chat/completions", json={**request, "model": "gpt-4o", "stream": True})
        assert '"model":"gpt-4o"' in stream.text
        assert stream.headers["x-troupe-model"] == "scripted"
        listed = {model["id"]: model for model in (await http.get("/v1/models")).json()["data"]}
        assert listed["gpt-4o"]["alias_of"] == "scripted"
        assert [listed["scripted"]["default"], listed["gpt-4o"]["default"]] == [True, True]
        assert (await http.get("/v1/models/gpt-4o")).json()["id"] == "gpt-4o"
