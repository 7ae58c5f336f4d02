"""`troupe models`, as a program that talks to a hub, and its texts."""

import json
import re
from pathlib import Path

from cli.model_text import details, progress_text, reasons, state_of
from troupe.model.v1 import Model, ModelState
from troupe.rpc.v1 import Progress

from .conftest import Run


async def test_the_list_has_a_line_per_model(troupe: Run, door: str) -> None:
    ended = await troupe("models", "--target", door)
    head, line, *rest = ended.out.splitlines()
    assert head.split() == ["NAME", "STATE", "FORMAT", "SIZE", "CONTEXT", "OFFERS"]
    assert line.split() == ["tiny", "available", "llama", "Q8_0", "3.0", "MiB", "2048", "chat"]

    assert [each.split() for each in rest] == [
        ["words", "fetching", "25%", "chat"],
        ["more", "to", "be", "had", "2.0", "MiB", "no", "model"],
        ["gpt-4o", "is", "another", "name", "of", "tiny"],
        ["`troupe", "models", "pull", "more`", "brings", "it."],
    ]


async def test_a_model_that_is_to_be_had_is_shown_with_its_licence_and_fetched(troupe: Run, door: str) -> None:
    shown = await troupe("models", "show", "more", "--target", door)
    assert (shown.code, "licence  MIT" in shown.out, "fetched  to be had" in shown.out) == (0, True, True)
    ended = await troupe("models", "pull", "more", "--target", door)
    assert (ended.code, ended.out) == (0, "more: pulled from carrier==1.0; licence MIT\n")
    assert ended.err == "more: job 7, which goes on if you leave\nmore: loading 50% Fetching more.\n"
    detached = await troupe("models", "--target", door, "pull", "more", "--detach")
    assert (detached.code, detached.out) == (0, "7\n")


async def test_the_list_as_json_is_the_contracts_message(troupe: Run, door: str) -> None:
    ended = await troupe("models", "list", "--json", "--target", door)
    assert json.loads(ended.out)["sizeBytes"] == "3145728"


async def test_one_model_is_shown_with_what_is_known_of_it(troupe: Run, door: str) -> None:
    ended = await troupe("models", "show", "tiny", "--target", door)
    assert "description   Nhỏ và nhanh." in ended.out
    assert "aliases       gpt-4o" in ended.out
    assert "adapters" not in ended.out
    modified = next(line for line in ended.out.splitlines() if line.startswith("modified"))
    assert re.fullmatch(r"modified +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", modified)


async def test_loading_tells_its_progress_and_ends_with_the_state(troupe: Run, door: str) -> None:
    ended = await troupe("models", "load", "tiny", "--target", door)
    assert (ended.code, ended.out, ended.err) == (0, "tiny: ready\n", "tiny: loading 50%\n")
    ended = await troupe("models", "unload", "tiny", "--target", door)
    assert (ended.code, ended.out) == (0, "tiny: unloaded\n")


async def test_an_unknown_model_is_the_hubs_refusal(troupe: Run, door: str) -> None:
    ended = await troupe("models", "show", "tinny", "--target", door)
    assert (ended.code, "Did you mean tiny?" in ended.err) == (1, True)


async def test_an_action_on_a_model_needs_its_name(troupe: Run) -> None:
    for action in ("load", "unload", "show", "pull", "pin", "unpin"):
        ended = await troupe("models", action)
        assert (ended.code, "required" in ended.err) == (2, True)


async def test_options_may_stand_before_the_action_and_after_it(troupe: Run, door: str) -> None:
    for given in (("--json", "--target", door, "show", "tiny"), ("show", "tiny", "--json", "--target", door)):
        ended = await troupe("models", *given)
        assert json.loads(ended.out)["name"] == "tiny"


async def test_a_name_is_given_listed_rolled_back_and_taken_away(troupe: Run, door: str) -> None:
    async def alias(*given: str) -> str:
        ended = await troupe("models", "alias", *given, "--target", door)
        assert (ended.code, ended.err) == (0, "")
        return ended.out

    assert await alias("best", "llama/tiny") == "best: means llama/tiny (version 1)\n"
    assert await alias("best", "llama/more") == "best: means llama/more (version 2)\n"
    assert [line.split() for line in (await alias()).splitlines()] == [
        ["ALIAS", "MODEL", "VERSION"], ["best", "llama/more", "version", "2"], ["gpt-4o", "tiny", "settings"],
    ]  # fmt: skip
    assert await alias("best", "--rollback") == "best: means llama/tiny (version 1)\n"
    shown = (await alias("best")).splitlines()
    assert [line.split()[:2] for line in shown[1:]] == [["2", "llama/more"], ["*1", "llama/tiny"]]
    assert await alias("best", "--remove") == "best: removed\n"
    ended = await troupe("models", "alias", "best", "--target", door)
    assert (ended.code, "There is no alias 'best'" in ended.err) == (2, True)
    ended = await troupe("models", "alias", "best", "tiny", "--remove", "--target", door)
    assert (ended.code, "not two of them" in ended.err) == (2, True)


async def test_a_model_is_pinned_and_unpinned(troupe: Run, door: str) -> None:
    ended = await troupe("models", "pin", "tiny", "--target", door)
    assert (ended.code, ended.out) == (0, "tiny: pinned\n")
    assert "pinned        yes" in (await troupe("models", "show", "tiny", "--target", door)).out
    assert "available, pinned" in (await troupe("models", "--target", door)).out
    ended = await troupe("models", "unpin", "tiny", "--json", "--target", door)
    assert json.loads(ended.out)["model"]["name"] == "tiny"


def test_progress_tells_state_place_and_share() -> None:
    queued = Progress(state=Progress.STATE_QUEUED, position=3)
    assert progress_text(queued) == "queued position 3"
    loading = Progress(state=Progress.STATE_LOADING, fraction=0.25, note="Reading.")
    assert progress_text(loading) == "loading 25% Reading."


def test_a_model_that_is_started_again_says_so_and_why() -> None:
    model = Model(name="tiny", state=ModelState.MODEL_STATE_LOADING)
    assert state_of(model) == "loading"
    model.error = "killed: it told nothing for 1.5 s"
    assert state_of(model) == "restarting"
    assert ("error", "killed: it told nothing for 1.5 s") in details(model)


def test_the_reason_of_a_family_that_is_away_is_the_same_sentence_for_all_its_models() -> None:
    away, why = ModelState.MODEL_STATE_UNAVAILABLE, "The family llama is away."
    gone = [Model(name=name, state=away, error=why) for name in ("a", "b")]
    broken = Model(name="c", state=ModelState.MODEL_STATE_FAILED, error="c.gguf is incomplete.")
    assert reasons([*gone, broken, Model(name="d")]) == [why, why, "c: c.gguf is incomplete."]


async def test_quantizing_tells_its_job_its_warnings_and_what_it_has_cost(
    troupe: Run, door: str, tmp_path: Path
) -> None:
    ended = await troupe("models", "quantize", "tiny", "Q4_K_M", "--target", door)
    assert ended.err.splitlines() == [
        "tiny: It is small.",
        "tiny: job 7, which goes on if you leave",
        "tiny: running 50% Writing.",
    ]
    assert ended.out.splitlines() == [
        "tiny-Q4_K_M: Q4_K_M, 2.0 MiB, made from llama/tiny (Q8_0, 3.0 MiB)",
        "Compared over 1,200 tokens of the hub's own text:",
        "  KL divergence      0.0123 nats on average, 0.4000 for the worst 1 in 100",
        "  same first choice  90.0%",
        "  perplexity         1,234.50 before, 1,300.00 after",
        "0 characters.",
    ]
    (tmp_path / "text").write_bytes(b"\xc3\xa4" * 13_000)
    ended = await troupe("models", "quantize", "tiny", "q8_0", "--text", "text", "--as", "mine", "--target", door)
    assert "its first 24,576 bytes are used" in ended.err
    assert (ended.out.startswith("mine: "), ended.out.endswith("12288 characters.\n")) == (True, True)
    ended = await troupe("models", "quantize", "tiny", "Q8_0", "--detach", "--target", door)
    assert (ended.code, ended.out) == (0, "7\n")


async def test_a_text_that_is_not_there_or_none_is_a_misuse(troupe: Run, door: str, tmp_path: Path) -> None:
    (tmp_path / "blank").write_text(" \n")
    for name, why in (("absent", "cannot be read"), ("blank", "has no text")):
        ended = await troupe("models", "quantize", "tiny", "Q8_0", "--text", name, "--target", door)
        assert (ended.code, why in ended.err) == (2, True)
