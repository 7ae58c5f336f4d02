"""Jobs that are done: in order, with news, paused, cancelled, preempted, failing, and by two processes at once."""

import asyncio
import sys
from contextlib import AsyncExitStack

import pytest

from bus import Behalf, Code, Priority, RpcError
from bus.context import current_behalf
from bus.testing import NatsServer
from bus.transports.nats import NatsTransport
from host.jobs import Housekeeper, Jobs, LostHold, Preempted, Running, Worker, rules
from host.liveness import Presence
from store import store_of
from troupe.rpc.v1 import Location, Progress

from .conftest import Town, name_of, submit, until

QUEUED, RUNNING, PAUSED = rules.QUEUED, rules.RUNNING, rules.PAUSED
SUCCEEDED, FAILED, CANCELLED = rules.SUCCEEDED, rules.FAILED, rules.CANCELLED


class Stage:
    """A handler whose jobs begin, and end when the test says so."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Running] = asyncio.Queue()
        self.go = asyncio.Event()
        self.stopped: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, running: Running) -> Location:
        self.begun.put_nowait(running)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.stopped.put_nowait(running.stopping)
            raise
        return Location(process=f"{name_of(running)} is done")


async def test_a_job_is_done_on_its_owners_behalf_and_its_result_is_kept(town: Town) -> None:
    here, there = await town.process("caller"), await town.process("worker")
    seen: list[Behalf | None] = []

    async def handler(running: Running) -> Location:
        seen.append(current_behalf())
        return Location(process=name_of(running).upper())

    await town.work(there, handler)
    owner = Behalf("alice", frozenset({"models"}), "key-1", Priority.BATCH)
    record = await until(here, await submit(here, "pull", owner), SUCCEEDED, behalf=owner)
    result = Location()
    assert record.job.result.Unpack(result)
    assert (result.process, seen) == ("PULL", [owner])
    assert [event.state for event in record.job.events] == [QUEUED, RUNNING, SUCCEEDED]


async def test_somebody_elses_job_is_not_found(town: Town) -> None:
    jobs = await town.process("one")
    job = await submit(jobs, "mine")
    for refused in (jobs.find(job.id, "bob"), jobs.ask(job.id, "bob", rules.CANCEL), jobs.resume(job.id, "bob")):
        with pytest.raises(RpcError) as caught:
            await refused
        assert (caught.value.code, caught.value.reason) == (Code.NOT_FOUND, "JOB_NOT_FOUND")
    with pytest.raises(RpcError, match="There is no job"):
        await jobs.find("no id/at all", "alice")
    assert await jobs.owned("bob") == []
    assert [record.job.id for record in await jobs.owned("alice")] == [job.id]


async def test_a_submit_that_is_repeated_under_its_id_is_one_job(town: Town) -> None:
    jobs, job_id = await town.process("one"), "ab" * 16
    first = await submit(jobs, "once", job_id=job_id)
    assert (await submit(jobs, "twice", job_id=job_id)).request == first.request
    with pytest.raises(RpcError, match="There is no job"):
        await submit(jobs, "guessed", Behalf("bob"), job_id=job_id)


async def test_the_most_urgent_goes_first(town: Town) -> None:
    jobs, done = await town.process("one"), []
    for name, priority in (("a", Priority.TRAINING), ("b", Priority.BATCH), ("c", Priority.INTERACTIVE)):
        await submit(jobs, name, priority=priority)
        town.clock.now += 1

    async def handler(running: Running) -> Location:
        done.append(name_of(running))
        return Location()

    await town.work(jobs, handler)
    for record in await jobs.owned("alice"):
        await until(jobs, record.job, SUCCEEDED)
    assert done == ["c", "b", "a"]


async def test_two_processes_do_each_job_once(town: Town) -> None:
    here, done = await town.process("caller"), []

    async def handler(running: Running) -> Location:
        done.append(name_of(running))
        await asyncio.sleep(0)
        return Location()

    for name in ("one", "two"):
        await town.work(await town.process(name), handler, at_once=2)
    jobs = [await submit(here, str(number)) for number in range(12)]
    for job in jobs:
        await until(here, job, SUCCEEDED)
    assert sorted(done, key=int) == [str(number) for number in range(12)]


async def test_news_of_a_running_job_reach_who_follows(town: Town) -> None:
    here, there, stage = await town.process("caller"), await town.process("worker"), Stage()
    await town.work(there, stage)
    job = await submit(here, "slow")
    running = await stage.begun.get()
    running.tell(Progress(fraction=0.5, note="Half of it."))
    async for record in here.follow(job.id, "alice"):
        if record.job.progress.fraction == 0.5:
            assert record.job.events[-1].note == "Half of it."
            break
    stage.go.set()
    await until(here, job, SUCCEEDED)


async def test_a_running_job_is_paused_goes_on_from_what_it_kept_and_is_cancelled(town: Town) -> None:
    here, there, stage = await town.process("caller"), await town.process("worker"), Stage()
    await town.work(there, stage)
    job = await submit(here, "long")
    running = await stage.begun.get()
    await running.keep(Location(process="step 7"))
    await here.ask(job.id, "alice", rules.PAUSE)
    assert await stage.stopped.get() == "pause"
    paused = await until(here, job, PAUSED)
    assert (paused.job.failed_attempts, paused.job.interruptions, paused.holder) == (0, 0, "")
    await here.resume(job.id, "alice")
    again = await stage.begun.get()
    assert again.kept(Location) == Location(process="step 7")
    await here.ask(job.id, "alice", rules.CANCEL)
    assert await stage.stopped.get() == "cancel"
    assert (await until(here, job, CANCELLED)).job.asked == rules.NOTHING
    with pytest.raises(LostHold):
        await again.keep(Location())


async def test_a_job_that_waits_is_paused_and_cancelled_without_a_worker(town: Town) -> None:
    jobs = await town.process("one")
    job = await submit(jobs, "never")
    assert (await jobs.ask(job.id, "alice", rules.PAUSE)).job.state == PAUSED
    assert (await jobs.resume(job.id, "alice")).job.state == QUEUED
    assert (await jobs.ask(job.id, "alice", rules.CANCEL)).job.state == CANCELLED
    with pytest.raises(RpcError, match="submit a new one"):
        await jobs.resume(job.id, "alice")


async def test_a_job_gives_way_as_often_as_it_must_and_a_worker_that_leaves_gives_its_job_back(town: Town) -> None:
    jobs, tries = await town.process("one"), 0

    async def handler(running: Running) -> Location:
        nonlocal tries
        tries += 1
        if tries < 8:
            raise Preempted("For a voice.")
        await asyncio.Event().wait()
        raise AssertionError

    worker = await Worker(jobs, "test", {"test.do": handler}).__aenter__()
    job = await submit(jobs, "yielding", attempts=1)
    async for record in jobs.follow(job.id, "alice"):
        if record.job.interruptions == 7 and record.job.state == RUNNING:
            break
    await worker.__aexit__(None, None, None)
    record = await jobs.find(job.id, "alice")
    assert (record.job.state, record.job.interruptions, record.job.failed_attempts) == (QUEUED, 8, 0)
    stage = Stage()
    stage.go.set()
    await town.work(await town.process("two"), stage)
    await until(jobs, job, SUCCEEDED)


async def test_what_may_pass_is_tried_again_when_its_time_has_come_and_what_stays_is_told(town: Town) -> None:
    jobs, tries = await town.process("one"), 0

    async def handler(running: Running) -> Location:
        nonlocal tries
        tries += 1
        if name_of(running) == "wrong":
            raise RpcError(Code.INVALID_ARGUMENT, "No such model.", reason="MODEL_NOT_FOUND", metadata={"name": "x"})
        if name_of(running) == "broken":
            raise ZeroDivisionError
        if tries == 1:
            raise RpcError(Code.UNAVAILABLE, "The index is away.", reason="SOURCE_UNAVAILABLE")
        return Location()

    await town.work(jobs, handler)
    job = await submit(jobs, "flaky")
    async for record in jobs.follow(job.id, "alice"):
        if record.job.failed_attempts:
            break
    assert tries == 1
    town.clock.now += rules.FIRST_DELAY_SECONDS
    await until(jobs, job, SUCCEEDED)
    error = RpcError.from_status((await until(jobs, await submit(jobs, "wrong"), FAILED)).job.error)
    assert (error.reason, error.message, error.metadata) == ("MODEL_NOT_FOUND", "No such model.", {"name": "x"})
    error = RpcError.from_status((await until(jobs, await submit(jobs, "broken"), FAILED)).job.error)
    assert (error.code, bool(error.reference)) == (Code.INTERNAL, True)


async def test_one_owner_has_so_many_live_jobs_and_no_more(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.jobs.ledger.MAX_LIVE", 2)
    jobs = await town.process("one")
    first = await submit(jobs, "a")
    await submit(jobs, "b")
    with pytest.raises(RpcError) as caught:
        await submit(jobs, "c")
    assert caught.value.reason == "JOBS_FULL"
    await submit(jobs, "somebody else's", Behalf("bob"))
    await jobs.ask(first.id, "alice", rules.CANCEL)
    await submit(jobs, "c")


PROGRAM = """\
import asyncio, sys
from bus.transports.nats import NatsTransport
from host.jobs import Worker
from host.member import Member
from host.settings import Settings
from troupe.rpc.v1 import Location, Progress

async def handler(running):
    kept = running.kept(Location)
    start = int(kept.process) if kept else 0
    for step in range(start, 40):
        await running.keep(Location(process=str(step + 1)))
        print(step, flush=True)
        await asyncio.sleep(0.02)
    return Location(process=str(start))

async def main():
    transport = await NatsTransport.connect(sys.argv[1], sys.argv[2])
    async with Member(Settings(), sys.argv[2], transport=transport) as member:
        async with Worker(member.jobs, "test", {"test.do": handler}):
            await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_job_whose_worker_is_killed_goes_on_in_another_from_what_it_kept(nats_server: NatsServer) -> None:
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        transport = await NatsTransport.connect(nats_server.url, "caller")
        stack.push_async_callback(transport.close)
        jobs, presence = Jobs(store_of(transport), "caller"), Presence(transport)
        stack.push_async_callback(jobs.close)
        keeping = asyncio.create_task(Housekeeper(jobs, presence).run())
        await presence.start()
        stack.push_async_callback(presence.stop)
        job = await submit(jobs, "long")
        workers: dict[str, asyncio.subprocess.Process] = {}
        for name in ("worker-1", "worker-2"):
            workers[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-c", PROGRAM, nats_server.url, name, stdout=asyncio.subprocess.PIPE
            )
        try:
            holder = (await until(jobs, job, RUNNING)).holder.rpartition("-")[0]
            output = workers[holder].stdout
            assert output is not None
            while (await output.readline()).strip() != b"10":
                pass
            workers[holder].kill()
            record = await until(jobs, job, SUCCEEDED)
        finally:
            for process in workers.values():
                if process.returncode is None:
                    process.kill()
                await process.communicate()
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    began = Location()
    assert record.job.result.Unpack(began)
    assert int(began.process) >= 10
    assert (record.job.failed_attempts, record.job.interruptions) == (1, 0)


async def test_a_job_outlives_a_store_that_is_away(nats_server: NatsServer) -> None:
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        transport = await NatsTransport.connect(nats_server.url, "one")
        stack.push_async_callback(transport.close)
        town, stage = Town(lambda name: NatsTransport.connect(nats_server.url, name), stack), Stage()
        jobs = await town.process("one")
        await town.work(jobs, stage)
        job, waits = await submit(jobs, "a"), await submit(jobs, "b")
        await stage.begun.get()
        nats_server.kill()
        stage.go.set()
        await asyncio.to_thread(nats_server.start)
        await until(jobs, job, SUCCEEDED)
        await until(jobs, waits, SUCCEEDED)
