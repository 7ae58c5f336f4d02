"""Work queues, on JetStream and in memory."""

import asyncio
import itertools

import pytest

from bus import RpcError
from store import JetStream, JetStreamWorkQueue, Job, MemoryWorkQueue, WorkQueue
from troupe.rpc.v1 import Location

NAMES = itertools.count(1)


async def make(kind: str, jetstream: JetStream, **options: float) -> WorkQueue[Location]:
    settings = {"attempts": 3, "busy_seconds": 0.3, **options}
    if kind == "memory":
        return MemoryWorkQueue(Location, **settings)  # type: ignore[arg-type]  # numbers of either kind
    name = f"jobs{next(NAMES)}"
    return await JetStreamWorkQueue.open(jetstream, name, Location, **settings)  # type: ignore[arg-type]  # as above


@pytest.fixture(params=["jetstream", "memory"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def queue(kind: str, jetstream: JetStream) -> WorkQueue[Location]:
    return await make(kind, jetstream)


def job(name: str) -> Location:
    return Location(process=name)


async def taken(queue: WorkQueue[Location]) -> Job[Location]:
    found = await queue.take(10.0)
    assert found is not None
    return found


async def test_jobs_are_taken_in_order_and_done_jobs_are_gone(queue: WorkQueue[Location]) -> None:
    for name in "abc":
        await queue.publish(job(name))
    for name in "abc":
        found = await taken(queue)
        assert (found.value.process, found.attempt) == (name, 1)
        await found.done()
    assert await queue.take(0.05) is None


async def test_a_waiting_worker_hears_of_a_new_job(queue: WorkQueue[Location]) -> None:
    waiting = asyncio.ensure_future(taken(queue))
    await asyncio.wait([waiting], timeout=0.05)
    await queue.publish(job("a"))
    assert (await waiting).value == job("a")


async def test_two_workers_never_have_the_same_job(queue: WorkQueue[Location]) -> None:
    for number in range(20):
        await queue.publish(job(str(number)))
    done: list[str] = []

    async def work() -> None:
        while len(done) < 20:
            found = await queue.take(0.1)
            if found is not None:
                done.append(found.value.process)
                await found.done()

    async with asyncio.timeout(20):
        await asyncio.gather(work(), work(), work())
    assert sorted(done, key=int) == [str(number) for number in range(20)]


async def test_the_same_job_twice_is_one_job(queue: WorkQueue[Location]) -> None:
    await queue.publish(job("a"), "id")
    await queue.publish(job("a"), "id")
    await (await taken(queue)).done()
    assert await queue.take(0.05) is None


async def test_an_id_is_free_again_after_its_time(kind: str, jetstream: JetStream) -> None:
    queue = await make(kind, jetstream, repeated_seconds=0.5)
    await queue.publish(job("a"), "id")
    await (await taken(queue)).done()
    await queue.publish(job("a"), "id")
    assert await queue.take(0.05) is None
    async with asyncio.timeout(20):
        while (again := await queue.take(0.1)) is None:
            await queue.publish(job("a"), "id")
    assert (again.value, again.attempt) == (job("a"), 1)
    await again.done()


async def test_a_job_whose_worker_says_nothing_comes_again_and_a_busy_one_keeps_it(queue: WorkQueue[Location]) -> None:
    await queue.publish(job("a"))
    first = await taken(queue)
    for _ in range(4):
        assert await queue.take(0.15) is None
        await first.busy()
    again = await taken(queue)
    assert again.attempt == 2
    await again.done()


async def test_a_job_that_is_tried_again_waits_and_then_becomes_a_dead_letter(queue: WorkQueue[Location]) -> None:
    await queue.publish(job("a"))
    for attempt in (1, 2, 3):
        found = await taken(queue)
        assert found.attempt == attempt
        await found.retry(0.05)
    assert await queue.take(0.4) is None
    (letter,) = await queue.dead_letters()
    assert (Location.FromString(letter.data), letter.attempts) == (job("a"), 3)
    assert "every attempt" in letter.reason


async def test_a_job_whose_workers_all_die_becomes_a_dead_letter(queue: WorkQueue[Location]) -> None:
    await queue.publish(job("a"))
    for _ in range(3):
        await taken(queue)
    assert await queue.take(1.0) is None
    (letter,) = await queue.dead_letters()
    assert "without a word" in letter.reason


async def test_a_job_that_can_never_be_done_is_given_up_with_its_reason(queue: WorkQueue[Location]) -> None:
    await queue.publish(job("a"))
    await (await taken(queue)).give_up("tệp bị hỏng:\nbroken")
    (letter,) = await queue.dead_letters()
    assert (letter.reason, letter.attempts) == ("tệp bị hỏng:\nbroken", 1)
    assert await queue.take(0.05) is None


async def test_a_full_queue_refuses(kind: str, jetstream: JetStream) -> None:
    queue = await make(kind, jetstream, max_jobs=2)
    for name in "ab":
        await queue.publish(job(name))
    with pytest.raises(RpcError) as caught:
        await queue.publish(job("c"))
    assert caught.value.reason == "STORE_FULL"
    await (await taken(queue)).done()
    await queue.publish(job("c"))


async def test_what_is_no_job_is_buried_and_the_next_is_given(kind: str, jetstream: JetStream) -> None:
    queue = await make(kind, jetstream)
    if isinstance(queue, MemoryWorkQueue):
        await queue.publish_bytes(b"\xff\xff\xff")
    else:
        await jetstream.publish(f"work.jobs{next(NAMES) - 1}", b"\xff\xff\xff")
    await queue.publish(job("good"))
    assert (await taken(queue)).value == job("good")
    (letter,) = await queue.dead_letters()
    assert letter.data == b"\xff\xff\xff"
