"""How long each class of wants waits for what. All numbers are seconds unless they say otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass

from bus.priority import Priority


@dataclass(frozen=True, slots=True)
class Urgency:
    """What one class may expect, and what it leaves to others.

    patience: so long a want leaves a busy lease alone before that is revoked for it; where the lease's class is not
    more urgent, at most `PATIENCE_PER_SWITCH` times what the switch costs. bound: nobody of this class waits longer
    where it fits and holders obey; from half of it on a want is overdue and goes before every class, so that the other
    half is there for those that are overdue before it. keeps: so long an idle lease of a more urgent class is left
    alone, because a person who thinks is no person who has left.
    """

    patience: float
    bound: float
    keeps: float


URGENCY: Mapping[Priority, Urgency] = {
    # Somebody is in mid-sentence: a second is felt. The bound is a drain and a load, twice: less cannot be promised.
    Priority.VOICE: Urgency(patience=0.5, bound=60.0, keeps=0.0),
    # Somebody looks at the screen. Most are there within half a minute also under a heavy load; the bound is what a
    # dozen models that are all wanted at once may take.
    Priority.INTERACTIVE: Urgency(patience=10.0, bound=180.0, keeps=0.0),
    # Nobody looks; the work is to be done within the hour.
    Priority.BATCH: Urgency(patience=60.0, bound=1200.0, keeps=30.0),
    # Takes hours by itself.
    Priority.TRAINING: Urgency(patience=300.0, bound=7200.0, keeps=120.0),
}

PATIENCE_PER_SWITCH = 4.0
"""Times the cost of a switch (loading the one, and later the other again) that a want waits at most before it revokes
what is busy: then a device spends at most about a fifth of its time on switches, however many names are asked for. On
the trace of `make bench ARGS=stage` 1, 2 and 4 differ by some 5 % in the p95 at 9 GB/s and not at 2."""

RESIDENCY_PER_LOAD = 1.0
RESIDENCY_SECONDS = 10.0
"""What was loaded stays at least as long as its load took, and at most so long: half of the time at worst goes into
loads, and what is quickly loaded is quickly gone."""

DRAIN_SECONDS = 30.0
"""A busy lease that is revoked has so long to finish its calls. Nine answers of ten are done by then."""

IDLE_SECONDS = 5.0
"""An idle lease that is revoked has so long to end: its process only has to stop."""

PREEMPT_SECONDS = 20.0
"""Preemptible work has so long to write its checkpoint and give way."""

OVERDUE_AGAIN_SECONDS = 10.0
"""Whoever has not ended in its time is told to be killed again after so long."""

RESERVATION_SECONDS = 30.0
"""A place that no process has taken up is given up after so long: a start with its imports takes under 15."""

VERIFY_SECONDS = 10.0
"""Memory that was given back and not seen to be free is held so long. Drivers need up to two seconds."""

HANDOVER_SECONDS = 5.0
"""A demand that has been placed counts as use so long after its work is ready: its call is on the way."""

SETTLE_SECONDS = 1.0
"""After a demand has ended, its lease counts as used so long: the word of its use may come after that of its end."""

LOADING_SECONDS = 300.0
"""A load that takes longer than this, and than ten times what was expected, may be revoked as what is busy may."""

OVER_SECONDS = 2.0
"""A device above its cap that stays so has its idle leases revoked. A look at it between two of a process's steps, or
before all holders have claimed, is no reason."""

FAIR_SECONDS = 5.0
FAIR_WINDOW_SECONDS = 60.0
"""Each place that a principal was given within the window puts its wants so much later among those of their class."""

REPLICA_AFTER_SECONDS = 5.0
"""Calls have waited so long in each process of a work, and as long as a load takes, before another one is welcome: what
goes by while it loads needs no process."""

REPLICA_AGAIN_SECONDS = 60.0
"""Between two welcomes for one work, whatever became of the first."""

REPLICA_SPARE_SECONDS = 60.0
REPLICA_SPARE_SHARE = 0.5
"""One process of several is given back when the others could have run all calls for so long, with this share of what
they can."""

REPLICA_LEAVES_SECONDS = 600.0
"""What another process would take the place of has been idle for so long: nobody waits for it to be loaded again."""

OUT_OF_MEMORY_GROWTH = 1.25
"""After a failure for want of memory, the work is planned with so many times what it was granted."""

FAILED_SECONDS = 600.0
"""And so long; then its sizes are believed again."""

OUT_OF_MEMORY_LIMIT = 3
"""Failures one after the other; then the work is refused for a time."""

QUARANTINE_SECONDS = 60.0
LONGEST_QUARANTINE_SECONDS = 3600.0
"""That time; it doubles with each further failure up to the longest."""

REFUSED_AGAIN_SECONDS = 60.0
"""Who was refused because others use the memory may try again after so long."""
