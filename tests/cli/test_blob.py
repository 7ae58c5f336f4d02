"""`troupe blob`, as a program that talks to a hub."""

import json
import random
from pathlib import Path

from cli.blob import details
from troupe.blob.v1 import BlobInfo

from .conftest import Run

CONTENT = random.Random(9).randbytes(1_500_000)


async def test_a_file_is_put_looked_at_got_and_removed(troupe: Run, door: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "tệp.wav").write_bytes(CONTENT)
    put = await troupe("blob", "put", "in/tệp.wav", "--target", door)
    assert (put.code, put.out.startswith("blob:"), put.err) == (0, True, "")
    name = put.out.strip()
    seen = await troupe("blob", "stat", name, "--target", door)
    assert "size     1.4 MiB" in seen.out
    assert "state    complete" in seen.out
    got = await troupe("blob", "get", name, "--target", door)
    assert (got.code, got.out) == (0, "tệp.wav\n")
    assert (tmp_path / "tệp.wav").read_bytes() == CONTENT
    again = await troupe("blob", "get", name, "--target", door)
    assert (again.code, "is there already" in again.err) == (2, True)
    assert (await troupe("blob", "get", name, "tệp.wav", "--target", door)).code == 0
    removed = await troupe("blob", "rm", name, "--target", door)
    assert (removed.code, removed.out) == (0, f"{name}: deleted\n")
    gone = await troupe("blob", "stat", name, "--target", door)
    assert (gone.code, "BLOB_NOT_FOUND" in gone.err) == (1, True)


async def test_a_dash_is_what_is_piped_in_and_out(troupe: Run, door: str, tmp_path: Path) -> None:
    text = "đến rồi đi\n" * 100_000
    put = await troupe("blob", "put", "-", "--type", "text/plain", "--target", door, given=text)
    assert (put.code, put.err) == (0, "")
    name = put.out.strip()
    got = await troupe("blob", "get", name, "-", "--target", door)
    assert (got.code, got.out == text, got.err) == (0, True, "")
    assert not (tmp_path / "-").exists()
    seen = await troupe("blob", "stat", name, "--target", door)
    assert "type     text/plain" in seen.out
    assert "name " not in seen.out
    unwritable = await troupe("blob", "get", name, "absent/out.txt", "--target", door)
    assert (unwritable.code, "cannot be written" in unwritable.err) == (2, True)


async def test_a_name_from_elsewhere_leads_to_no_other_folder(troupe: Run, door: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    said = ("--type", "text/x-note", "--expires-in", "60", "--json")
    put = await troupe("blob", "put", "a.txt", *said, "--target", door)
    info = json.loads(put.out)
    assert info["reference"]["mediaType"] == "text/x-note"
    assert info["expiresAt"]
    (tmp_path / "a.txt").unlink()
    got = await troupe("blob", "get", info["id"], "--json", "--target", door)
    assert json.loads(got.out)["sha256"] == info["sha256"]
    assert (tmp_path / "a.txt").read_text() == "x"


async def test_what_cannot_be_read_or_makes_no_sense_is_told(troupe: Run, door: str) -> None:
    missing = await troupe("blob", "put", "missing.txt", "--target", door)
    assert (missing.code, "missing.txt cannot be read" in missing.err) == (2, True)
    both = await troupe("blob", "get", "x", "-", "--json", "--target", door)
    assert (both.code, "both go to stdout" in both.err) == (2, True)
    wrong = await troupe("blob", "rm", "x", "y")
    assert (wrong.code, "takes a blob and no other name" in wrong.err) == (2, True)


def test_details_leave_out_what_is_not_known() -> None:
    info = BlobInfo(id="5f", size=3, holders=["a", "b"])
    assert dict(details(info)) == {
        "id": "5f",
        "size": "3 B",
        "state": "coming",
        "created": dict(details(info))["created"],
        "held by": "a, b",
    }
