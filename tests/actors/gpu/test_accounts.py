"""Whose the memory is that is used."""

import pytest

from actors.gpu.accounts import Accounts, Holding
from actors.gpu.reading import Held, Reading
from actors.gpu.words import DeviceSeen, Kind

CARD = Kind.NVIDIA


def card(used: int, held: dict[int, Held] | None) -> Reading:
    return Reading("card", CARD, 100, used, held)


def alone(**sizes: int) -> dict[int, Held]:
    return {int(pid[1:]): Held(size, size) for pid, size in sizes.items()}


def test_a_budget_is_nobody_elses() -> None:
    seen = Accounts(0.5).seen(Reading("f", Kind.FIXED, 10, 7), [Holding("f", 1, 5, loaded=True)])
    assert seen == DeviceSeen("f", Kind.FIXED, 10, 0, None, 0.5)


def test_what_holders_processes_hold_is_ours_and_the_rest_is_others() -> None:
    own = [
        Holding("card", 1, 20, loaded=True),
        Holding("card", 2, 30, loaded=False),
        Holding("other", 3, 9, loaded=True),
    ]
    seen = Accounts(0.8).seen(card(60, alone(p1=22, p2=5, p3=8)), own)
    assert (seen.others, seen.ours) == (60 - 27, 27)


def test_two_leases_of_one_process_count_its_memory_once() -> None:
    own = [Holding("card", 1, 20, loaded=True), Holding("card", 1, 10, loaded=True)]
    seen = Accounts(0.8).seen(card(40, alone(p1=31)), own)
    assert (seen.others, seen.ours) == (9, 31)


def test_mapped_files_are_ours_though_the_kernel_calls_them_free() -> None:
    own = [Holding("main", 1, 20, loaded=True)]
    seen = Accounts(0.8).seen(Reading("main", Kind.SYSTEM, 100, 30, {1: Held(whole=25, counted=5)}), own)
    assert (seen.others, seen.ours) == (25, 25)


def test_one_that_loads_need_not_hold_anything_yet() -> None:
    seen = Accounts(0.8).seen(card(10, {}), [Holding("card", 1, 20, loaded=False)])
    assert (seen.others, seen.ours) == (10, 0)


@pytest.mark.parametrize("held", [None, {}])
@pytest.mark.parametrize("pid", [0, 1])
def test_where_processes_are_not_found_what_was_granted_is_ours(held: dict[int, Held] | None, pid: int) -> None:
    seen = Accounts(0.8).seen(card(50, held), [Holding("card", pid, 20, loaded=True)])
    assert (seen.others, seen.ours) == (30, None)


def test_while_one_loads_that_cannot_be_seen_others_are_as_many_as_before() -> None:
    accounts = Accounts(0.8)
    ready, coming = Holding("card", 0, 20, loaded=True), Holding("card", 0, 30, loaded=False)
    assert accounts.seen(card(35, None), [ready]).others == 15
    assert accounts.seen(card(40, None), [ready, coming]).others == 15
    assert accounts.seen(card(65, None), [ready, coming]).others == 15
    assert accounts.seen(card(70, None), [ready, coming]).others == 20  # more than all that was granted
    assert accounts.seen(card(66, None), [ready, Holding("card", 0, 30, loaded=True)]).others == 16
