import random
from collections import deque
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from host.supervision import (
    FIRST_PAUSE_SECONDS,
    JITTER,
    KILL_SECONDS,
    LONGEST_PAUSE_SECONDS,
    SILENT_SECONDS,
    Budget,
    Effect,
    Finished,
    GiveUp,
    Kill,
    Spawn,
    State,
    Supervision,
    Tell,
    Terminate,
)

DRAIN = 10.0


def supervision(max_restarts: int = 3) -> Supervision:
    return Supervision(
        [["gateway"], ["echo", "llama"]], max_restarts=max_restarts, window=60, drain=DRAIN, jitter=random.Random(7)
    )


def without_tells(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Tell)]


def running(max_restarts: int = 3) -> Supervision:
    """All have been started and serve."""
    own = supervision(max_restarts)
    own.start(0)
    for number, name in enumerate(own.children, 100):
        own.spawned(name, number)
        own.heard(name, f"{name}-a", "serving", 0)
    return own


def test_it_begins_with_everything() -> None:
    assert without_tells(supervision().start(0)) == [Spawn("gateway"), Spawn("echo"), Spawn("llama")]


def test_a_process_serves_once_it_says_so() -> None:
    own = supervision()
    own.start(0)
    own.spawned("echo", 100)
    own.heard("echo", "echo-a", "starting", 1)
    assert own.children["echo"].state is State.STARTING
    assert own.heard("echo", "echo-a", "serving", 2) == [Tell("echo")]
    assert (own.children["echo"].state, own.children["echo"].since) == (State.SERVING, 2)
    assert own.heard("echo", "echo-a", "serving", 3) == []


def test_a_process_that_ends_is_started_again_after_a_pause_and_no_other_is_touched() -> None:
    own = running()
    assert without_tells(own.exited("echo", "ended by SIGKILL", 10)) == []
    echo = own.children["echo"]
    assert (echo.state, echo.pid, echo.process, echo.last_exit) == (State.BACKING_OFF, 0, "", "ended by SIGKILL")
    assert own.tick(10 + FIRST_PAUSE_SECONDS - 0.01) == []
    assert without_tells(own.tick(10 + FIRST_PAUSE_SECONDS * (1 + JITTER))) == [Spawn("echo")]
    assert echo.restarts == 1
    assert own.children["gateway"].state is own.children["llama"].state is State.SERVING


def test_pauses_double_up_to_the_longest_and_vary_by_the_seed() -> None:
    ended: deque[float] = deque()
    budget = Budget(20, 1000, random.Random(7))
    pauses = [budget.pause(ended, 0) for _ in range(10)]
    for number, pause in enumerate(pauses):
        assert pause is not None
        least = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**number)
        assert least <= pause <= least * (1 + JITTER)
    again, other = deque[float](), deque[float]()
    seeded = Budget(20, 1000, random.Random(7))
    assert [seeded.pause(again, 0) for _ in range(10)] == pauses
    assert [Budget(20, 1000, random.Random(8)).pause(other, 0)] != pauses[:1]


def test_a_used_up_budget_is_a_failure_told_once_and_left_alone() -> None:
    own, now = running(max_restarts=2), 0.0
    for _ in range(2):
        own.exited("llama", "ended by SIGABRT", now)
        now += 1
        assert without_tells(own.tick(now)) == [Spawn("llama")]
        own.spawned("llama", 200)
    assert without_tells(own.exited("llama", "ended by SIGABRT", now)) == [GiveUp("llama")]
    assert own.children["llama"].state is State.FAILED
    assert without_tells([effect for later in range(1000) for effect in own.tick(now + later)]) == []


def test_ends_that_are_far_apart_use_up_nothing() -> None:
    own, now = running(max_restarts=1), 0.0
    for _ in range(20):
        assert without_tells(own.exited("echo", "ended", now)) == []
        now += 61
        assert without_tells(own.tick(now)) == [Spawn("echo")]
        own.spawned("echo", 200)


def test_without_a_budget_the_first_end_is_a_failure() -> None:
    own = running(max_restarts=0)
    assert without_tells(own.exited("echo", "ended", 1)) == [GiveUp("echo")]


def test_what_has_failed_is_started_once_more_when_somebody_asks() -> None:
    own = running(max_restarts=0)
    own.exited("echo", "ended", 1)
    assert without_tells(own.revive(2)) == [Spawn("echo")]
    assert own.revive(3) == []


def test_a_process_that_stays_silent_is_killed_and_one_that_is_heard_again_is_not() -> None:
    own = running()
    own.silent("echo", "echo-a", 10)
    own.silent("llama", "llama-a", 10)
    own.heard("llama", "llama-a", "serving", 12)
    assert own.tick(10 + SILENT_SECONDS - 0.1) == []
    assert own.tick(10 + SILENT_SECONDS) == [Kill("echo")]
    assert own.tick(10 + SILENT_SECONDS + 1) == []


def test_the_silence_of_an_earlier_run_means_nothing() -> None:
    own = running()
    own.silent("echo", "echo-before", 10)
    assert own.tick(10 + SILENT_SECONDS) == []


def test_stopping_ends_the_doors_first_and_then_the_actors() -> None:
    own = running()
    assert without_tells(own.stop(5)) == [Terminate("gateway")]
    assert own.children["gateway"].state is State.DRAINING
    assert own.children["echo"].state is State.SERVING
    assert without_tells(own.exited("gateway", "ended with status 0", 6)) == [Terminate("echo"), Terminate("llama")]
    assert without_tells(own.exited("llama", "ended with status 0", 7)) == []
    assert without_tells(own.exited("echo", "ended with status 0", 7)) == [Finished()]


def test_a_process_that_does_not_end_in_its_time_is_killed() -> None:
    own = running()
    own.stop(5)
    assert own.tick(5 + DRAIN) == []
    assert own.tick(5 + DRAIN + KILL_SECONDS) == [Kill("gateway")]
    assert own.tick(5 + DRAIN + KILL_SECONDS + 1) == []


def test_a_second_stop_kills_whatever_runs() -> None:
    own = running()
    own.stop(5)
    assert own.stop(6) == [Kill("gateway"), Kill("echo"), Kill("llama")]


def test_what_waits_or_has_failed_when_the_stop_comes_is_stopped_at_once() -> None:
    own = running(max_restarts=1)
    own.exited("echo", "ended", 1)
    own.exited("llama", "ended", 1)
    own.tick(2)
    own.spawned("llama", 200)
    own.spawned("echo", 201)
    own.exited("llama", "ended", 2)
    own.exited("echo", "ended", 2)
    own.exited("gateway", "ended", 3)
    assert without_tells(own.stop(3)) == [Finished()]
    assert {child.state for child in own.children.values()} == {State.STOPPED}
    assert own.tick(100) == []


def test_a_process_that_was_just_being_started_is_told_to_end_as_soon_as_it_runs() -> None:
    own = Supervision([["echo"]], max_restarts=1, window=60, drain=1)
    own.start(0)
    assert without_tells(own.stop(0)) == [Terminate("echo")]
    assert without_tells(own.spawned("echo", 100)) == [Terminate("echo")]


# ---- any order of events


@dataclass
class World:
    """Does what it is told, as badly as processes do."""

    own: Supervision
    alive: set[str] = field(default_factory=set)
    spawns: dict[str, list[float]] = field(default_factory=dict)
    finished: int = 0
    stopped: bool = False

    def do(self, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Spawn):
                assert effect.name not in self.alive, "two of one name"
                assert not self.stopped, "a start after the stop"
                self.alive.add(effect.name)
                self.spawns.setdefault(effect.name, []).append(now)
                self.do(self.own.spawned(effect.name, 1), now)
            elif isinstance(effect, Kill):
                self.end(effect.name, now)
            elif isinstance(effect, Finished):
                self.finished += 1
                assert not self.alive

    def end(self, name: str, now: float) -> None:
        if name in self.alive:
            self.alive.remove(name)
            self.do(self.own.exited(name, "ended", now), now)


LONGEST_STEP = 5.0

SURE_WINDOW = 60 - LONGEST_PAUSE_SECONDS * (1 + JITTER) - LONGEST_STEP
"""The budget counts ends; the starts that follow them are later by a pause and the step in which it passes."""

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["exit", "serve", "silent", "tick", "tick", "revive", "stop"]),
        st.sampled_from(["gateway", "echo", "llama"]),
        st.floats(0, LONGEST_STEP),
    ),
    max_size=80,
)


@given(STEPS, st.integers(0, 4))
def test_whatever_happens_a_stop_ends_everything_once_and_restarts_stay_within_the_budget(
    steps: list[tuple[str, str, float]], max_restarts: int
) -> None:
    world, now, revived = World(supervision(max_restarts)), 0.0, False
    world.do(world.own.start(now), now)
    for kind, name, passed in [*steps, ("stop", "", 0.0)]:
        now += passed
        if kind == "exit":
            world.end(name, now)
        elif kind == "serve":
            world.do(world.own.heard(name, f"{name}-a", "serving", now), now)
        elif kind == "silent":
            world.own.silent(name, f"{name}-a", now)
        elif kind == "revive":
            revived = True
            world.do(world.own.revive(now), now)
        elif kind == "stop" and not world.stopped:
            effects, world.stopped = world.own.stop(now), True
            world.do(effects, now)
        world.do(world.own.tick(now), now)
    for _ in range(3):
        now += DRAIN + KILL_SECONDS
        world.do(world.own.tick(now), now)
    assert world.finished == 1
    assert {child.state for child in world.own.children.values()} == {State.STOPPED}
    for times in world.spawns.values():
        restarts = times[1:]
        busiest = max((sum(0 <= other - first <= SURE_WINDOW for other in restarts) for first in restarts), default=0)
        assert revived or busiest <= max_restarts
