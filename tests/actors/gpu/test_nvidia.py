"""NVIDIA's cards, on a pretended driver."""

from typing import Any

import pytest

from actors.gpu.nvidia import Card, Cards
from actors.gpu.reading import Held, Lost, Reading
from actors.gpu.words import Kind

from .pretended_nvml import PretendedCard, PretendedNvml

GIB = 2**30


def card(uuid: str = "GPU-a", **values: Any) -> PretendedCard:
    return PretendedCard(uuid, 16 * GIB, **values)


def only(cards: Cards) -> Reading:
    [reading] = cards.read(())
    assert isinstance(reading, Reading)
    return reading


def test_every_card_is_a_device_where_none_is_named() -> None:
    cards = Cards(PretendedNvml(card(), card("GPU-b")))
    assert cards.devices == {"nvidia0": Kind.NVIDIA, "nvidia1": Kind.NVIDIA}


def test_a_card_tells_what_is_used_by_whom_and_how_it_is() -> None:
    reading = only(Cards(PretendedNvml(card(processes={7: 3 * GIB}, drawing={7: 3 * GIB, 9: GIB}), seed=4)))
    assert reading.total == 16 * GIB
    assert reading.used == 4 * GIB + 500 * 2**20
    assert reading.held == {7: Held(3 * GIB, 3 * GIB), 9: Held(GIB, GIB)}
    assert reading.utilization is not None and 0 <= reading.utilization <= 1
    assert reading.temperature is not None and 30 <= reading.temperature <= 90
    assert reading.power is not None and 20 <= reading.power <= 400


def test_what_a_card_does_not_tell_is_left_out() -> None:
    reading = only(Cards(PretendedNvml(card(telling=False, silent=True, processes={7: GIB}))))
    assert (reading.utilization, reading.temperature, reading.power, reading.held) == (None, None, None, None)
    assert reading.used == GIB + 500 * 2**20


def test_cards_are_named_by_number_by_uuid_or_as_the_next_one() -> None:
    library = PretendedNvml(
        card(processes={1: GIB}), card("GPU-b", processes={2: GIB}), card("GPU-c", processes={3: GIB})
    )
    cards = Cards(library, [Card("first"), Card("second", "1"), Card("third", "GPU-c"), Card("fourth")])
    held = {reading.device: getattr(reading, "held", None) for reading in cards.read(())}
    assert [list(held[name] or ()) for name in ("first", "second", "third", "fourth")] == [[1], [2], [3], [3]]


def test_a_card_that_is_not_there_is_lost_and_hides_no_other() -> None:
    found = Cards(PretendedNvml(card()), [Card("here"), Card("absent", "7"), Card("unknown", "GPU-x")]).read(())
    assert [type(each) for each in found] == [Reading, Lost, Lost]


def test_a_card_comes_back_after_it_was_lost() -> None:
    own = card()
    cards = Cards(PretendedNvml(own))
    only(cards)
    own.lost = True
    [lost] = cards.read(())
    assert lost == Lost("nvidia0", "nvidia0 does not answer: GPU is lost.")
    own.lost = False
    assert only(cards).total == 16 * GIB


def test_a_reloaded_driver_is_opened_again() -> None:
    library = PretendedNvml(card())
    cards = Cards(library)
    library.initialised = 0
    assert isinstance(cards.read(())[0], Lost)
    assert only(cards).total == 16 * GIB


@pytest.mark.parametrize(("used", "told"), [(0, 0), (5, 0), (8, 0), (10, 2)])
def test_of_a_limited_card_others_use_the_rest_first(used: int, told: int) -> None:
    own = card(reserved=used * GIB)
    reading = only(Cards(PretendedNvml(own), [Card("half", memory=8 * GIB)]))
    assert (reading.total, reading.used) == (8 * GIB, told * GIB)
