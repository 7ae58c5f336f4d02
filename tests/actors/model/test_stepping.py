"""An engine's thread: it does what is posted, sleeps without work, and takes nothing once it has ended."""

import threading

from actors.model.stepping import Stepping

PATIENCE_SECONDS = 10


class Counting(Stepping):
    """Steps as often as it was given work."""

    def __init__(self) -> None:
        super().__init__(patience=7.0)
        self.work = 0
        self.slept = threading.Event()

    def step(self) -> bool:
        self._take_posts()
        self._rounds += 1
        self.work = max(0, self.work - 1)
        if not self.work:
            self.slept.set()
        return bool(self.work)

    def add(self, work: int) -> None:
        self.work += work

    def end(self) -> None:
        self._end_posting()


def test_it_steps_while_there_is_work_and_sleeps_until_something_is_posted() -> None:
    engine = Counting()
    assert (engine.pulse.steps, engine.pulse.working, engine.pulse.patience) == (0, False, 7.0)
    thread = threading.Thread(target=engine.run)
    thread.start()
    assert engine.slept.wait(PATIENCE_SECONDS)
    engine.slept.clear()
    assert engine.post(lambda: engine.add(5))
    assert engine.slept.wait(PATIENCE_SECONDS)
    assert engine.pulse.steps == 1 + 5
    engine.stop()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_what_was_posted_before_the_end_is_called_and_nothing_after_it() -> None:
    engine, called = Counting(), []
    assert engine.post(lambda: called.append("before"))
    engine.end()
    assert not engine.post(lambda: called.append("after"))
    assert called == ["before"]
