"""Who hangs, and who only starves: on a manual clock, and with any mixture of stalls."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from host.watchdog import (
    IDLE,
    LOOK_SECONDS,
    SILENT_SECONDS,
    START_SECONDS,
    STEPS,
    STUCK_SECONDS,
    UNSEEN_SECONDS,
    Pulse,
    Sight,
    Watchdog,
)

MAIN = 100
QUIET = Sight(MAIN, {MAIN: 5.0})


@dataclass
class Watch:
    """A watcher that looks ten times a second and asks the system whenever it is to."""

    dog: Watchdog = field(default_factory=lambda: Watchdog(0.0))
    now: float = 0.0

    def wait(self, seconds: float, sight: Sight | None = QUIET, *, starving: float = 0.0) -> str:
        """Time passes. starving: share of it that the main thread waits for a processor."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            if sight is not None and self.dog.wants_look(self.now):
                waited = {thread: before + starving * self.now for thread, before in sight.waited.items()}
                self.dog.look(Sight(sight.main, waited, sight.stopped, sight.reading), self.now)
            if why := self.dog.verdict(self.now):
                return why
        return ""

    def beat(self, pulse: Pulse = IDLE, *, serves: bool = True) -> None:
        self.dog.beat(pulse, self.now, serves=serves)


def serving() -> Watch:
    watch = Watch()
    watch.beat()
    return watch


def test_one_that_beats_is_left_alone() -> None:
    watch = serving()
    for _ in range(100):
        assert watch.wait(0.5) == ""
        watch.beat()


def test_one_that_falls_silent_hangs() -> None:
    watch = serving()
    assert watch.wait(SILENT_SECONDS - 0.1) == ""
    assert watch.wait(0.2) == "it told nothing for 1.5 s"


def test_where_the_system_says_nothing_more_time_is_given() -> None:
    watch = serving()
    assert watch.wait(UNSEEN_SECONDS - 0.1, None) == ""
    assert watch.wait(0.2, None).startswith("it told nothing for 5")


def test_the_time_in_which_it_waits_for_a_processor_does_not_count() -> None:
    watch = serving()
    assert watch.wait(10, starving=0.95) == ""
    assert "told nothing" in watch.wait(2, Sight(MAIN, {MAIN: 5.0 + 0.95 * watch.now}))


def test_another_threads_waiting_is_no_excuse_for_silence() -> None:
    watch = serving()
    for number in range(30):
        watch.now += 0.1
        watch.dog.look(Sight(MAIN, {MAIN: 5.0, 101: number / 10}), watch.now)
    assert "told nothing" in watch.dog.verdict(watch.now)


def test_the_time_in_which_it_waits_for_the_disk_does_not_count() -> None:
    watch = serving()
    assert watch.wait(10, Sight(MAIN, {MAIN: 5.0}, reading=True)) == ""


def test_a_start_takes_its_time() -> None:
    watch = Watch()
    assert watch.wait(START_SECONDS - 0.1) == ""
    assert "told nothing" in watch.wait(0.2)


def test_beats_before_it_serves_do_not_end_the_start() -> None:
    watch = Watch()
    watch.beat(serves=False)
    assert watch.wait(SILENT_SECONDS + 1) == ""
    watch.beat()
    assert "told nothing" in watch.wait(SILENT_SECONDS + 0.1)


def test_one_that_was_stopped_hangs_also_at_its_start() -> None:
    watch = Watch()
    assert watch.wait(1.0) == ""
    assert "it was stopped" in watch.wait(2.0, Sight(MAIN, {MAIN: 5.0}, stopped=True))


def test_one_that_was_stopped_for_a_moment_goes_on() -> None:
    watch = serving()
    assert watch.wait(1.0, Sight(MAIN, {MAIN: 5.0}, stopped=True)) == ""
    watch.beat()
    assert watch.wait(1.0) == ""


def test_an_engine_without_work_may_stand_still() -> None:
    watch = serving()
    for _ in range(40):
        watch.beat(Pulse(steps=3))
        assert watch.wait(0.5) == ""


def stuck_after(watch: Watch, pulse: Pulse) -> float:
    """Seconds of beats that tell the same until the engine counts as hung."""
    began = watch.now
    for _ in range(1000):
        if "has not moved" in watch.wait(0.5):
            return watch.now - began
        watch.beat(pulse)
    raise AssertionError


def test_an_engine_with_work_that_makes_no_step_hangs() -> None:
    watch = serving()
    watch.beat(Pulse(3, working=True))
    assert STUCK_SECONDS <= stuck_after(watch, Pulse(3, working=True)) <= STUCK_SECONDS + 0.2


def test_work_that_begins_has_its_time_from_then_on() -> None:
    watch = serving()
    for _ in range(20):
        watch.beat(Pulse(3))
        watch.wait(0.5)
    watch.beat(Pulse(3, working=True))
    assert STUCK_SECONDS <= stuck_after(watch, Pulse(3, working=True)) <= STUCK_SECONDS + 0.2


def test_the_longest_step_shown_gives_more_time() -> None:
    watch = serving()
    watch.beat(Pulse(1, working=True))
    for _ in range(4):
        assert watch.wait(0.5) == ""
        watch.beat(Pulse(1, working=True))
    watch.beat(Pulse(2, working=True))
    assert STEPS * 2.0 <= stuck_after(watch, Pulse(2, working=True)) <= STEPS * 2.0 + 0.2


def test_a_step_that_was_announced_has_the_patience_it_asked_for_and_no_other_has() -> None:
    watch = serving()
    long = Pulse(1, working=True, patience=20.0)
    watch.beat(long)
    for _ in range(38):
        assert watch.wait(0.5) == ""
        watch.beat(long)
    watch.beat(Pulse(2, working=True))
    assert STUCK_SECONDS <= stuck_after(watch, Pulse(2, working=True)) <= STUCK_SECONDS + 0.2


def test_an_engine_whose_threads_starve_has_more_time() -> None:
    watch = serving()
    pulse = Pulse(1, working=True)
    watch.beat(pulse)
    for _ in range(20):
        assert watch.wait(0.5, Sight(MAIN, {MAIN: 5.0, 101: 3.0}), starving=0.8) == ""
        watch.beat(pulse)


@given(
    st.lists(
        st.tuples(st.sampled_from(["runs", "starves", "watcher stands still"]), st.floats(0.05, 20.0)),
        max_size=20,
    ),
    st.floats(0.0, 0.45),
)
def test_whatever_the_machine_does_a_process_that_lives_is_not_accused_and_one_that_hangs_is(
    times: list[tuple[str, float]], late: float
) -> None:
    dog, now, waited, owed = Watchdog(0.0), 0.0, 0.0, 0.0
    dog.beat(IDLE, 0.0)
    for kind, seconds in times:
        if kind == "watcher stands still":
            now += seconds
            dog.pause(now)
            continue
        for _ in range(int(seconds * 10)):
            now += 0.1
            share = 0.97 if kind == "starves" else 0.0
            waited += 0.1 * share
            owed += 0.1 * (1 - share)
            if owed >= 0.5 + late:
                owed = 0.0
                dog.beat(IDLE, now)
            if dog.wants_look(now):
                dog.look(Sight(MAIN, {MAIN: waited}), now)
            assert dog.verdict(now) == ""
    hung = now
    while not dog.verdict(now):
        now += 0.1
        if dog.wants_look(now):
            dog.look(Sight(MAIN, {MAIN: waited}), now)
        # What it waited for before its last beat may count as waited for after it, until the first look.
        assert now - hung < SILENT_SECONDS + LOOK_SECONDS + 0.3
