import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from host.supervision import (
    FIRST_PAUSE_SECONDS,
    JITTER,
    KILL_SECONDS,
    LONGEST_PAUSE_SECONDS,
    STEADY_SECONDS,
    STRUCK_FACTOR,
    Budget,
    Effect,
    Finished,
    GiveUp,
    Kill,
    Look,
    Spawn,
    State,
    Supervision,
    Tell,
    Terminate,
)
from host.watchdog import SILENT_SECONDS, Pulse, Sight

DRAIN = 10.0


def supervision(max_restarts: int = 3, **options: Any) -> Supervision:
    jitter = random.Random(7)
    groups = [["gateway"], ["echo", "llama"]]
    return Supervision(groups, max_restarts=max_restarts, window=60, drain=DRAIN, jitter=jitter, **options)


def without_tells(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Tell)]


def running(max_restarts: int = 3) -> Supervision:
    """All have been started and serve."""
    own = supervision(max_restarts)
    own.start(0)
    for number, name in enumerate(own.children, 100):
        own.spawned(name, number, 0)
        own.heard(name, f"{name}-a", "serving", 0)
    return own


def steady(own: Supervision, name: str, now: float) -> float:
    """It is started when its pause is over, serves, and has done so for a while; when that is."""
    start_at = own.children[name].start_at
    if start_at is not None:
        now = start_at
        own.tick(now)
    own.spawned(name, 100, now)
    own.heard(name, f"{name}-{now}", "serving", now)
    return now + STEADY_SECONDS


def test_one_that_served_and_is_ended_from_outside_is_started_again_and_again_after_growing_pauses() -> None:
    own, now, pauses = running(max_restarts=3), STEADY_SECONDS, list[float]()
    for _ in range(40):
        assert own.exited("echo", "ended by SIGKILL", now, struck=True) == [Tell("echo")]
        pauses.append((own.children["echo"].start_at or 0.0) - now)
        now = steady(own, "echo", now)
    assert pauses[:6] == sorted(pauses[:6]) and pauses[-1] >= LONGEST_PAUSE_SECONDS / 2
    assert own.children["echo"].state is State.SERVING


def test_that_budget_too_has_an_end() -> None:
    budget, ended = Budget(3, 1000, random.Random(7)), deque[float]()
    assert all(budget.pause(ended, 0, STRUCK_FACTOR) for _ in range(3 * STRUCK_FACTOR))
    assert budget.pause(ended, 0, STRUCK_FACTOR) is None


def test_neither_budget_is_spent_by_the_other() -> None:
    own, now = running(max_restarts=2), STEADY_SECONDS
    for _ in range(10):
        own.exited("echo", "ended by SIGKILL", now, struck=True)
        now = steady(own, "echo", now)
    for _ in range(2):
        own.exited("echo", "ended by SIGSEGV", now)
        now = steady(own, "echo", now)
    own.exited("echo", "ended by SIGKILL", now, struck=True)
    now = steady(own, "echo", now)
    assert without_tells(own.exited("echo", "ended by SIGSEGV", now)) == [GiveUp("echo")]


def test_one_that_is_killed_before_it_has_served_for_a_while_spends_the_small_budget() -> None:
    own, now = running(max_restarts=1), STEADY_SECONDS / 2
    own.exited("echo", "ended by SIGKILL", now, struck=True)
    now = steady(own, "echo", now) - STEADY_SECONDS / 2
    assert without_tells(own.exited("echo", "ended by SIGKILL", now, struck=True)) == [GiveUp("echo")]


def test_a_hang_is_a_fault_of_its_own_and_a_stop_by_a_signal_is_not() -> None:
    for stopped, left in ((True, "struck"), (False, "ended")):
        own = running(max_restarts=3)
        effects: list[Effect] = []
        for now in (0.3, 0.6, 0.9, 1.2, 1.5, 1.8):
            own.looked("echo", Sight(100, {100: 0.0}, stopped=stopped), now)
            effects += own.tick(now)
        assert [each.name for each in effects if isinstance(each, Kill) and each.name == "echo"] == ["echo"]
        own.exited("echo", "ended by SIGKILL", 1.9, struck=True)
        child = own.children["echo"]
        assert {"struck": list(child.struck), "ended": list(child.ended)} == {"struck": [], "ended": [], left: [1.9]}


def test_what_has_not_served_yet_has_no_time_to_drain() -> None:
    own = running()
    own.exited("llama", "ended", 1)
    own.tick(own.children["llama"].start_at or 0.0)
    own.spawned("llama", 200, 2)
    own.stop(3)
    own.exited("gateway", "ended with status 0", 3)
    assert own.children["llama"].kill_at == 3 + KILL_SECONDS
    assert own.children["echo"].kill_at == 3 + DRAIN + KILL_SECONDS


def test_waiting_for_others_is_no_part_of_the_time_to_start_and_what_begins_has_all_of_it() -> None:
    own = Supervision([["tiny"]], max_restarts=3, window=60, drain=DRAIN, start_within=10, must_serve=True)
    own.start(0)
    own.spawned("tiny", 100, 0)
    for now in range(1, 101):
        own.waits("tiny")
        own.heard("tiny", "tiny-a", "starting", now)
        assert not [each for each in own.tick(now) if isinstance(each, Kill)]
    own.begins("tiny", 100)
    for now in range(101, 110):
        own.begins("tiny", now)  # said again it gives no more time
        own.heard("tiny", "tiny-a", "starting", now)
        assert not [each for each in own.tick(now) if isinstance(each, Kill)]
    own.heard("tiny", "tiny-a", "starting", 110)
    assert Kill("tiny", "it did not serve within 10 s") in own.tick(110)
    assert own.exited("tiny", "x", 110)[-1] == GiveUp("tiny")


def test_it_begins_with_everything() -> None:
    assert without_tells(supervision().start(0)) == [Spawn("gateway"), Spawn("echo"), Spawn("llama")]


def test_a_process_serves_once_it_says_so() -> None:
    own = supervision()
    own.start(0)
    own.spawned("echo", 100, 0)
    own.heard("echo", "echo-a", "starting", 1)
    assert own.children["echo"].state is State.STARTING
    assert own.heard("echo", "echo-a", "serving", 2) == [Tell("echo")]
    assert (own.children["echo"].state, own.children["echo"].since) == (State.SERVING, 2)
    assert own.heard("echo", "echo-a", "serving", 3) == []


def test_who_does_not_serve_yet_is_awaited_until_it_does_or_has_failed() -> None:
    own = supervision(max_restarts=1)
    own.start(0.0)
    assert own.awaits() == list(own.children)
    own = running(max_restarts=1)
    assert own.awaits() == []
    name = list(own.children)[-1]
    own.exited(name, "killed", 1.0)
    assert own.awaits() == [name]
    own.tick(20.0)
    own.exited(name, "killed", 20.1)
    assert own.awaits() == []


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
        own.spawned("llama", 200, now)
    assert without_tells(own.exited("llama", "ended by SIGABRT", now)) == [GiveUp("llama")]
    assert own.children["llama"].state is State.FAILED
    assert without_tells([effect for later in range(1000) for effect in own.tick(now + later)]) == []


def test_ends_that_are_far_apart_use_up_nothing() -> None:
    own, now = running(max_restarts=1), 0.0
    for _ in range(20):
        assert without_tells(own.exited("echo", "ended", now)) == []
        now += 61
        assert without_tells(own.tick(now)) == [Spawn("echo")]
        own.spawned("echo", 200, now)


def test_without_a_budget_the_first_end_is_a_failure() -> None:
    own = running(max_restarts=0)
    assert without_tells(own.exited("echo", "ended", 1)) == [GiveUp("echo")]


def test_what_has_failed_is_started_once_more_when_somebody_asks() -> None:
    own = running(max_restarts=0)
    own.exited("echo", "ended", 1)
    assert without_tells(own.revive(2)) == [Spawn("echo")]
    assert own.revive(3) == []


def ticks(own: Supervision, start: float, end: float, *, beating: tuple[str, ...] = ()) -> list[Effect]:
    """What a watcher that looks ten times a second decides, while some go on beating."""
    effects: list[Effect] = []
    for number in range(1, round((end - start) * 10) + 1):
        now = start + number / 10
        for name in beating:
            effects += own.heard(name, f"{name}-a", "serving", now)
        effects += own.tick(now)
    return [effect for effect in without_tells(effects) if not isinstance(effect, Look)]


def seeing(own: Supervision, now: float) -> None:
    """The system says of all that they do nothing and wait for nothing."""
    for child in own.children.values():
        own.looked(child.name, Sight(child.pid, {child.pid: 1.0}), now)


def test_a_process_that_falls_silent_is_killed_with_the_reason_and_no_other_is() -> None:
    own = running()
    assert ticks(own, 0, SILENT_SECONDS - 0.2, beating=("gateway", "llama")) == []
    seeing(own, SILENT_SECONDS - 0.2)
    killed = ticks(own, SILENT_SECONDS - 0.2, SILENT_SECONDS + 0.2, beating=("gateway", "llama"))
    assert killed == [Kill("echo", "it told nothing for 1.5 s")]
    own.exited("echo", "ended by SIGKILL", 2)
    assert own.children["echo"].last_exit == "killed: it told nothing for 1.5 s"
    assert own.children["echo"].state is State.BACKING_OFF


def test_the_system_is_asked_about_whoever_has_been_silent_for_a_while() -> None:
    own = running()
    looks = [own.tick(now / 10) for now in range(1, 9)]
    assert looks[:6] == [[]] * 6
    assert looks[7] == [Look("gateway"), Look("echo"), Look("llama")]


def test_a_watcher_whose_clock_stood_still_gives_everyone_new_time() -> None:
    own = running()
    assert ticks(own, 0, 1.4) == []
    assert own.tick(61) == []
    seeing(own, 61.1)
    assert ticks(own, 61, 61 + SILENT_SECONDS - 0.1) == []
    assert len(ticks(own, 61 + SILENT_SECONDS - 0.1, 61 + SILENT_SECONDS + 0.2)) == 3


def test_a_watcher_that_does_not_hear_itself_accuses_nobody() -> None:
    own = running()
    own.heard_itself(0)
    assert ticks(own, 0, 30) == []
    own.heard_itself(30)
    assert ticks(own, 30, 31, beating=("gateway", "echo", "llama")) == []


def test_an_engine_that_stands_still_with_work_is_replaced_and_an_idle_one_is_not() -> None:
    own = running()
    killed: list[Effect] = []
    for number in range(1, 45):
        now = number / 10
        own.heard("llama", "llama-a", "serving", now, Pulse(steps=7, working=True))
        own.heard("echo", "echo-a", "serving", now, Pulse(steps=7, working=False))
        own.heard("gateway", "gateway-a", "serving", now)
        killed += [effect for effect in own.tick(now) if isinstance(effect, Kill)]
    assert killed == [Kill("llama", "its engine has work and has not moved for 3.0 s")]


def vain(**options: Any) -> Supervision:
    own = Supervision([["model"]], max_restarts=3, window=60, drain=DRAIN, jitter=random.Random(7), **options)
    own.start(0)
    own.spawned("model", 100, 0)
    return own


def test_a_start_that_may_be_in_vain_is_not_tried_again_when_it_was() -> None:
    own = vain(must_serve=True)
    assert without_tells(own.exited("model", "ended by SIGABRT", 1)) == [GiveUp("model")]
    assert own.children["model"].state is State.FAILED


def test_a_start_that_was_ended_from_outside_is_tried_once_more() -> None:
    own = vain(must_serve=True)
    assert without_tells(own.exited("model", "ended by SIGKILL", 1, struck=True)) == []
    assert own.children["model"].state is State.BACKING_OFF
    assert without_tells(own.tick(2)) == [Spawn("model")]
    own.spawned("model", 101, 2)
    assert without_tells(own.exited("model", "ended by SIGKILL", 3, struck=True)) == [GiveUp("model")]
    assert without_tells(own.add("model", 4)) == [Spawn("model")]  # somebody asks: that is a new start
    own.spawned("model", 102, 4)
    assert without_tells(own.exited("model", "ended by SIGKILL", 5, struck=True)) == []
    own.tick(6)
    own.spawned("model", 103, 6)
    assert without_tells(own.exited("model", "ended by SIGSEGV", 7)) == [GiveUp("model")]


def test_a_start_that_is_ended_from_here_or_says_that_it_cannot_is_not_tried_again() -> None:
    own = vain(must_serve=True, start_within=30.0)
    own.tick(29.9)
    own.tick(30)
    assert without_tells(own.exited("model", "ended by SIGKILL", 30.1, struck=True)) == [GiveUp("model")]
    own = vain(must_serve=True)
    own.cannot("model", "no such tensor")
    assert without_tells(own.exited("model", "ended by SIGKILL", 1, struck=True)) == [GiveUp("model")]


def test_what_has_served_once_is_started_again_also_if_it_then_ends_at_its_start() -> None:
    own = vain(must_serve=True)
    own.heard("model", "model-a", "serving", 1)
    own.exited("model", "ended by SIGSEGV", 2)
    assert without_tells(own.tick(3)) == [Spawn("model")]
    own.spawned("model", 101, 3)
    assert without_tells(own.exited("model", "ended by SIGSEGV", 3)) == []


def test_what_says_that_it_cannot_serve_is_not_started_again_before_somebody_asks() -> None:
    own = vain()
    own.cannot("model", "no such tensor")
    assert without_tells(own.exited("model", "ended with status 1", 1)) == [GiveUp("model")]
    assert without_tells(own.revive(2)) == [Spawn("model")]
    own.spawned("model", 101, 2)
    assert without_tells(own.exited("model", "ended by SIGKILL", 3)) == []


def test_what_does_not_serve_in_its_time_is_killed_and_has_failed() -> None:
    own = vain(start_within=30.0)
    assert without_tells(own.tick(29.9)) == []
    assert without_tells(own.tick(30)) == [Kill("model", "it did not serve within 30 s")]
    assert without_tells(own.exited("model", "ended by SIGKILL", 30.1)) == [GiveUp("model")]


def test_whose_part_is_not_installed_is_not_started_and_nobody_waits_for_it() -> None:
    own = supervision(absent={"llama": "engine"})
    assert without_tells(own.start(0)) == [Spawn("gateway"), Spawn("echo")]
    assert own.children["llama"].state is State.NOT_INSTALLED
    assert (own.absent(), "llama" in own.awaits()) == ({"llama": "engine"}, False)
    assert own.revive(1) == []
    assert without_tells(own.tick(0.2)) == []


def test_once_its_part_is_there_it_is_started_by_its_name_and_then_is_like_any_other() -> None:
    own = supervision(absent={"llama": "engine"})
    own.start(0)
    assert without_tells(own.add("llama", 1)) == [Spawn("llama")]
    assert (own.absent(), own.awaits()[-1]) == ({}, "llama")
    own.spawned("llama", 7, 1)
    own.heard("llama", "llama-a", "serving", 2)
    assert own.children["llama"].state is State.SERVING
    own.exited("llama", "ended", 3)
    assert without_tells(own.tick(20)) == [Spawn("llama")]


def test_who_runs_or_is_being_started_again_is_left_alone_by_its_name() -> None:
    own = running()
    assert own.add("echo", 1) == []
    own.exited("echo", "ended", 2)
    assert own.add("echo", 2) == []


def test_what_is_not_installed_settles_and_is_stopped_with_the_rest() -> None:
    own = Supervision([["llama"]], max_restarts=3, window=60, drain=DRAIN, absent={"llama": "engine"})
    own.start(0)
    assert own.settled
    assert Finished() in own.stop(1)
    assert own.children["llama"].state is State.STOPPED
    assert (own.add("llama", 2), own.absent()) == ([], {})


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
    assert own.tick(5 + DRAIN + KILL_SECONDS) == [Kill("gateway", "it did not end in its time")]
    assert own.tick(5 + DRAIN + KILL_SECONDS + 1) == []


def test_a_second_stop_kills_whatever_runs() -> None:
    own = running()
    own.stop(5)
    assert [effect.name for effect in own.stop(6) if isinstance(effect, Kill)] == ["gateway", "echo", "llama"]


def test_what_waits_or_has_failed_when_the_stop_comes_is_stopped_at_once() -> None:
    own = running(max_restarts=1)
    own.exited("echo", "ended", 1)
    own.exited("llama", "ended", 1)
    own.tick(2)
    own.spawned("llama", 200, 2)
    own.spawned("echo", 201, 2)
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
    assert without_tells(own.spawned("echo", 100, 0)) == [Terminate("echo")]


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
                self.do(self.own.spawned(effect.name, 1, now), now)
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
        st.sampled_from(["exit", "serve", "cannot", "tick", "tick", "revive", "add", "stop"]),
        st.sampled_from(["gateway", "echo", "llama"]),
        st.floats(0, LONGEST_STEP),
    ),
    max_size=80,
)


@given(STEPS, st.integers(0, 4), st.sets(st.sampled_from(["echo", "llama"])))
def test_whatever_happens_a_stop_ends_everything_once_and_restarts_stay_within_the_budget(
    steps: list[tuple[str, str, float]], max_restarts: int, absent: set[str]
) -> None:
    own = supervision(max_restarts, absent=dict.fromkeys(absent, "engine"))
    world, now, revived = World(own), 0.0, False
    world.do(world.own.start(now), now)
    for kind, name, passed in [*steps, ("stop", "", 0.0)]:
        now += passed
        if kind == "exit":
            world.end(name, now)
        elif kind == "serve":
            world.do(world.own.heard(name, f"{name}-a", "serving", now), now)
        elif kind == "cannot" and name in world.alive:
            world.own.cannot(name, "it says so")
        elif kind == "revive":
            revived = True
            world.do(world.own.revive(now), now)
        elif kind == "add":
            revived = revived or own.children[name].state is State.FAILED
            world.do(own.add(name, now), now)
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
