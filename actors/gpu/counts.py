"""What the stage has done so far, for metrics."""

from collections import Counter

from bus.priority import Priority
from host.metrics import Histogram

WAIT_BOUNDS = (0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 7200.0)
"""Seconds."""


class Counts:
    """What has happened so far. waits: from a wish to its place, by class. revokes: by the rule."""

    def __init__(self) -> None:
        self.loads = 0
        self.evictions = 0
        self.revokes: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.waits = {priority: Histogram(WAIT_BOUNDS) for priority in Priority}
