"""What happens in a hub, as lines for the terminal that it was started in."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from host.supervision import Child


class HubLines:
    """Makes lines of the changes of processes.

    home: of the hub. pid: of its supervisor. drain: seconds for running calls.
    """

    def __init__(self, home: Path, pid: int, drain: float) -> None:
        self._home = home
        self._pid = pid
        self._drain = drain
        self._states: dict[str, str] = {}
        self._missed: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._greeted = False

    def greeted(self, states: Mapping[str, str]) -> None:
        """The hub is ready and has said how these are; from now on changes are told."""
        self._greeted = True
        self._missed |= {name for name, state in states.items() if state != "serving"}

    def changed(self, child: "Child") -> list[str]:
        """A process is in another state than before, has another trouble, or is told once more."""
        return [*self._state(child), *self._trouble(child)]

    def _trouble(self, child: "Child") -> list[str]:
        before, self._troubles[child.name] = self._troubles.get(child.name, ""), child.trouble
        if child.trouble == before or child.state.value != "serving":
            return []
        return [f"  {child.name}: {child.trouble or 'all is well again.'}"]

    def _state(self, child: "Child") -> list[str]:
        before, state = self._states.get(child.name), child.state.value
        self._states[child.name] = state
        if state == before:
            return []
        if state == "backing_off":
            self._missed.add(child.name)
            return [f"  {child.name}: {child.last_exit}; it is started again."]
        if state == "failed":
            self._missed.add(child.name)
            return self._failed(child)
        if state == "serving" and self._greeted and child.name in self._missed:
            self._missed.discard(child.name)
            return [f"  {child.name}: serves{' again' if child.restarts else ''}."]
        return []

    def waiting(self) -> list[str]:
        """What the hub still waits for; nothing once it has greeted."""
        missing = [name for name, state in self._states.items() if state in ("starting", "backing_off")]
        return [f"  Waiting for {', '.join(missing)}."] if missing and not self._greeted else []

    def stopping(self, answers: int) -> str:
        """The hub begins to stop while so many calls run."""
        if not answers:
            return "Stopping. Ctrl-C again stops at once."
        some = "1 answer" if answers == 1 else f"{answers} answers"
        return f"Stopping; waits for {some}, at most {self._drain:g} s. Ctrl-C again stops at once."

    def _failed(self, child: "Child") -> list[str]:
        if child.name in ("nats", "gateway"):  # without them there is no hub, which then says why it ends
            return [f"  {child.name}: {child.last_exit}; it ended too often, and the hub ends."]
        log = self._home / "logs" / f"{child.name}.log"
        return [
            f"  {child.name}: {child.last_exit}; it ended too often and is left alone.",
            f"    Why is in {log}. Once mended, `kill -USR1 {self._pid}` starts it once more.",
        ]
