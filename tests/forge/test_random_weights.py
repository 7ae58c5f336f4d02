"""Random models: small enough to make in a test, the same each time, and readable by llama.cpp."""

from pathlib import Path

import pytest

from forge.random_weights import (
    FIXTURE,
    HALF_BILLION,
    byte_letters,
    byte_vocabulary,
    write_fixtures,
    write_random_model,
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_fixtures(tmp_path_factory.mktemp("fixtures"))


def test_fixtures_are_small(paths: list[Path]) -> None:
    assert all(path.stat().st_size < 300_000 for path in paths)


def test_the_same_seed_gives_the_same_file(tmp_path: Path, paths: list[Path]) -> None:
    write_random_model(tmp_path / "again.gguf", FIXTURE, "fixture")
    assert (tmp_path / "again.gguf").read_bytes() == paths[0].read_bytes()


def test_another_seed_gives_another_file(paths: list[Path]) -> None:
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_the_large_shape_has_about_half_a_billion_parameters() -> None:
    assert 0.44e9 < HALF_BILLION.parameters() < 0.56e9


def test_every_byte_has_its_own_letter() -> None:
    assert len(set(byte_letters())) == 256
    assert byte_letters()[ord("a")] == "a"
    assert byte_letters()[ord(" ")] == "Ġ"


def test_a_vocabulary_has_the_wanted_size_and_no_token_twice() -> None:
    tokens = byte_vocabulary(FIXTURE.vocabulary).tokens
    assert len(tokens) == len(set(tokens)) == FIXTURE.vocabulary


def test_llama_cpp_generates_from_a_fixture_and_its_adapter_changes_the_text(paths: list[Path]) -> None:
    pytest.importorskip("llama_cpp")
    from forge.llama import GreedyModel

    plain, adapted = GreedyModel(paths[0], context=128), GreedyModel(paths[0], context=128, adapter=paths[2])
    try:
        tokens = plain.tokens("Hello, xin chào")
        assert plain.text(tokens) == "Hello, xin chào"
        said = plain.continuation(tokens, 12)
        assert len(said) == 12
        assert plain.continuation(tokens, 12) == said
        assert adapted.continuation(tokens, 12) != said
    finally:
        plain.close()
        adapted.close()
