"""Names of models of several families: which one a name means, and what is told of it."""

import pytest

from actors.models.directory import Directory
from bus import Code, RpcError
from troupe.family.v1 import WatchModelsResponse
from troupe.model.v1 import Model, ModelState

READY, UNAVAILABLE = ModelState.MODEL_STATE_READY, ModelState.MODEL_STATE_UNAVAILABLE


def models(*names: str) -> list[Model]:
    return [Model(name=name, state=READY, services=["a.v1.A"], served_names=[name]) for name in names]


@pytest.fixture
def directory() -> Directory:
    found = Directory(["zulu"], {"a.v1.A": ["absent", "small"], "b.v1.B": ["vectors"]})
    for family, names in (("alpha", ["small", "other"]), ("zulu", ["small", "large"])):
        found.meet(family)
        found.replace(family, models(*names))
    return found


def test_of_equal_names_the_family_that_the_settings_put_first_has_the_bare_one(directory: Directory) -> None:
    assert directory.families == ["zulu", "alpha"]
    assert [model.name for model in directory.listed()] == ["alpha/small", "large", "other", "small"]
    for name, family in {"small": "zulu", "zulu/small": "zulu", "alpha/small": "alpha", "alpha/other": "alpha"}.items():
        found, model = directory.find(name)
        assert (found, model.name) == (family, name.rpartition("/")[2])
    assert (directory.withheld("zulu"), directory.withheld("alpha")) == ([], ["small"])


def test_a_clash_is_told_with_both_full_names(directory: Directory) -> None:
    theirs, _, other, ours = directory.listed()
    assert "alpha/small" in ours.note and "means this model" in ours.note
    assert "means zulu/small" in theirs.note
    assert other.note == ""
    assert [model.qualified_name for model in (theirs, other)] == ["alpha/small", "alpha/other"]


def test_without_an_order_families_have_their_claim_by_name() -> None:
    found = Directory()
    for family in ("b", "a"):
        found.replace(family, models("m"))
    assert found.find("m")[0] == "a"


def test_the_first_default_that_is_there_is_marked_once(directory: Directory) -> None:
    assert [model.name for model in directory.listed() if model.default] == ["small"]
    directory.change("alpha", WatchModelsResponse(models=models("absent")))
    assert [model.name for model in directory.listed("a.v1.A") if model.default] == ["absent"]
    assert directory.shown(*directory.find("absent")).default


def test_a_default_that_cannot_be_loaded_is_none(directory: Directory) -> None:
    for family in ("alpha", "zulu"):
        failed = models("small")
        failed[0].state = ModelState.MODEL_STATE_FAILED
        directory.change(family, WatchModelsResponse(models=failed))
    assert directory.default("a.v1.A") == ""
    assert not any(model.default for model in directory.listed())


def test_each_service_has_its_own_default(directory: Directory) -> None:
    vectors = Model(name="vectors", services=["b.v1.B"])
    directory.change("zulu", WatchModelsResponse(models=[vectors]))
    assert [model.name for model in directory.listed() if model.default] == ["small", "vectors"]
    assert [model.name for model in directory.listed("b.v1.B") if model.default] == ["vectors"]


def test_a_default_may_be_named_by_its_full_name() -> None:
    found = Directory(["zulu"], {"a.v1.A": ["alpha/small"]})
    for family in ("alpha", "zulu"):
        found.replace(family, models("small"))
    assert [model.name for model in found.listed() if model.default] == ["alpha/small"]


def test_a_list_can_be_of_a_service_or_of_a_method(directory: Directory) -> None:
    directory.replace("alpha", [Model(name="base", services=["a.v1.A/Do"])])
    assert [model.name for model in directory.listed("a.v1.A")] == ["large", "small"]
    assert [model.name for model in directory.listed("a.v1.A/Do")] == ["base", "large", "small"]
    assert directory.listed("b.v1.B") == []


def test_a_family_that_is_away_hides_no_other_and_its_models_say_why(directory: Directory) -> None:
    directory.lost("alpha", "The family alpha is away.")
    states = {model.name: (model.state, model.error, list(model.served_names)) for model in directory.listed()}
    assert states["other"] == (UNAVAILABLE, "The family alpha is away.", [])
    assert states["large"] == (READY, "", ["large"])
    directory.change("alpha", WatchModelsResponse(whole=True, models=models("other")))
    assert directory.find("other")[1].state == READY
    assert [model.note for model in directory.listed() if model.name == "small"] == [""]


def test_changes_are_taken_one_by_one(directory: Directory) -> None:
    changed = Model(name="other", state=ModelState.MODEL_STATE_LOADING)
    directory.change("alpha", WatchModelsResponse(models=[changed], removed=["small"]))
    assert directory.find("other")[1].state == ModelState.MODEL_STATE_LOADING
    assert directory.withheld("alpha") == []


def test_an_unknown_name_is_refused_with_the_nearest_ones(directory: Directory) -> None:
    with pytest.raises(RpcError, match="Did you mean") as refusal:
        directory.find("smal")
    assert (refusal.value.code, refusal.value.reason, refusal.value.field) == (
        Code.NOT_FOUND, "MODEL_NOT_FOUND", "model",
    )  # fmt: skip
    assert refusal.value.metadata["nearest"].split(",")[0] == "small"
    with pytest.raises(RpcError, match="Those there are: alpha/small, large"):
        directory.find("#")


@pytest.mark.parametrize(("name", "first"), [("larg", "large"), ("alpha/smal", "alpha/small"), ("othe", "other")])
def test_each_model_that_resembles_an_unknown_name_is_told_once(directory: Directory, name: str, first: str) -> None:
    with pytest.raises(RpcError) as refusal:
        directory.find(name)
    told = refusal.value.metadata["nearest"].split(",")
    found = [directory.find(each) for each in told]
    assert told[0] == first
    assert len({(family, model.name) for family, model in found}) == len(told)


def test_a_familys_name_is_no_likeness_and_aliases_are_among_the_nearest(directory: Directory) -> None:
    directory.replace("llama", models("gus", "sma", "bea"))
    directory.rename({"gpt-4o": "gus"})
    with pytest.raises(RpcError, match="Those there are") as refusal:
        directory.find("llama/xyz")
    assert refusal.value.metadata["nearest"] == ""
    for name in ("llama/gpt-4o", "llama/gpt4o", "gpt-4"):
        with pytest.raises(RpcError) as refusal:
            directory.find(name)
        assert refusal.value.metadata["nearest"] == "gpt-4o"


def test_a_model_that_does_not_offer_the_service_is_refused_with_those_that_do(directory: Directory) -> None:
    family, model = directory.find("small")
    directory.check_offers(family, model, "")
    directory.check_offers(family, model, "a.v1.A/Do")
    with pytest.raises(RpcError, match="This hub has none") as refusal:
        directory.check_offers(family, model, "b.v1.B/Do")
    assert (refusal.value.code, refusal.value.reason) == (Code.INVALID_ARGUMENT, "MODEL_UNSUITABLE")
    vectors = Model(name="vectors", state=READY, services=["b.v1.B/Do"])
    directory.change("alpha", WatchModelsResponse(models=[vectors]))
    with pytest.raises(RpcError, match="Ask one that does: alpha/small, large, other, small"):
        directory.check_offers("alpha", vectors, "a.v1.A/Do")
    directory.check_offers("alpha", vectors, "b.v1.B/Other")  # the model says what it lacks
    directory.check_offers("alpha", Model(name="silent"), "a.v1.A/Do")


def test_while_a_family_has_said_nothing_yet_an_unknown_name_may_be_its(directory: Directory) -> None:
    directory.meet("late")
    with pytest.raises(RpcError, match="late") as refusal:
        directory.find("nobody's")
    assert (refusal.value.code, refusal.value.reason) == (Code.UNAVAILABLE, "FAMILY_UNAVAILABLE")
    with pytest.raises(RpcError, match="No family of models has said"):
        Directory().find("x")


def test_an_alias_is_told_with_its_model_and_means_it() -> None:
    aliases = {"gpt-4o": "small", "other": "zulu/large", "nothing": "gone", "again": "small"}
    found = Directory(["zulu"], {"a.v1.A": ["large"]}, aliases)
    found.replace("zulu", models("large", "small", "other"))
    shown = {model.name: list(model.aliases) for model in found.listed()}
    assert shown == {"large": ["other"], "small": ["again", "gpt-4o"], "zulu/other": []}
    assert found.withheld("zulu") == ["other"]  # the alias means another
    assert found.other_names("zulu") == {"large": ["other"], "small": ["again", "gpt-4o"]}
    assert found.find("gpt-4o")[1].name == "small"
    assert found.find("other")[1].name == "large"
    with pytest.raises(RpcError, match="'gone'"):
        found.find("nothing")


def test_default_means_the_model_that_answers_who_names_none(directory: Directory) -> None:
    assert directory.find("default")[1].name == directory.default("a.v1.A") != ""
    nobody = Directory(["zulu"])
    nobody.replace("zulu", models("small"))
    with pytest.raises(RpcError, match="no model 'default'"):
        nobody.find("default")
