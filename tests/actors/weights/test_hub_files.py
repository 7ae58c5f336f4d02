"""Which files of a repository make a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.weights.hub_files import Source, check_name, choose, licences
from bus import Code, RpcError

GGUFS = ["README.md", "m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-q5_k_m.gguf", "m-F16.gguf"]
SPLIT = [f"big-Q4_K_M-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]


def test_a_source_is_read_as_people_write_it() -> None:
    assert Source.of("hf:owner/name") == Source("owner/name")
    assert Source.of("hf:owner/name@v1.0:Q4_K_M") == Source("owner/name", "v1.0", "Q4_K_M")
    assert Source.of("hf:o/n:sub/file.gguf").wanted == "sub/file.gguf"
    assert str(Source.of("hf:owner/name@v1.0:Q4_K_M")) == "hf:owner/name@v1.0:Q4_K_M"


@pytest.mark.parametrize(
    "text", ["", "hf:", "hf:name", "owner/name", "hf:a/b/c", "hf:../b", "hf:a/b:../x", "hf:a/" + "b" * 500]
)
def test_what_is_no_source_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(RpcError, match="write hf:owner/name") as caught:
        Source.of(text)
    assert (caught.value.reason, caught.value.field) == ("SOURCE_INVALID", "source")


@pytest.mark.parametrize(
    ("wanted", "files", "name"),
    [
        ("", ("m-Q4_K_M.gguf",), "m-Q4_K_M"),
        ("Q8_0", ("m-Q8_0.gguf",), "m-Q8_0"),
        ("q5_k_m", ("m-q5_k_m.gguf",), "m-q5_k_m"),
        ("m-F16.gguf", ("m-F16.gguf",), "m-F16"),
    ],
)
def test_of_several_quantizations_the_wanted_one_is_taken_else_the_usual(
    wanted: str, files: tuple[str, ...], name: str
) -> None:
    chosen = choose(Source("o/n", wanted=wanted), GGUFS)
    assert (chosen.files, chosen.name, chosen.folder) == (files, name, False)


def test_a_model_in_parts_is_taken_whole_and_refused_where_one_is_missing() -> None:
    assert choose(Source("o/n"), SPLIT) == choose(Source("o/n", wanted="Q4_K_M"), SPLIT)
    assert choose(Source("o/n"), SPLIT).files == tuple(SPLIT)
    assert choose(Source("o/n"), SPLIT).name == "big-Q4_K_M"
    with pytest.raises(RpcError, match="lacks big-Q4_K_M-00002"):
        choose(Source("o/n"), [SPLIT[0], SPLIT[2]])


def test_a_repository_without_gguf_gives_its_safetensors_and_neither_programs_nor_pickles() -> None:
    there = [
        "config.json", "model.safetensors", "tokenizer.json", "modeling_x.py", "pytorch_model.bin",
        "original/consolidated.pth", "chat_template.jinja", ".gitattributes", "LICENSE",
    ]  # fmt: skip
    chosen = choose(Source("owner/name"), there)
    assert chosen.files == ("chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json")
    assert (chosen.name, chosen.folder, licences(there)) == ("name", True, ["LICENSE"])


@pytest.mark.parametrize(
    ("wanted", "there"), [("Q2_K", GGUFS), ("x.gguf", GGUFS), ("", ["pytorch_model.bin"]), ("", [])]
)
def test_what_is_not_there_is_told_with_what_is(wanted: str, there: list[str]) -> None:
    with pytest.raises(RpcError) as caught:
        choose(Source("o/n", wanted=wanted), there)
    assert (caught.value.code, caught.value.reason) == (Code.NOT_FOUND, "SOURCE_NOT_FOUND")


@given(st.lists(st.text(max_size=30) | st.builds("{}.gguf".format, st.text(max_size=30)), max_size=6))
def test_whatever_a_hub_names_no_file_lies_outside_of_the_folder(there: list[str]) -> None:
    try:
        chosen = choose(Source("o/n"), there)
    except RpcError:
        return
    for name in chosen.files:
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        assert "\\" not in name


@pytest.mark.parametrize("name", [".hidden", "a/b", "..", "a..b", "x" * 101, "a b"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(RpcError, match="name is 1 to 100"):
        check_name(name)
    check_name("")
    check_name("Qwen2.5-0.5B_x+y")
