"""Whether a call that was refused, or lost its responder, is opened again, and when. Pure: errors in, verdicts out.

Channels and doors decide by the same rules:

1. A call of which something was answered, and not only Progress told, is opened again only where its method goes on
   from what was delivered (`continued_by`), and that is still here. Then it goes along, and the rest holds as before.
2. What has certainly not begun (NO_RESPONDERS, SHUTTING_DOWN) is opened again whatever the method does:
   a. if nobody serves the route, and the contract says who has it served, after that was asked, a few times;
   b. not where it is known that nobody of this hub serves it, or that the part which would is not installed;
   c. else until someone comes back: a restarted actor takes about a second, one that is replaced after a hang four.
   d. Who was asked to have the route served, and could not, is asked again for a while if somebody had served it here
      before: what served a moment ago is being started again, with whoever starts it.
3. What may have begun is opened again only where the method is idempotent, or goes on, and its requests are still here:
   a. after Progress, or to go on, only when the responder was lost, and not when it judged so after it had looked;
   b. REPEATS times in all; where it goes on, as often as something new was delivered, and CONTINUATIONS times in all;
   c. once if the peer did not even accept, since it may be the same one that hangs; not where the bus was away.
4. Everything else is the caller's to know.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from bus.errors import Code, RpcError, continuation_unsupported, part_not_installed
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
"""How often a call that may be done twice is tried; one that goes on, since something new was delivered."""

CONTINUATIONS = 64
"""How often one call goes on after its responder was lost, however much was delivered in between."""

MAX_RESOLVES = 3
"""How often one call has its route served; one that goes on, since something new was delivered."""

RESOLVE_AGAIN_SECONDS = 0.5
"""Until who could not have a route served is asked again."""


@dataclass(frozen=True, slots=True)
class Again:
    """Open the call again after so many seconds; `note` is for whoever can be told, empty where there is no need."""

    after: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Resolve:
    """Have the route served after so many seconds, then open the call again; `note` as in Again."""

    after: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The call ends with this error."""

    error: RpcError


Verdict = Again | Resolve | GiveUp


@dataclass(frozen=True, slots=True)
class Standing:
    """How a call stood when it ended.

    accepted: a responder had taken it. heard: something had come from this attempt, and be it Progress. answered: part
    of the answer had come. renewed: some of that from this attempt. continuable: all of it is here, in a form that the
    request takes. obstacle: why it is not, as a sentence, where the method would go on. expected: somebody who serves
    it may come; False: nobody of this hub; None: nobody knows. lacks: the part that would serve it and is not
    installed. served: somebody has served it before, this call or another. told: somebody hears Progress.
    """

    accepted: bool = False
    heard: bool = False
    answered: bool = False
    renewed: bool = False
    continuable: bool = False
    obstacle: str = ""
    expected: bool | None = None
    lacks: str = ""
    served: bool = False
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
        self._continuations = 0
        self._refusals = 0
        self._unaccepted = 0
        self._since: float | None = None
        self._failing: float | None = None
        self._said = 0.0

    def refused(self, error: RpcError, standing: Standing, now: float) -> Verdict:
        """The call has ended with an error."""
        self._failing = None
        if standing.answered and not standing.continuable:  # 1
            lost = error.code is Code.UNAVAILABLE and standing.obstacle
            return GiveUp(continuation_unsupported(standing.obstacle, error.reason) if lost else error)
        if standing.renewed:
            self._resolves, self._tries, self._unaccepted, self._since = 0, 0, 0, None
        if error.never_begun:  # 2
            return self._not_begun(error, standing, now)
        return self._begun(error, standing)

    def unresolved(self, error: RpcError, standing: Standing, now: float) -> Verdict:
        """Who has the route served could not, after `Resolve`."""
        if not standing.served or error.code not in (Code.UNAVAILABLE, Code.FAILED_PRECONDITION):  # 2d
            return GiveUp(error)
        if self._failing is None:
            self._failing = now
        if now - self._failing >= (RETURN_SECONDS if standing.told else BLIND_SECONDS):
            return GiveUp(error)
        return Resolve(RESOLVE_AGAIN_SECONDS * (0.5 + 0.5 * self._luck()), f"{self._what()} is being started again.")

    def _not_begun(self, error: RpcError, standing: Standing, now: float) -> Verdict:
        nobody = error.reason == "NO_RESPONDERS"
        if nobody and self._resolvable:  # 2a
            if self._resolves == MAX_RESOLVES:
                return GiveUp(self._nobody(error, 0.0))
            self._resolves += 1
            self._since = None
            return Resolve()
        if nobody and (standing.expected is False or (standing.lacks and not standing.expected)):  # 2b
            return GiveUp(self._absent(error, standing.lacks))
        if self._since is None:  # 2c
            self._since, self._said, self._refusals = now, now - SAY_AGAIN_SECONDS + SAY_SECONDS, 0
        patience = STRANGER_SECONDS
        if standing.expected or not nobody:
            patience = RETURN_SECONDS if standing.told else BLIND_SECONDS
        waited = now - self._since
        if waited >= patience:
            return GiveUp(self._nobody(error, waited, standing.lacks) if nobody else error)
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0**self._refusals) * (0.5 + 0.5 * self._luck())
        self._refusals = min(self._refusals + 1, 16)
        # Of a stranger nobody knows whether it was ever there.
        word = self._word(now) if patience > STRANGER_SECONDS else ""
        return Again(min(delay, max(0.0, patience - waited)), word)

    def _begun(self, error: RpcError, standing: Standing) -> Verdict:
        policy = self._method.policy
        again = policy.idempotent or bool(policy.continued_by)
        if standing.heard or not policy.idempotent:  # 3a
            again = again and error.lost
        kept = not (self._method.client_streaming and standing.accepted)
        spent = self._tries >= REPEATS or self._continuations >= CONTINUATIONS
        if error.code is not Code.UNAVAILABLE or not again or not kept or spent:  # 3b, 4
            return GiveUp(error)
        if not standing.accepted and error.reason != "BUS_INTERRUPTED":  # 3c
            self._unaccepted += 1
            if self._unaccepted > 1:
                return GiveUp(error)
        self._since = None
        self._tries += 1
        if not standing.answered:
            return Again(FIRST_DELAY_SECONDS * self._tries)
        self._continuations += 1
        return Again(FIRST_DELAY_SECONDS * self._tries, f"{self._what()} is being started again; the answer goes on.")

    def _word(self, now: float) -> str:
        if now - self._said < SAY_AGAIN_SECONDS:
            return ""
        self._said = now
        return f"{self._what()} is being started again."

    def _what(self) -> str:
        name = self._method.service.rpartition(".")[2]
        return f"{name} for {self._route[:80]!r}" if self._route else name

    def _nobody(self, error: RpcError, waited: float, lacks: str = "") -> RpcError:
        if lacks:
            return part_not_installed(self._what(), lacks)
        came = f", and nobody has come within {waited:.0f} s" if waited >= STRANGER_SECONDS else ""
        return self._reworded(
            error, f"Nobody serves {self._what()} now{came}. See /readyz or `troupe models` for what is served."
        )

    def _absent(self, error: RpcError, lacks: str) -> RpcError:
        if lacks:
            return part_not_installed(self._what(), lacks)
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
