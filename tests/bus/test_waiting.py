"""Which calls are opened again, and when; the numbers are those of bus/waiting.py."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import Code, MethodInfo, Policy, Resolution, RpcError
from bus.errors import bus_interrupted, interrupted, peer_lost, shutting_down
from bus.waiting import (
    BLIND_SECONDS,
    CONTINUATIONS,
    LONGEST_DELAY_SECONDS,
    MAX_RESOLVES,
    REPEATS,
    RESOLVE_AGAIN_SECONDS,
    RETURN_SECONDS,
    STRANGER_SECONDS,
    Again,
    GiveUp,
    Resolve,
    Standing,
    Verdict,
    Waiting,
)
from troupe.echo.v1 import EchoRequest

CONTINUED = Policy("model", continued_by="said")
RESOLVED = Policy("model", resolved_by=Resolution("troupe.model.v1.ModelService/LoadModel", "name"))


def method(policy: Policy | None = None, *, client: bool = False) -> MethodInfo:
    return MethodInfo("Say", "say", "a.v1.SayService", EchoRequest, EchoRequest, client, True, policy or Policy())


def nobody() -> RpcError:
    return RpcError(Code.UNAVAILABLE, "Nobody.", reason="NO_RESPONDERS", retry_after=1.0)


def waited(waiting: Waiting, standing: Standing) -> tuple[float, list[str], Verdict]:
    """How long the same refusal is borne, what is told meanwhile, and the last verdict."""
    now, notes = 100.0, []
    while isinstance(verdict := waiting.refused(nobody(), standing, now), Again):
        assert verdict.after <= LONGEST_DELAY_SECONDS
        now += max(verdict.after, 0.001)
        notes.append(verdict.note)
    return now - 100.0, [note for note in notes if note], verdict


@pytest.mark.parametrize("error", [nobody(), shutting_down(), interrupted(), peer_lost("p", "has ended")])
def test_1_what_was_answered_is_never_opened_again(error: RpcError) -> None:
    waiting = Waiting(method(Policy(idempotent=True)), "")
    verdict = waiting.refused(error, Standing(accepted=True, answered=True, expected=True), 0.0)
    assert verdict == GiveUp(error)


@pytest.mark.parametrize("error", [nobody(), shutting_down(), interrupted(), peer_lost("p", "has ended")])
def test_1_what_goes_on_is_opened_again_after_something_was_answered(error: RpcError) -> None:
    standing = Standing(accepted=True, answered=True, renewed=True, continuable=True, expected=True)
    assert isinstance(Waiting(method(CONTINUED), "").refused(error, standing, 0.0), Again)


def test_1_what_would_go_on_and_cannot_says_why() -> None:
    standing = Standing(accepted=True, answered=True, renewed=True, obstacle="it is too much.")
    lost, wrong = peer_lost("p", "has ended"), RpcError(Code.INVALID_ARGUMENT, "Wrong.")
    verdict = Waiting(method(CONTINUED), "").refused(lost, standing, 0.0)
    assert isinstance(verdict, GiveUp)
    assert (verdict.error.code, verdict.error.reason) == (Code.ABORTED, "CONTINUATION_UNSUPPORTED")
    assert verdict.error.metadata == {"cause": "PEER_LOST"}
    assert "from there: it is too much." in verdict.error.message
    assert Waiting(method(CONTINUED), "").refused(wrong, standing, 0.0) == GiveUp(wrong)


def test_2a_who_has_the_route_served_is_asked_first_and_not_for_ever() -> None:
    waiting = Waiting(method(RESOLVED), "tiny", resolvable=True)
    for _ in range(MAX_RESOLVES):
        assert waiting.refused(nobody(), Standing(), 0.0) == Resolve()
    verdict = waiting.refused(nobody(), Standing(), 0.0)
    assert isinstance(verdict, GiveUp)
    assert "SayService for 'tiny'" in verdict.error.message


@pytest.mark.parametrize(
    ("policy", "route", "resolvable"),
    [(Policy("model"), "tiny", True), (RESOLVED, "tiny", False), (RESOLVED, "", True)],
)
def test_2a_what_nobody_is_named_for_is_not_resolved(policy: Policy, route: str, resolvable: bool) -> None:
    waiting = Waiting(method(policy), route, resolvable=resolvable)
    assert isinstance(waiting.refused(nobody(), Standing(), 0.0), Again)


@pytest.mark.parametrize(
    ("standing", "seconds", "words"),
    [
        (Standing(), STRANGER_SECONDS, 0),
        (Standing(told=True), STRANGER_SECONDS, 0),
        (Standing(expected=True), BLIND_SECONDS, 2),
        (Standing(expected=True, told=True), RETURN_SECONDS, 5),
    ],
)
def test_2c_who_was_met_is_waited_for_longer_and_longest_where_somebody_is_told(
    standing: Standing, seconds: float, words: int
) -> None:
    borne, notes, verdict = waited(Waiting(method(), "", luck=lambda: 0.5), standing)
    assert borne == pytest.approx(seconds, abs=0.05)
    assert notes == ["SayService is being started again."] * words
    assert isinstance(verdict, GiveUp)
    assert verdict.error.reason == "NO_RESPONDERS"
    assert f"within {seconds:.0f} s" in verdict.error.message


@pytest.mark.parametrize("told", [False, True])
def test_2b_what_nobody_of_the_hub_serves_is_not_waited_for(told: bool) -> None:
    verdict = Waiting(method(), "").refused(nobody(), Standing(expected=False, told=told), 0.0)
    assert isinstance(verdict, GiveUp)
    assert verdict.error.reason == "NO_RESPONDERS"
    assert verdict.error.message.startswith("No actor of this hub serves SayService.")


@pytest.mark.parametrize("expected", [False, None])
def test_2b_what_stands_on_a_part_that_is_not_installed_is_refused_with_the_command(expected: bool | None) -> None:
    verdict = Waiting(method(), "").refused(nobody(), Standing(expected=expected, lacks="voice"), 0.0)
    assert isinstance(verdict, GiveUp)
    error = verdict.error
    assert (error.code, error.reason, error.metadata) == (
        Code.FAILED_PRECONDITION,
        "PART_NOT_INSTALLED",
        {"part": "voice"},
    )
    assert error.message.startswith("SayService needs the part voice")
    assert "`troupe add voice`" in error.message


def test_2b_somebody_else_who_may_come_is_waited_for_and_then_the_part_is_named() -> None:
    standing = Standing(expected=True, lacks="voice")
    borne, _, verdict = waited(Waiting(method(), "", luck=lambda: 0.5), standing)
    assert borne == pytest.approx(BLIND_SECONDS, abs=0.05)
    assert isinstance(verdict, GiveUp)
    assert verdict.error.reason == "PART_NOT_INSTALLED"


def test_2b_who_drains_is_there_whatever_is_known() -> None:
    assert isinstance(Waiting(method(), "").refused(shutting_down(), Standing(expected=False), 0.0), Again)


def test_2a_who_has_a_route_served_is_asked_also_where_nobody_serves_it() -> None:
    waiting = Waiting(method(RESOLVED), "tiny", resolvable=True)
    assert waiting.refused(nobody(), Standing(expected=False), 0.0) == Resolve()


def test_2c_whoever_drains_is_somebody_so_another_is_waited_for_as_for_one_who_was_met() -> None:
    waiting = Waiting(method(client=True), "")
    assert isinstance(waiting.refused(shutting_down(), Standing(accepted=True), 0.0), Again)
    assert isinstance(waiting.refused(shutting_down(), Standing(accepted=True), STRANGER_SECONDS + 0.1), Again)
    error = shutting_down()
    assert waiting.refused(error, Standing(accepted=True), BLIND_SECONDS + 0.1) == GiveUp(error)


def test_2d_who_could_not_have_it_served_is_asked_again_where_it_served_a_moment_ago() -> None:
    waiting = Waiting(method(RESOLVED), "tiny", resolvable=True, luck=lambda: 1.0)
    failed = RpcError(Code.FAILED_PRECONDITION, "It keeps ending.", reason="MODEL_LOAD_FAILED")
    assert waiting.refused(nobody(), Standing(told=True), 0.0) == Resolve()
    assert waiting.unresolved(failed, Standing(told=True), 0.0) == GiveUp(failed)  # it never served
    served = Standing(served=True, told=True)
    assert waiting.refused(nobody(), served, 0.0) == Resolve()
    now = 0.0
    while isinstance(verdict := waiting.unresolved(failed, served, now), Resolve):
        assert (verdict.after, bool(verdict.note)) == (RESOLVE_AGAIN_SECONDS, True)
        now += verdict.after
    assert (now, verdict) == (RETURN_SECONDS, GiveUp(failed))


def test_2d_what_is_not_there_any_more_is_not_asked_for_again() -> None:
    waiting = Waiting(method(RESOLVED), "tiny", resolvable=True)
    gone = RpcError(Code.NOT_FOUND, "There is no such model.")
    assert waiting.unresolved(gone, Standing(served=True, told=True), 0.0) == GiveUp(gone)


def test_3a_who_looked_and_could_not_is_not_asked_the_same_again() -> None:
    judged = RpcError(Code.UNAVAILABLE, "The family is away.", reason="FAMILY_UNAVAILABLE")
    told = Standing(accepted=True, heard=True, continuable=True, expected=True)
    for policy in (Policy(idempotent=True), CONTINUED):
        assert Waiting(method(policy), "").refused(judged, told, 0.0) == GiveUp(judged)
        assert isinstance(Waiting(method(policy), "").refused(interrupted(), told, 0.0), Again)
    assert isinstance(Waiting(method(Policy(idempotent=True)), "").refused(judged, Standing(accepted=True), 0.0), Again)


def test_3b_what_goes_on_is_tried_anew_whenever_something_new_was_delivered() -> None:
    waiting, lost = Waiting(method(CONTINUED), ""), peer_lost("p", "has ended")
    stuck = Standing(accepted=True, answered=True, continuable=True)
    renewed = Standing(accepted=True, answered=True, continuable=True, renewed=True)
    for standing in [renewed, *[stuck] * (REPEATS - 1), renewed, *[stuck] * (REPEATS - 1)]:
        verdict = waiting.refused(lost, standing, 0.0)
        assert isinstance(verdict, Again)
        assert verdict.note == "SayService is being started again; the answer goes on."
    assert waiting.refused(lost, stuck, 0.0) == GiveUp(lost)


def test_3b_what_loses_every_responder_comes_to_an_end_however_much_it_says() -> None:
    waiting, lost = Waiting(method(CONTINUED), ""), peer_lost("p", "has ended")
    renewed = Standing(accepted=True, answered=True, continuable=True, renewed=True)
    for _ in range(CONTINUATIONS):
        assert isinstance(waiting.refused(lost, renewed, 0.0), Again)
    assert waiting.refused(lost, renewed, 0.0) == GiveUp(lost)


def test_3b_of_which_only_progress_was_told_is_opened_again_from_its_beginning() -> None:
    waiting, lost = Waiting(method(CONTINUED), ""), peer_lost("p", "has ended")
    for _ in range(REPEATS - 1):
        verdict = waiting.refused(lost, Standing(accepted=True, continuable=True), 0.0)
        assert isinstance(verdict, Again)
        assert not verdict.note
    assert waiting.refused(lost, Standing(accepted=True), 0.0) == GiveUp(lost)


def test_3b_what_may_be_done_twice_is_tried_a_few_times() -> None:
    waiting = Waiting(method(Policy(idempotent=True)), "")
    error = interrupted()
    standing = Standing(accepted=True, expected=True)
    verdicts = [waiting.refused(error, standing, float(second)) for second in range(REPEATS)]
    assert [type(verdict) for verdict in verdicts] == [Again] * (REPEATS - 1) + [GiveUp]


def test_3b_a_stream_of_requests_that_was_accepted_is_not_all_here_any_more() -> None:
    waiting = Waiting(method(Policy(idempotent=True), client=True), "")
    assert isinstance(waiting.refused(interrupted(), Standing(accepted=True), 0.0), GiveUp)


def test_3c_a_peer_that_did_not_accept_is_not_asked_three_times() -> None:
    waiting = Waiting(method(Policy(idempotent=True)), "")
    lost = peer_lost("", "did not accept the call")
    assert isinstance(waiting.refused(lost, Standing(), 4.0), Again)
    assert waiting.refused(lost, Standing(), 8.0) == GiveUp(lost)


@pytest.mark.parametrize(
    "error", [RpcError(Code.INTERNAL, "x"), RpcError(Code.RESOURCE_EXHAUSTED, "full"), interrupted()]
)
def test_4_everything_else_is_the_callers(error: RpcError) -> None:
    assert Waiting(method(), "").refused(error, Standing(), 0.0) == GiveUp(error)


ERRORS = [nobody, shutting_down, interrupted, lambda: peer_lost("p", "hangs"), lambda: RpcError(Code.NOT_FOUND, "x")]


@given(st.lists(st.tuples(st.sampled_from(ERRORS), st.booleans(), st.booleans(), st.floats(0.0, 0.4))), st.booleans())
def test_every_series_of_failures_comes_to_an_end(
    failures: list[tuple[object, bool, bool, float]], twice: bool
) -> None:
    waiting = Waiting(method(Policy("model", idempotent=twice)), "tiny")
    now = 0.0
    for make, accepted, met, pause in itertools.islice(itertools.cycle(failures or [(nobody, False, True, 0.1)]), 2000):
        now += pause
        verdict = waiting.refused(make(), Standing(accepted=accepted, expected=met or None, told=True), now)  # type: ignore[operator]
        if isinstance(verdict, GiveUp):
            break
        assert isinstance(verdict, Again)
        now += verdict.after + 0.001
    else:
        raise AssertionError("it never ends")
    assert now < 2 * (REPEATS + 1) * RETURN_SECONDS


def test_3c_a_bus_that_was_away_makes_nobody_suspect() -> None:
    waiting = Waiting(method(Policy(idempotent=True)), "")
    for _ in range(REPEATS - 1):
        assert isinstance(waiting.refused(bus_interrupted(), Standing(expected=True), 0.0), Again)
    assert isinstance(waiting.refused(bus_interrupted(), Standing(expected=True), 0.0), GiveUp)
    once = Waiting(method(), "").refused(bus_interrupted(), Standing(expected=True), 0.0)
    assert isinstance(once, GiveUp)
    assert once.error.reason == "BUS_INTERRUPTED"
