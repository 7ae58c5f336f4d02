"""Whether models run together: placed on paper, with what would make room."""

from cli.stage_plan import lines
from cli.together import together
from troupe.gpu.v1 import Device, DeviceKind, LeaseInfo, Share, WatchResponse
from troupe.model.v1 import MemoryWay, Model, ModelPlan

CARD, MAIN, FIXED = (
    DeviceKind.DEVICE_KIND_NVIDIA,
    DeviceKind.DEVICE_KIND_SYSTEM,
    DeviceKind.DEVICE_KIND_FIXED,
)


def device(name: str, kind: DeviceKind, cap: int, others: int = 0) -> Device:
    return Device(name=name, kind=kind, total_bytes=2 * cap, cap_bytes=cap, others_bytes=others)


def model(name: str, host: int, card: int = 0, *less: MemoryWay, spread: bool = False, measured: int = 0) -> ModelPlan:
    first = MemoryWay(host_bytes=host, accelerator_bytes=card, spread=spread)
    named = Model(name=name, qualified_name=f"llama/{name}")
    return ModelPlan(model=named, ways=[first, *less], measured_host_bytes=measured)


def test_those_that_fit_under_the_cap_run_together() -> None:
    found = together([model("a", 40), model("b", 50)], WatchResponse(devices=[device("system", MAIN, 100, others=5)]))
    assert found.fits and [dict(each.shares) for each in found.models] == [{"system": 40}, {"system": 50}]
    assert found.left == {"system": 5} and list(lines(found))[-1] == "They run together."


def test_one_that_has_no_room_says_what_it_lacks_and_what_would_fit() -> None:
    shorter = MemoryWay(host_bytes=20, note="with 1,024 tokens of context")
    found = together([model("a", 80), model("b", 50, 0, shorter)], WatchResponse(devices=[device("system", MAIN, 100)]))
    assert not found.fits
    missing = found.models[1]
    assert (missing.lacks, missing.change) == (30, "with 1,024 tokens of context")
    assert "would fit with 1,024 tokens of context" in "\n".join(lines(found))


def test_a_model_on_a_card_takes_main_memory_too() -> None:
    picture = WatchResponse(devices=[device("card", CARD, 100), device("system", MAIN, 100)])
    found = together([model("a", 10, 90), model("b", 10, 20)], picture)
    assert found.models[0].shares == {"card": 90, "system": 10} and not found.models[1].shares


def test_what_may_be_spread_lies_on_several_cards_in_equal_parts() -> None:
    cards = [device("one", CARD, 60), device("two", CARD, 50), device("system", MAIN, 100)]
    wanted = model("a", 10, 100, spread=True)
    assert together([wanted], WatchResponse(devices=cards)).models[0].shares == {"one": 50, "two": 50, "system": 10}
    assert not together([model("a", 10, 100)], WatchResponse(devices=cards)).fits


def test_a_fixed_device_gives_the_larger_share_alone() -> None:
    found = together([model("a", 30, 70)], WatchResponse(devices=[device("budget", FIXED, 100)]))
    assert found.models[0].shares == {"budget": 70}


def test_what_was_measured_counts_before_what_was_estimated() -> None:
    found = together([model("a", 120, measured=90)], WatchResponse(devices=[device("system", MAIN, 100)]))
    assert found.fits and found.models[0].measured


def test_leases_of_others_that_stand_in_the_way_are_named_and_pinned_ones_are_not() -> None:
    leases = [
        LeaseInfo(name=f"llama/{name}", pinned=name == "pinned", shares=[Share(device="system", bytes=size)])
        for name, size in (("small", 10), ("large", 50), ("pinned", 20), ("a", 40))
    ]
    found = together([model("a", 40)], WatchResponse(devices=[device("system", MAIN, 100)], leases=leases))
    assert found.fits and found.gone == ["llama/large"]
    assert "have to end: llama/large" in "\n".join(lines(found))


def test_what_is_pinned_stays_and_leaves_less_room() -> None:
    lease = LeaseInfo(name="llama/pinned", pinned=True, shares=[Share(device="system", bytes=70)])
    picture = WatchResponse(devices=[device("system", MAIN, 100)], leases=[lease])
    found = together([model("a", 40)], picture)
    assert (found.fits, found.models[0].lacks, found.pinned) == (False, 10, ["llama/pinned"])
    assert "Pinned, and counted as staying: llama/pinned" in "\n".join(lines(found))
    assert together([model("pinned", 70)], picture).fits, "its own memory is no other's"


def test_a_model_that_is_named_twice_has_one_place() -> None:
    found = together([model("a", 40), model("a", 40)], WatchResponse(devices=[device("system", MAIN, 100)]))
    assert (len(found.models), found.left) == (1, {"system": 60})


def test_a_model_whose_needs_nobody_knows_has_no_place() -> None:
    found = together([ModelPlan(model=Model(name="a"))], WatchResponse(devices=[device("system", MAIN, 100)]))
    assert not found.fits and "not known" in "\n".join(lines(found))
