"""Other names of models: their versions, and what calls under them reach, at the front and on the bus."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.models.aliases import VERSIONS, check_name, moved, rolled_back
from bus import Code, RpcError
from bus.resolver import resolver
from host.member import method_of
from host.settings import ModelSettings
from troupe.model.v1 import (
    Alias,
    GetModelRequest,
    ListAliasesRequest,
    RemoveAliasRequest,
    RollbackAliasRequest,
    SetAliasRequest,
)

from .test_actor import Company, names


def there(model: str) -> bool:
    return True


def test_an_alias_that_moves_keeps_what_it_meant_and_goes_back_to_it() -> None:
    alias = moved(None, "best", "f/a", "alice", 1.0)
    alias = moved(alias, "best", "f/b", "bob", 2.0)
    assert moved(alias, "best", "f/b", "bob", 3.0) == alias
    assert [(each.number, each.model, each.set_by) for each in alias.versions] == [
        (1, "f/a", "alice"),
        (2, "f/b", "bob"),
    ]
    back = rolled_back(alias, 0, there)
    assert (back.model, back.version, len(back.versions)) == ("f/a", 1, 2)
    assert rolled_back(back, 2, there).model == "f/b"
    after = moved(back, "best", "f/c", "", 4.0)
    assert (after.model, after.version) == ("f/c", 3)


@pytest.mark.parametrize(("version", "exists"), [(0, True), (7, True), (1, False)])
def test_a_version_that_is_not_there_or_whose_model_is_gone_is_refused(version: int, exists: bool) -> None:
    alias = moved(None, "best", "f/a", "", 1.0)
    with pytest.raises(RpcError) as caught:
        rolled_back(alias, version, lambda _: exists)
    assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "ALIAS_HAS_NO_SUCH_VERSION")


@given(st.lists(st.sampled_from(["f/a", "f/b", "f/c", 0, 1, 2, 3]), max_size=150))
def test_whatever_happens_the_version_that_holds_is_kept_and_is_what_the_alias_means(steps: list[str | int]) -> None:
    alias = moved(None, "best", "f/a", "", 0.0)
    for step in steps:
        try:
            alias = moved(alias, "best", step, "", 0.0) if isinstance(step, str) else rolled_back(alias, step, there)
        except RpcError:
            continue
        held = {each.number: each.model for each in alias.versions}
        assert held[alias.version] == alias.model
        assert list(held) == sorted(held)
        assert len(held) <= VERSIONS


@pytest.mark.parametrize("name", ["", "a b", "x" * 101, "default", "a\tb", "\x00"])
def test_what_can_be_no_alias_is_refused(name: str) -> None:
    with pytest.raises(RpcError) as caught:
        check_name(name)
    assert (caught.value.code, caught.value.field) == (Code.INVALID_ARGUMENT, "alias")
    check_name("gpt-4o:latest/ữ")


# ---- with families, a front, and processes of models


async def set_alias(company: Company, alias: str, model: str) -> Alias:
    return (await company.models.set_alias(SetAliasRequest(alias=alias, model=model))).alias


async def test_an_alias_of_the_settings_is_called_on_the_bus(company: Company) -> None:
    await company.family("colours")
    await company.front("colours", names=ModelSettings(aliases={"gpt-4o": "rainbow"}))
    company.channel.resolver = resolver(company.channel, method_of)
    assert await company.says("gpt-4o", "violet") == "indigo ? violet"  # which loads it
    assert names(await company.listed(), "rainbow") == ["colours/rainbow", "rainbow", "gpt-4o"]


async def test_an_alias_is_given_moved_rolled_back_and_taken_away_while_models_serve(company: Company) -> None:
    await company.family("colours")
    await company.family("numbers")
    await company.front("numbers", "colours", patience=1.1)
    company.channel.resolver = resolver(company.channel, method_of)
    for name in ("rainbow", "primes"):
        await company.load(name)
    assert (await set_alias(company, "best", "rainbow")).model == "colours/rainbow"
    assert await company.says("best", "violet") == "indigo ? violet"
    assert (await set_alias(company, "best", "primes")).version == 2
    assert await company.says("best", "2 3") == "5 7 ?"
    listed = await company.listed()
    assert (list(listed["primes"].aliases), list(listed["rainbow"].aliases)) == (["best"], [])
    back = (await company.models.rollback_alias(RollbackAliasRequest(alias="best"))).alias
    assert (back.model, [each.model for each in back.versions]) == (
        "colours/rainbow",
        ["colours/rainbow", "numbers/primes"],
    )
    assert await company.says("best", "violet") == "indigo ? violet"
    await company.models.remove_alias(RemoveAliasRequest(alias="best"))
    with pytest.raises(RpcError) as caught:
        await company.says("best", "violet")
    assert caught.value.reason == "MODEL_NOT_FOUND"


async def test_aliases_and_their_versions_outlast_the_front_and_follow_no_model_of_the_same_name(
    company: Company,
) -> None:
    await company.family("colours")
    await company.family("numbers")
    await company.front("numbers", "colours", patience=1.1)
    await set_alias(company, "best", "primes")
    await set_alias(company, "best", "colours/small")
    await set_alias(company, "second", "best")
    company.channel.resolver = resolver(company.channel, method_of)
    await company.end("models")
    await company.front("numbers", "colours", patience=1.1)
    listed = (await company.models.list_aliases(ListAliasesRequest())).aliases
    assert [(each.name, each.model, each.version) for each in listed] == [
        ("best", "colours/small", 2), ("second", "colours/small", 1),
    ]  # fmt: skip
    assert await company.says("second", "red") == "green blue ?"


async def test_a_model_that_comes_under_the_name_of_an_alias_is_called_by_its_full_name(company: Company) -> None:
    await company.family("colours")
    await company.front("colours", patience=1.1)
    company.channel.resolver = resolver(company.channel, method_of)
    await set_alias(company, "warm", "rainbow")
    company.words("colours", warm="rose ochre")
    listed = await company.until(lambda models: "colours/warm" in models)
    assert "alias of colours/rainbow" in listed["colours/warm"].note
    assert await company.says("warm", "violet") == "indigo ? violet"
    assert await company.says("colours/warm", "rose") == "ochre ? rose"


@pytest.mark.parametrize(
    ("alias", "model", "code", "reason"),
    [
        ("gpt-4o", "small", Code.FAILED_PRECONDITION, "ALIAS_FIXED"),
        ("small", "rainbow", Code.ALREADY_EXISTS, "ALIAS_IS_A_MODEL"),
        ("colours/small", "rainbow", Code.ALREADY_EXISTS, "ALIAS_IS_A_MODEL"),
        ("new", "raimbow", Code.NOT_FOUND, "MODEL_NOT_FOUND"),
        ("a b", "rainbow", Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    ],
)
async def test_an_alias_that_may_not_be_is_refused(
    company: Company, alias: str, model: str, code: Code, reason: str
) -> None:
    await company.family("colours")
    await company.front("colours", names=ModelSettings(aliases={"gpt-4o": "rainbow"}))
    with pytest.raises(RpcError) as caught:
        await set_alias(company, alias, model)
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert [each.fixed for each in (await company.models.list_aliases(ListAliasesRequest())).aliases] == [True]


async def test_what_the_settings_name_cannot_be_taken_away_and_what_is_not_there_neither(company: Company) -> None:
    await company.family("colours")
    await company.front("colours", names=ModelSettings(aliases={"gpt-4o": "rainbow"}))
    for alias, reason in (("gpt-4o", "ALIAS_FIXED"), ("gpt-5", "ALIAS_NOT_FOUND")):
        with pytest.raises(RpcError) as caught:
            await company.models.remove_alias(RemoveAliasRequest(alias=alias))
        assert caught.value.reason == reason
        with pytest.raises(RpcError) as caught:
            await company.models.rollback_alias(RollbackAliasRequest(alias=alias))
        assert caught.value.reason == reason


async def test_the_default_may_be_an_alias_that_is_given_while_the_hub_runs(company: Company) -> None:
    await company.family("colours")
    await company.front("colours", names=ModelSettings(default="best"))
    await set_alias(company, "best", "rainbow")
    assert (await company.models.get_model(GetModelRequest(name="default"))).model.name == "rainbow"
