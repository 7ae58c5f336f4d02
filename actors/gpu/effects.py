"""What a scheduler answers to one happening, in order."""

from actors.gpu.words import Decision, Effect, Shares


class Effects:
    """Collects effects until they are taken."""

    def __init__(self) -> None:
        self._all: list[Effect] = []

    def add(self, *effects: Effect) -> None:
        """To be done, after what is there already."""
        self._all += effects

    def decide(self, what: str, name: str, reason: str, shares: Shares | None = None, rule: str = "") -> None:
        """For the record; see `Decision`."""
        self._all.append(Decision(what, name, reason, dict(shares or {}), rule))

    def taken(self) -> list[Effect]:
        """All there are; from now on there are none."""
        found, self._all = self._all, []
        return found
