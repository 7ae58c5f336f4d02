import openai
import pytest


async def test_models_are_listed_by_name(client: openai.AsyncOpenAI) -> None:
    found = [model async for model in client.models.list()]
    assert [model.id for model in found] == ["scripted", "org/other"]
    assert (found[0].object, found[0].owned_by, found[0].created) == ("model", "troupe", 1_700_000_000)


@pytest.mark.parametrize("name", ["scripted", "org/other"])
async def test_one_model_is_found_by_its_name_slashes_and_all(client: openai.AsyncOpenAI, name: str) -> None:
    assert (await client.models.retrieve(name)).id == name


async def test_an_unknown_model_is_not_found_and_the_nearest_is_named(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Did you mean scripted") as caught:
        await client.models.retrieve("scriptet")
    assert caught.value.code == "model_not_found"
