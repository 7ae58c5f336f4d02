"""Tables, on JetStream and in memory."""

import asyncio
import itertools
from contextlib import aclosing

import pytest

from bus import Code, RpcError
from store import JetStream, JetStreamTable, MemoryTable, Table
from store.table import MAX_KEY_BYTES, MAX_VALUE_BYTES, WATCH_EVENTS
from troupe.rpc.v1 import Location

NAMES = itertools.count(1)

KEYS = ["plain", "a@b.c", "with space", "dots.and/slashes", "tiếng Việt", "=", "*", ">", "x" * MAX_KEY_BYTES]


@pytest.fixture(params=["jetstream", "memory"])
async def table(request: pytest.FixtureRequest, jetstream: JetStream) -> Table[Location]:
    if request.param == "memory":
        return MemoryTable("table", Location)
    return await JetStreamTable.open(jetstream, f"table{next(NAMES)}", Location)


def at(process: str) -> Location:
    return Location(process=process)


async def test_what_is_put_can_be_got_under_any_key(table: Table[Location]) -> None:
    for key in KEYS:
        await table.put(key, at(key))
    for key in KEYS:
        found = await table.get(key)
        assert found is not None
        assert found.value == at(key)
    assert sorted(await table.keys()) == sorted(KEYS)


async def test_what_is_not_there_is_none(table: Table[Location]) -> None:
    assert await table.get("nothing") is None
    assert await table.keys() == []
    await table.delete("nothing")


@pytest.mark.parametrize("key", ["", "x" * (MAX_KEY_BYTES + 1)])
async def test_a_key_that_is_none_is_refused(table: Table[Location], key: str) -> None:
    for attempt in (table.get(key), table.put(key, at("x")), table.create(key, at("x")), table.delete(key)):
        with pytest.raises(RpcError) as caught:
            await attempt
        assert caught.value.code is Code.INVALID_ARGUMENT


async def test_a_value_that_is_too_large_is_refused(table: Table[Location]) -> None:
    with pytest.raises(RpcError) as caught:
        await table.put("k", at("x" * MAX_VALUE_BYTES))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"
    await table.put("k", at("x" * (MAX_VALUE_BYTES - 100)))


async def test_of_many_that_create_a_key_one_succeeds(table: Table[Location]) -> None:
    outcomes = await asyncio.gather(*(table.create("k", at(str(n))) for n in range(20)), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, RpcError)]
    assert len(failures) == 19
    assert {failure.reason for failure in failures} == {"KEY_EXISTS"}


async def test_a_deleted_key_can_be_created_again_by_one(table: Table[Location]) -> None:
    await table.create("k", at("1"))
    await table.delete("k")
    assert await table.get("k") is None
    outcomes = await asyncio.gather(*(table.create("k", at(str(n))) for n in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1


async def test_of_many_that_replace_a_revision_one_succeeds(table: Table[Location]) -> None:
    revision = await table.put("k", at("0"))
    outcomes = await asyncio.gather(
        *(table.replace("k", at(str(n)), revision) for n in range(20)), return_exceptions=True
    )
    failures = [outcome for outcome in outcomes if isinstance(outcome, RpcError)]
    assert len(failures) == 19
    assert {failure.reason for failure in failures} == {"REVISION_CHANGED"}
    found = await table.get("k")
    assert found is not None
    assert found.revision > revision


async def test_a_watcher_sees_what_is_there_then_none_then_every_change(table: Table[Location]) -> None:
    await table.put("a@b", at("1"))
    found: list[tuple[str, Location | None] | None] = []
    async with asyncio.timeout(10), aclosing(table.watch()) as changes:
        async for change in changes:
            found.append((change.key, change.value) if change else None)
            if change is None:
                await table.put("c", at("2"))
                await table.delete("a@b")
            if len(found) == 4:
                break
    assert found == [("a@b", at("1")), None, ("c", at("2")), ("a@b", None)]


async def test_a_value_that_cannot_be_read_is_told_and_a_watcher_goes_on(jetstream: JetStream) -> None:
    table = await JetStreamTable.open(jetstream, f"table{next(NAMES)}", Location)
    name = f"table{next(NAMES) - 1}"
    await jetstream.publish(f"$KV.{name}.broken", b"\xff\xff\xff")
    with pytest.raises(RpcError) as caught:
        await table.get("broken")
    assert (caught.value.code, caught.value.reason) == (Code.DATA_LOSS, "STORED_VALUE_UNREADABLE")
    await table.put("good", at("1"))
    async with asyncio.timeout(10), aclosing(table.watch()) as changes:
        first, second = await anext(changes), await anext(changes)
    assert first is not None
    assert (first.key, second) == ("good", None)


async def test_an_entry_of_a_table_with_a_time_to_live_disappears(jetstream: JetStream) -> None:
    table = await JetStreamTable.open(jetstream, f"table{next(NAMES)}", Location, ttl=1.0, in_memory=True)
    await table.put("k", at("1"))
    assert await table.get("k") is not None
    async with asyncio.timeout(10):
        while await table.get("k") is not None:
            pass


async def test_in_memory_time_is_a_clock_that_is_handed_in() -> None:
    now = 0.0
    table = MemoryTable("table", Location, ttl=10.0, clock=lambda: now)
    await table.put("old", at("1"))
    now = 6.0
    await table.put("new", at("2"))
    await table.put("old", at("3"))
    now = 14.0
    assert await table.keys() == ["new", "old"]
    now = 16.5
    assert await table.get("new") is None
    assert await table.get("old") is None


async def test_a_watcher_that_is_too_slow_is_told() -> None:
    table = MemoryTable("table", Location)
    watcher = table.watch()
    assert await anext(watcher) is None
    for number in range(WATCH_EVENTS + 1):
        await table.put(str(number), at("1"))
    with pytest.raises(RpcError) as caught:
        async for _ in watcher:
            pass
    assert caught.value.code is Code.RESOURCE_EXHAUSTED


async def test_a_store_that_is_away_is_unavailable(jetstream: JetStream) -> None:
    table = await JetStreamTable.open(JetStream(jetstream.client, patience=0.2), f"table{next(NAMES)}", Location)
    await jetstream.context.delete_key_value(f"table{next(NAMES) - 1}")
    with pytest.raises(RpcError) as caught:
        await table.put("k", at("1"))
    assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")
