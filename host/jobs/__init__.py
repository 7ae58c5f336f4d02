"""Jobs: work that outlives the call that asked for it, kept in a table and done by whoever has a handler.

`design.md` has the decisions; docs/jobs.md shows how a capability uses them.
"""

from host.jobs.following import outcome
from host.jobs.housekeeping import Housekeeper
from host.jobs.ledger import Jobs
from host.jobs.rules import LostHold
from host.jobs.running import Running
from host.jobs.worker import Handler, Preempted, Worker

__all__ = [
    # Submitting, looking, asking
    "Jobs",
    "outcome",
    # Doing
    "Handler",
    "LostHold",
    "Preempted",
    "Running",
    "Worker",
    # Keeping in order
    "Housekeeper",
]
