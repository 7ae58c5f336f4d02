"""Rule 15: when another process of work is welcome, which makes way, and when there is one too many."""

from collections.abc import Mapping

from actors.gpu.scheduler import Scheduler
from actors.gpu.urgency import (
    REPLICA_AFTER_SECONDS,
    REPLICA_AGAIN_SECONDS,
    REPLICA_LEAVES_SECONDS,
    REPLICA_SPARE_SECONDS,
    RESERVATION_SECONDS,
)
from actors.gpu.words import (
    Asked,
    Claimed,
    Decision,
    Effect,
    Kind,
    Loaded,
    Pinned,
    Refused,
    Revoke,
    Used,
    Variant,
    Welcome,
    Work,
)
from bus.priority import Priority

from .recorder import GB, Recorder, work

LOAD_SECONDS = 1.0


def shared(name: str, gigabytes: float = 5, **more: object) -> Work:
    return work(name, gigabytes, replicates=True, **more)


def crowded(stage: Recorder, lease: str, running: int = 2, waiting: int = 1) -> list[Effect]:
    """Calls wait in it."""
    return stage.say(Used(lease, running, waiting, begun=running))


def ask(stage: Recorder, lease: str, what: Work) -> list[Effect]:
    """A process comes that would share the calls of those that there are."""
    return stage.say(Asked(lease, f"process of {lease}", what, replica=True))


def two(total: float = 16) -> Recorder:
    """Two processes of one work that are used alike."""
    stage = Recorder(total)
    stage.load("a1", shared("a"))
    crowded(stage, "a1")
    assert stage.only(stage.wait(REPLICA_AFTER_SECONDS), Welcome)
    assert stage.granted(ask(stage, "a2", shared("a"))) == ["a2"]
    stage.wait(LOAD_SECONDS)
    stage.say(Loaded("a2"))
    stage.say(Used("a1", 2, begun=3))
    stage.say(Used("a2", 2, begun=1))
    return stage


def test_where_calls_wait_for_a_while_another_process_is_welcome_and_its_place_is_kept() -> None:
    stage = Recorder()
    stage.load("a1", shared("a"))
    crowded(stage, "a1")
    said = stage.wait(REPLICA_AFTER_SECONDS)
    assert stage.one(said, Welcome) == Welcome("a1", RESERVATION_SECONDS)
    assert [decision for decision in stage.only(said, Decision) if decision.rule == "15"]
    assert stage.states() == {"a1": "busy", "a": "placed"}
    assert stage.granted(ask(stage, "a2", shared("a"))) == ["a2"]


def test_calls_that_wait_no_longer_than_a_load_takes_need_no_other_process() -> None:
    stage = Recorder()
    slow = shared("a", load_seconds=20.0)
    stage.ask("a1", slow)
    stage.wait(20)
    stage.say(Loaded("a1"))
    crowded(stage, "a1")
    assert not stage.only(stage.wait(19), Welcome)
    stage.say(Used("a1", 2, begun=4))
    crowded(stage, "a1")
    assert not stage.only(stage.wait(19), Welcome)
    assert stage.only(stage.wait(1), Welcome)


def test_work_that_does_not_replicate_has_one_process() -> None:
    stage = Recorder()
    stage.load("a1", work("a"))
    crowded(stage, "a1")
    assert not stage.only(stage.wait(1000), Welcome)


def test_a_process_that_was_not_welcome_is_refused() -> None:
    stage = Recorder()
    stage.load("a1", shared("a"))
    assert stage.one(ask(stage, "a2", shared("a")), Refused).reason == "REPLICA_NOT_WANTED"


def test_whoever_comes_to_share_calls_and_finds_nobody_is_placed_as_any_other() -> None:
    stage = Recorder()
    assert stage.granted(ask(stage, "a2", shared("a"))) == ["a2"]


def test_a_place_that_no_process_comes_for_is_freed_and_offered_again_only_after_a_time() -> None:
    stage = Recorder()
    stage.load("a1", shared("a"))
    crowded(stage, "a1")
    assert stage.only(stage.wait(REPLICA_AFTER_SECONDS), Welcome)
    said = stage.wait(REPLICA_AGAIN_SECONDS - 1)
    assert "4" in stage.rules(said) and not stage.only(said, Welcome)
    assert len(stage.only(stage.wait(1), Welcome)) == 1


def most(kind: Kind, replicas: Mapping[Kind, int]) -> int:
    """How many processes of one work there come to be."""
    stage = Recorder(None)
    stage.scheduler = Scheduler(replicas=replicas)
    stage.device("device", 100, kind)
    what = shared("a", variants=[Variant({Kind.SYSTEM if kind is Kind.SYSTEM else Kind.NVIDIA: 5 * GB})])
    stage.load("a1", what)
    for number in range(2, 9):
        for view in stage.scheduler.snapshot(stage.now).leases:
            crowded(stage, view.lease)
        if not any(stage.only(stage.wait(1), Welcome) for _ in range(int(REPLICA_AGAIN_SECONDS))):
            return number - 1
        assert stage.granted(ask(stage, f"a{number}", what))
        stage.say(Loaded(f"a{number}"))
    return 9


def test_there_are_no_more_than_the_kind_of_device_allows() -> None:
    assert most(Kind.FIXED, {Kind.FIXED: 3}) == 3
    assert most(Kind.SYSTEM, {Kind.FIXED: 3, Kind.SYSTEM: 1}) == 1
    assert most(Kind.NVIDIA, {Kind.NVIDIA: 2}) == 2


def test_nobody_is_welcome_while_somebody_waits_for_memory() -> None:
    stage = Recorder(16)
    stage.load("a1", shared("a", 5))
    stage.load("b1", shared("b", 5))
    stage.say(Used("b1", 1, begun=1))
    crowded(stage, "a1")
    stage.demand("c", work("c", 12), Priority.BATCH)
    assert not stage.only(stage.wait(REPLICA_AFTER_SECONDS + 1), Welcome)


def test_a_place_that_is_kept_is_given_up_as_soon_as_somebody_waits_for_memory() -> None:
    stage = Recorder(16)
    stage.load("a1", shared("a", 5))
    crowded(stage, "a1")
    assert stage.only(stage.wait(REPLICA_AFTER_SECONDS), Welcome)
    assert stage.placed(stage.demand("b", work("b", 7))) == ["b"]
    assert stage.states() == {"a1": "busy", "b": "placed"}


def test_another_process_takes_the_place_of_nobody_who_is_used_or_was_lately() -> None:
    stage = Recorder(16)
    stage.load("a1", shared("a", 6))
    stage.load("b1", work("b", 6))
    crowded(stage, "a1")
    said = stage.wait(REPLICA_LEAVES_SECONDS - 2)
    assert not stage.only(said, Welcome) and not stage.revoked(said)
    stage.use("b1")
    said = stage.wait(REPLICA_LEAVES_SECONDS)
    assert not stage.only(said, Welcome) and not stage.revoked(said)


def test_what_nobody_has_used_for_long_makes_room_for_another_process() -> None:
    stage = Recorder(16)
    stage.load("a1", shared("a", 6))
    stage.load("b1", work("b", 6))
    crowded(stage, "a1")
    said = stage.wait(REPLICA_LEAVES_SECONDS + REPLICA_AGAIN_SECONDS)
    assert stage.revoked(said) == ["b1"] and "15" in stage.rules(said)
    stage.release("b1")
    assert stage.only(stage.wait(REPLICA_AGAIN_SECONDS), Welcome)


def test_what_is_pinned_makes_no_room_for_another_process() -> None:
    stage = Recorder(16)
    stage.load("a1", shared("a", 6))
    stage.load("b1", work("b", 6))
    stage.say(Pinned("b", pinned=True))
    crowded(stage, "a1")
    said = stage.wait(2 * REPLICA_LEAVES_SECONDS)
    assert not stage.only(said, Welcome) and not stage.revoked(said)


def test_one_of_several_makes_room_at_once_though_all_are_busy_and_pinned_before_anybody_idle() -> None:
    stage = two(total=20)
    stage.load("b1", work("b", 5))
    stage.say(Pinned("a", pinned=True))
    said = stage.demand("c", work("c", 5))
    assert stage.revoked(said) == ["a2"]
    assert "others" not in stage.one(said, Revoke).reason
    stage.release("a2")
    assert stage.states()["a1"] == "busy"


def test_the_last_of_several_is_treated_like_any_other() -> None:
    stage = two(total=16)
    said = stage.demand("c", work("c", 11))
    assert stage.revoked(said) == []  # a1 is busy, and all victims go or none
    said = stage.wait(120)
    assert sorted(stage.revoked(said)) == ["a1", "a2"]


def test_one_too_many_is_given_back_when_the_others_could_do_its_work_for_a_time() -> None:
    stage = two()
    assert not stage.revoked(stage.wait(2 * REPLICA_SPARE_SECONDS))
    stage.say(Used("a1", 1, begun=3))
    stage.say(Used("a2", 0, begun=1))
    assert not stage.revoked(stage.wait(REPLICA_SPARE_SECONDS - 1))
    stage.say(Used("a1", 2, begun=4))
    stage.say(Used("a1", 1, begun=4))
    assert not stage.revoked(stage.wait(REPLICA_SPARE_SECONDS - 1))
    said = stage.wait(1)
    assert stage.revoked(said) == ["a2"] and "15" in stage.rules(said)
    stage.release("a2")
    assert not stage.revoked(stage.wait(10 * REPLICA_SPARE_SECONDS))


def test_a_process_that_dies_leaves_the_others_and_its_callers_are_theirs() -> None:
    stage = two()
    stage.demand("d", shared("a"))
    stage.release("a1")
    assert stage.states() == {"a2": "busy"}
    assert stage.queue() == []
    stage.say(Used("a2", 0, begun=1))
    assert stage.lease("a2").state == "busy"  # the demand's call is on its way
    assert stage.placed(stage.demand("e", shared("a"))) == ["e"]


def test_several_that_claim_after_a_restart_are_several_still() -> None:
    stage = Recorder()
    for lease in ("a1", "a2"):
        stage.say(Claimed(lease, lease, shared("a"), {"card": 5 * GB}))
        stage.say(Used(lease, 2, begun=2))
    assert stage.revoked(stage.demand("c", work("c", 5))) == ["a2"]


def test_a_place_that_no_process_has_is_never_revoked() -> None:
    stage = Recorder(16)
    stage.demand("d", shared("a", 5))
    stage.say(Claimed("a1", "a1", shared("a", 5), {"card": 5 * GB}))
    said = stage.demand("c", work("c", 11)) + stage.wait(20)
    assert [lease for lease in stage.revoked(said) if lease.startswith("placed")] == []


def test_one_beside_another_that_only_loads_is_not_one_too_many() -> None:
    stage = Recorder(16)
    stage.say(Pinned("a", pinned=True))
    for lease in ("a1", "a2"):
        stage.say(Claimed(lease, lease, shared("a", 5), {"card": 5 * GB}, loaded=False))
    assert not stage.revoked(stage.demand("c", work("c", 5)) + stage.wait(20))
