"""Removing models through the front: what is in use stays, unless it is forced."""

import pytest

from bus import Code, RpcError
from troupe.model.v1 import PinModelRequest, RemoveModelRequest, SetAliasRequest, UnloadModelRequest

from .test_actor import Company


async def remove(company: Company, name: str, *, force: bool = False) -> int:
    return (await company.models.remove_model(RemoveModelRequest(name=name, force=force))).bytes


async def test_what_nobody_uses_is_removed(company: Company) -> None:
    await company.family("colours")
    await company.front("colours", patience=1.1)
    assert await remove(company, "rainbow") == len("violet indigo")
    assert list(await company.listed()) == ["small"]
    with pytest.raises(RpcError) as caught:
        await remove(company, "rainbow")
    assert caught.value.reason == "MODEL_NOT_FOUND"


async def test_what_is_loaded_pinned_or_has_aliases_says_so_and_is_removed_by_force(company: Company) -> None:
    await company.family("colours")
    await company.front("colours", patience=1.1)
    await company.load("rainbow")
    await company.models.pin_model(PinModelRequest(name="rainbow"))
    await company.models.set_alias(SetAliasRequest(alias="best", model="rainbow"))
    with pytest.raises(RpcError, match="it is loaded, it is pinned, best means it") as caught:
        await remove(company, "rainbow")
    assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "MODEL_IN_USE")
    await company.models.unload_model(UnloadModelRequest(name="rainbow"))
    with pytest.raises(RpcError, match="use: it is pinned, best means it"):
        await remove(company, "rainbow")
    await company.load("rainbow")
    with pytest.raises(RpcError, match="is an alias; name the model itself, colours/rainbow"):
        await remove(company, "best", force=True)
    assert await remove(company, "colours/rainbow", force=True) == len("violet indigo")
    assert list(await company.listed()) == ["small"]
    with pytest.raises(RpcError) as caught:
        await company.load("best")
    assert caught.value.reason == "MODEL_NOT_FOUND"


async def test_what_cannot_be_removed_is_not_unloaded_for_it(company: Company) -> None:
    await company.family("colours")
    await company.front("colours", patience=1.1)
    await company.load("small")
    with pytest.raises(RpcError, match="it came with the test") as caught:
        await remove(company, "small", force=True)
    assert caught.value.reason == "MODEL_NOT_REMOVABLE"
    assert await company.says("small", "red") == "green blue ?"
