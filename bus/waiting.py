"""Whether a call that was refused, or lost its responder, is opened again, and when. Pure: errors in, verdicts out.

Channels and doors decide by the same rules:

1. A call of which something was answered is never opened again.
2. What has certainly not begun (NO_RESPONDERS, SHUTTING_DOWN) is opened again whatever the method does:
   a. if nobody serves the route, and the contract says who has it served, after that was asked, a few times;
   b. not where it is known that nobody of this hub serves it;
   c. else until someone comes back: a restarted actor takes about a second, one that is replaced after a hang four.
3. What may have begun is opened again only where the method is idempotent and its requests are still here:
   a. REPEATS times in all;
   b. once if the peer did not even accept, since it may be the same one that hangs; not where the bus was away.
4. Everything else is the caller's to know.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from bus.errors import Code, RpcError
from bus.service import MethodInfo

RETURN_SECONDS = 10.0
"""How long someone who served before is waited for where the caller is told so by Progress."""

BLIND_SECONDS = 4.0
"""The same for callers that cannot be told: nobody waits 5 s without a word."""

STRANGER_SECONDS = 1.0
"""How long a service or route is waited for of which nobody knows here: it may be starting, or not exist."""

FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 0.5

SAY_SECONDS = 0.5
"""Waiting that is shorter is not worth a word."""

SAY_AGAIN_SECONDS = 2.0

REPEATS = 3
"""How often a call that may be done twice is tried."""

MAX_RESOLVES = 3
"""How often one call has its route served."""


@dataclass(frozen=True, slots=True)
class Again:
    """Open the call again after so many seconds; `note` is for whoever can be told, empty where there is no need."""

    after: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Resolve:
    """Have the route served, then open the call again."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The call ends with this error."""

    error: RpcError


Verdict = Again | Resolve | GiveUp


@dataclass(frozen=True, slots=True)
class Standing:
    """How a call stood when it ended.

    accepted: a responder had taken it. answered: something of the answer had come. expected: somebody who serves it may
    come; False: nobody of this hub; None: nobody knows. told: somebody hears Progress.
    """

    accepted: bool = False
    answered: bool = False
    expected: bool | None = None
    told: bool = False


class Waiting:
    """Decides for one call, from its first OPEN to its end. Time is any clock in seconds.

    resolvable: there is someone to ask for the route. luck: 0 to 1, spreads those who wait for the same one.
    """

    def __init__(
        self, method: MethodInfo, route: str, *, resolvable: bool = False, luck: Callable[[], float] = random.random
    ) -> None:
        self._method = method
        self._route = route
        self._resolvable = resolvable and bool(route) and method.policy.resolved_by is not None
        self._luck = luck
        self._resolves = 0
        self._tries = 1
        self._refusals = 0
        self._unaccepted = 0
        self._since: float | None = None
        self._said = 0.0

    def refused(self, error: RpcError, standing: Standing, now: float) -> Verdict:
        """The call has ended with an error."""
        if standing.answered:  # 1
            return GiveUp(error)
        if error.never_begun:  # 2
            return self._not_begun(error, standing, now)
        return self._begun(error, standing)

    def _not_begun(self, error: RpcError, standing: Standing, now: float) -> Verdict:
        nobody = error.reason == "NO_RESPONDERS"
        if nobody and self._resolvable:  # 2a
            if self._resolves == MAX_RESOLVES:
                return GiveUp(self._nobody(error, 0.0))
            self._resolves += 1
            self._since = None
            return Resolve()
        if nobody and standing.expected is False:  # 2b
            return GiveUp(self._absent(error))
        if self._since is None:  # 2c
            self._since, self._said, self._refusals = now, now - SAY_AGAIN_SECONDS + SAY_SECONDS, 0
        patience = STRANGER_SECONDS
        if standing.expected or not nobody:
            patience = RETURN_SECONDS if standing.told else BLIND_SECONDS
        waited = now - self._since
        if waited >= patience:
            return GiveUp(self._nobody(error, waited) if nobody else error)
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0**self._refusals) * (0.5 + 0.5 * self._luck())
        self._refusals = min(self._refusals + 1, 16)
        # Of a stranger nobody knows whether it was ever there.
        word = self._word(now) if patience > STRANGER_SECONDS else ""
        return Again(min(delay, max(0.0, patience - waited)), word)

    def _begun(self, error: RpcError, standing: Standing) -> Verdict:
        again = error.code is Code.UNAVAILABLE and self._method.policy.idempotent
        kept = not (self._method.client_streaming and standing.accepted)
        if not again or not kept or self._tries >= REPEATS:  # 3a, 4
            return GiveUp(error)
        if not standing.accepted and error.reason != "BUS_INTERRUPTED":  # 3b
            self._unaccepted += 1
            if self._unaccepted > 1:
                return GiveUp(error)
        self._since = None
        self._tries += 1
        return Again(FIRST_DELAY_SECONDS * self._tries)

    def _word(self, now: float) -> str:
        if now - self._said < SAY_AGAIN_SECONDS:
            return ""
        self._said = now
        return f"{self._what()} is being started again."

    def _what(self) -> str:
        name = self._method.service.rpartition(".")[2]
        return f"{name} for {self._route[:80]!r}" if self._route else name

    def _nobody(self, error: RpcError, waited: float) -> RpcError:
        came = f", and nobody has come within {waited:.0f} s" if waited >= STRANGER_SECONDS else ""
        return self._reworded(
            error, f"Nobody serves {self._what()} now{came}. See /readyz or `troupe models` for what is served."
        )

    def _absent(self, error: RpcError) -> RpcError:
        see = "`troupe status` says what runs, and [supervisor] actors in troupe.toml what should."
        return self._reworded(error, f"No actor of this hub serves {self._what()}. {see}")

    def _reworded(self, error: RpcError, message: str) -> RpcError:
        return RpcError(
            error.code,
            message,
            reason=error.reason,
            metadata={**error.metadata, "service": self._method.service},
            retry_after=error.retry_after,
            reference=error.reference,
        )
