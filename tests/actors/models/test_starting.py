"""Calls of a hub whose families are still being started."""

import asyncio

import pytest

from actors.models.directory import Directory
from actors.models.starting import START_SECONDS, Starting
from bus import Code, RpcError
from bus.testing.clock import run_at_once
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.liveness import Presence, Seen
from troupe.family.v1 import FamilyService
from troupe.model.v1 import GetModelRequest, Model, ModelState
from troupe.rpc.v1 import Absence

from .test_actor import COLOURS, Company

READY = ModelState.MODEL_STATE_READY
TORCH = Absence(actor="torch", part="transformers", services=[f"{FamilyService.INFO.name}[transformers]"])


async def test_a_call_waits_for_a_family_that_is_being_started(company: Company) -> None:
    starting = await company.member("colours")
    supervisor = await company.member("supervisor")
    supervisor.heart.awaits = lambda: ["colours"]
    supervisor.heart.absent = lambda: [TORCH]
    await supervisor.ready()
    await company.front(patience=0.6)
    with pytest.raises(RpcError) as caught:
        await company.models.get_model(GetModelRequest(name="small"))
    assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "FAMILY_UNAVAILABLE")
    assert caught.value.retry_after is not None
    assert "again by itself" not in caught.value.message
    told = asyncio.Event()

    async def load() -> list[Model]:
        answers = []
        async for answer in company.loading("small"):
            told.set()
            answers.append(answer)
        assert "not every family" in answers[0].progress.note
        return [answer.model for answer in answers if answer.HasField("model")]

    loading = asyncio.create_task(load())
    await told.wait()
    assert starting.heart.state == "starting"
    await company.end("colours")
    await company.family("colours")
    supervisor.heart.awaits = tuple
    supervisor.heart.state = "serving"
    [model] = await loading
    assert (model.name, model.state) == ("small", READY)
    assert await company.says("small", COLOURS.split()[0], tokens=1) == COLOURS.split()[1]


async def test_only_a_model_of_a_family_that_is_not_installed_is_refused_for_its_part(company: Company) -> None:
    supervisor = await company.member("supervisor")
    supervisor.heart.absent = lambda: [TORCH]
    await supervisor.ready()
    await company.family("colours")
    await company.front(patience=0.6)
    folder = company.home / "models" / "phi"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    for name, reason in (
        ("transformers/x", "PART_NOT_INSTALLED"),
        ("phi", "PART_NOT_INSTALLED"),
        ("nobody", "MODEL_NOT_FOUND"),
        ("../models/phi", "MODEL_NOT_FOUND"),
    ):
        with pytest.raises(RpcError) as caught:
            await company.load(name)
        assert caught.value.reason == reason


class Roll(Presence):
    """Processes as a test says."""

    def __init__(self, *seen: Seen) -> None:
        super().__init__(MemoryTransport(MemoryBroker()))
        self.seen = {each.process: each for each in seen}

    @property
    def processes(self) -> dict[str, Seen]:
        return self.seen


def supervisor(*awaits: str) -> Seen:
    return Seen("supervisor-1", "supervisor", "serving", (), 1, awaits=awaits)


def test_the_wait_has_an_end_and_there_is_none_where_nothing_starts() -> None:
    async def waited(*seen: Seen) -> float:
        loop = asyncio.get_running_loop()
        starting = Starting(Directory(), Roll(*seen), loop.time)
        began = loop.time()
        async for progress in starting.waiting("tiny"):
            assert progress.note
        return loop.time() - began

    assert run_at_once(waited(supervisor("llama"))) == pytest.approx(START_SECONDS)
    assert run_at_once(waited(supervisor())) == 0.0
    assert run_at_once(waited()) == pytest.approx(START_SECONDS), "nobody tells that nothing starts"


def test_where_a_family_answers_only_a_hub_that_starts_waits_for_others() -> None:
    now = 0.0
    directory = Directory()
    starting = Starting(directory, Roll(supervisor("llama")), lambda: now)
    directory.replace("words", [Model(name="small")])
    with pytest.raises(RpcError) as caught:
        directory.find("bea")
    assert starting.expects(caught.value)
    now = START_SECONDS
    assert not starting.expects(caught.value)
