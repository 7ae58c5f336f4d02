"""Names under which a family's models are served."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.model.names import Names
from bus import RpcError


def test_until_it_is_told_a_family_serves_models_under_their_full_names_alone() -> None:
    names = Names("f")
    assert names.wanted("m") == ("f/m",)
    names.tell(["other"])
    assert names.wanted("m") == ("f/m", "m")
    assert names.wanted("other") == ("f/other",)


def test_a_model_is_served_under_its_other_names_too_while_it_has_them() -> None:
    names = Names("f")
    names.tell(["x"], {"m": ["gpt-4o", "small"], "x": ["large"]})
    assert names.wanted("m") == ("f/m", "m", "gpt-4o", "small")
    assert names.wanted("x") == ("f/x", "large")
    names.tell([])
    assert names.wanted("m") == ("f/m", "m")


async def test_a_process_is_answered_when_its_names_should_be_others() -> None:
    names = Names("f")
    assert await names.differing("m", ()) == ("f/m",)
    waiting = asyncio.create_task(names.differing("m", ("f/m",)))
    names.tell(["x"])
    assert await waiting == ("f/m", "m")
    waiting = asyncio.create_task(names.differing("m", ("f/m", "m")))
    names.tell(["m"])
    assert await waiting == ("f/m",)


async def test_a_start_waits_until_the_process_serves_the_wanted_names() -> None:
    names = Names("f")
    await names.settled("m")  # nobody asks for names: nobody is waited for
    names.note("m", ())
    waiting = asyncio.create_task(names.settled("m"))
    names.tell([])
    await asyncio.sleep(0)
    assert not waiting.done()
    names.note("m", ("f/m", "m"))
    await waiting
    names.note("m", ())
    waiting = asyncio.create_task(names.settled("m"))
    await asyncio.sleep(0)
    names.forget("m")
    await waiting


async def test_who_waits_is_told_when_the_family_leaves() -> None:
    names = Names("f")
    waiting = asyncio.create_task(names.differing("m", ("f/m",)))
    await asyncio.sleep(0)
    names.close()
    with pytest.raises(RpcError) as refusal:
        await waiting
    assert refusal.value.reason == "SHUTTING_DOWN"
    assert await names.differing("m", ()) == ("f/m",)


@given(st.lists(st.frozensets(st.sampled_from("abc")), max_size=6))
async def test_a_process_that_follows_ends_with_the_wanted_names(changes: list[frozenset[str]]) -> None:
    names, served = Names("f"), {model: tuple[str, ...]() for model in "abc"}
    for withheld in changes:
        names.tell(withheld)
        for model, before in served.items():
            if before != names.wanted(model):
                served[model] = await names.differing(model, before)
                names.note(model, served[model])
            await names.settled(model)
    assert all(names.served(model) in ((), names.wanted(model)) for model in served)
