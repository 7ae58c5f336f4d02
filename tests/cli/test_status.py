"""`troupe status` of a hub behind a door, of one that starts, and of none."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.status import Status, told
from gateway.settings import load
from host.running import Running, held, record
from troupe.health.v1 import Actor, ActorState, CheckResponse
from troupe.model.v1 import Model, ModelState

from .conftest import Run

NOW = 1_800_000_000.0


def actor(name: str, state: ActorState, ago: float, **more: object) -> Actor:
    made = Actor(name=name, state=state, **more)  # type: ignore[arg-type]  # fields by name
    made.since.FromNanoseconds(int((NOW - ago) * 1e9))
    return made


def health(*actors: Actor) -> CheckResponse:
    made = CheckResponse(actors=actors, version="1.2")
    made.started.FromNanoseconds(int((NOW - 7500) * 1e9))
    return made


SERVING = actor("echo", ActorState.ACTOR_STATE_SERVING, 7000)
FAILING = actor("llama", ActorState.ACTOR_STATE_BACKING_OFF, 3, restarts=2, last_exit="ended by SIGILL")
TINY = Model(name="tiny", state=ModelState.MODEL_STATE_READY, default=True)
SPARE = Model(name="spare", state=ModelState.MODEL_STATE_AVAILABLE)


@contextmanager
def running(home: Path, grpc: str) -> Iterator[Running]:
    """A hub holds this home, as far as others can see."""
    home.mkdir(exist_ok=True)
    own = Running(process=4242, started=NOW, doors={"http": "127.0.0.1:8", "grpc": grpc}, bus="nats://127.0.0.1:9")
    with held(home):
        record(home, own)
        yield own


def test_everything_that_serves_is_told_and_what_could_be_loaded_is_counted(tmp_path: Path) -> None:
    settings = load(None, {"TROUPE_HOME": str(tmp_path)})
    status = Status("hub:1", health(SERVING), [TINY, SPARE])
    said = "\n".join(told(status, None, settings, NOW))
    assert said.startswith("Troupe 1.2, up for 2 h 5 min\n  gRPC  hub:1\n\nPROCESS")
    assert "tiny   ready *" in said
    assert "1 more can be loaded" in said
    assert str(tmp_path) not in said
    assert status.serves


def test_what_does_not_serve_is_told_with_its_last_end(tmp_path: Path) -> None:
    status = Status("hub:1", health(SERVING, FAILING), [])
    said = told(status, None, load(None, {"TROUPE_HOME": str(tmp_path)}), NOW)
    line = next(line for line in said if line.startswith("llama"))
    assert line.split() == ["llama", "backing", "off", "3", "s", "2", "ended", "by", "SIGILL"]
    assert not status.serves


async def test_a_hub_without_a_supervisor_tells_its_models(troupe: Run, door: str) -> None:
    ended = await troupe("status", "--target", door)
    assert ended.code == 0
    assert "No model is loaded; 1 can be" in ended.out
    assert "The processes cannot be told: " in ended.out


async def test_the_hub_of_this_home_is_found_without_an_address(troupe: Run, door: str, tmp_path: Path) -> None:
    with running(tmp_path / "home", door):
        ended = await troupe("status")
        assert (ended.code, "(process 4242)" in ended.out, "Page  http://127.0.0.1:8/" in ended.out) == (0, True, True)
        assert "words: fetching 25%" in ended.out
        assert (await troupe("call", "Echo", '{"text": "hi"}')).out == '{"text": "hi"}\n'
        told = json.loads((await troupe("status", "--json")).out)
        assert (told["serves"], told["health"], told["models"][0]["name"]) == (True, None, "tiny")


async def test_a_hub_whose_door_is_not_open_yet_starts(troupe: Run, unused_tcp_port: int, tmp_path: Path) -> None:
    with running(tmp_path / "home", f"127.0.0.1:{unused_tcp_port}"):
        ended = await troupe("status")
    assert (ended.code, "(process 4242)" in ended.out, "does not answer yet" in ended.out) == (1, True, True)


async def test_where_no_hub_runs_it_says_so(troupe: Run, unused_tcp_port: int) -> None:
    ended = await troupe("status", "--port", str(unused_tcp_port))
    assert (ended.code, "No Troupe hub answers" in ended.err) == (2, True)


def test_a_family_or_a_supervisor_that_does_not_answer_and_trouble_are_no_success() -> None:
    away = Model(name="tiny", state=ModelState.MODEL_STATE_UNAVAILABLE, error="The family llama is away.")
    troubled = actor("llama", ActorState.ACTOR_STATE_SERVING, 7, trouble="tiny is started again.")
    assert Status("h", health(SERVING), [TINY, SPARE]).serves
    assert not Status("h", health(SERVING), [away]).serves
    assert not Status("h", health(SERVING), None).serves
    assert not Status("h", health(troubled), [TINY]).serves
    assert not Status("h", None, [TINY]).serves
    assert Status("h", None, [TINY], unsupervised=True).serves
    assert Status("h", health(SERVING), None, modelless=True).serves


def test_what_is_not_installed_is_told_with_its_command_and_is_no_failure(tmp_path: Path) -> None:
    absent = actor("voice", ActorState.ACTOR_STATE_NOT_INSTALLED, 3, part="voice")
    status = Status("hub:1", health(SERVING, absent), [TINY])
    said = told(status, None, load(None, {"TROUPE_HOME": str(tmp_path)}), NOW)
    line = next(line for line in said if line.startswith("voice"))
    assert ("not installed" in line, "`troupe add voice` installs it" in line) == (True, True)
    assert status.serves
