"""What is said of a model's weights: by its file, and by what lies beside it."""

import json
from pathlib import Path

import gguf
import pytest

from actors.llama.catalog import SHIPPED
from actors.model.card import (
    LANGUAGES_LIMIT,
    ORIGIN_LIMIT,
    TEXT_LIMIT,
    Card,
    Origin,
    card,
    card_of_gguf,
    describe,
    read_origin,
    write_origin,
)
from actors.model.gguf_file import LIST_LIMIT, LISTED_BYTES, read_header
from actors.model.gguf_header import ModelHeader
from troupe.model.v1 import Model


def test_the_shipped_model_says_licence_and_languages() -> None:
    if not (SHIPPED / "troupe-tiny.gguf").exists():
        pytest.skip("the shipped file is not in this copy")
    found = card_of_gguf(read_header(SHIPPED / "troupe-tiny.gguf"))
    assert (found.license, list(found.languages)) == ("Apache-2.0", ["en", "vi"])


def test_lists_that_are_too_long_are_left_out_and_texts_too(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tags(["code", "x" * (LISTED_BYTES + 1), "math"])
    writer.add_languages(["en"] * (LIST_LIMIT + 1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    header = read_header(path)
    assert header.lists == {"general.tags": ["code", "math"]}
    assert header.texts["general.languages"].count == LIST_LIMIT + 1
    assert card_of_gguf(header).specialties == ("code", "math")


def test_a_licence_of_its_own_has_its_name_and_tags_that_say_nothing_are_left_out() -> None:
    said = {"general.license": "other", "general.license.name": "gemma", "general.repo_url": "https://x/y"}
    header = ModelHeader(said, 0, 0, lists={"general.tags": ["GGUF", "Conversational", "chat", "arxiv:1"]})
    assert card_of_gguf(header) == Card("gemma", "https://x/y", (), ("chat",))


def test_what_is_shown_is_bounded_and_in_one_line() -> None:
    found = card("a\nb" + "x" * 500, languages=["en", "en", "bad\nline", *map(str, range(200))])
    assert len(found.license) == TEXT_LIMIT and "\n" not in found.license
    assert len(found.languages) == LANGUAGES_LIMIT and list(found.languages[:2]) == ["en", "0"]


def test_what_lies_beside_a_model_counts_before_its_file(tmp_path: Path) -> None:
    write_origin(tmp_path, "m", Origin(source="hf:o/n@1", specialties=["coding"]))
    merged = read_origin(tmp_path, "m").over(Card("MIT", "elsewhere", ("vi",), ("math",)))
    assert merged == Card("MIT", "hf:o/n@1", ("vi",), ("code",))
    assert [path.name for path in tmp_path.iterdir()] == ["m.origin.json"]


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"license": 3}', b"\xff", b" " * (ORIGIN_LIMIT + 1)])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "m.origin.json").write_bytes(text)
    assert read_origin(tmp_path, "m") == Card()
    assert read_origin(tmp_path / "nowhere", "m") == Card()


def test_a_later_version_may_say_more(tmp_path: Path) -> None:
    (tmp_path / "m.origin.json").write_text(json.dumps({"license": "MIT", "hue": "red"}))
    assert read_origin(tmp_path, "m") == Card("MIT")


def test_what_goes_in_and_out_follows_from_what_is_offered() -> None:
    said = Card("MIT", "here", ("en",), ("chat",))
    for services, gives in {
        ("troupe.chat.v1.ChatService",): ["text"],
        ("troupe.chat.v1.ChatService/Complete", "troupe.embedding.v1.EmbeddingService"): ["text", "embedding"],
        (): [],
    }.items():
        model = Model(services=services)
        describe(model, said)
        assert (list(model.input_modalities), list(model.output_modalities)) == (["text"] if gives else [], gives)
        assert (model.license, model.source, list(model.languages)) == ("MIT", "here", ["en"])
