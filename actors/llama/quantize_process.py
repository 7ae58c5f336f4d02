"""A process that quantizes one model and measures what that has cost: a library blocks, and a process can be ended.

python -m actors.llama.quantize_process

It is told what by one line of JSON on its standard input (`Order`), and answers with lines of JSON (`Word`): how far it
is, and at last what came of it or what is wrong. The source says first what it thinks of the text, then the new file is
written, then that is asked. A file that an earlier process has finished is gone on with.
"""

import errno
import hashlib
import os
import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np

from actors.llama.binding import last_error, start_library
from actors.llama.catalog import ORIGIN
from actors.llama.divergence import Comparison, Figures
from actors.llama.evaluation import Evaluated
from actors.llama.quantization import KINDS, Told, check_room, full, result_bytes
from actors.llama.quantizer import quantize
from actors.model.gguf_file import read_header
from actors.model.gguf_header import ModelHeader
from bus import Code, RpcError
from troupe.model.v1 import Divergence, QuantizedModel
from troupe.rpc.v1 import Progress

PIECE = 1 << 20
LOW_BYTES = 16 << 20
"""With less than this free, what the library could not write it could not for that."""
FIRST, SECOND, LAST = 0.15, 0.75, 0.99
"""Shares of the whole at which the source has spoken, the new file is written, and that has spoken."""
STEP = 0.005
"""Less further is not told."""
MADE = "made.gguf"
"""The new file in the folder, once it is whole; before that it has another name."""


class Order(msgspec.Struct, frozen=True):
    """What is to be done. folder: for what is made; on the disk where the model will lie. origin: at most 127 bytes."""

    source: str
    folder: str
    kind: str
    text: str
    threads: int
    origin: str


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the process says: one of these."""

    progress: bytes = b""
    """A troupe.rpc.v1.Progress."""
    made: bytes = b""
    """A troupe.model.v1.QuantizedModel without its names."""
    status: bytes = b""
    """A troupe.rpc.v1.Status: what is wrong."""


def main() -> int:
    """Do it; exit code 0 also where what is wrong was told."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    try:
        _say(Word(made=_Making(order).done().SerializeToString()))
    except RpcError as error:
        _say(Word(status=error.to_status().SerializeToString()))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _say(Word(status=full().to_status().SerializeToString()))
    return 0


class _Making:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._source = Path(order.source)
        self._folder = Path(order.folder)
        self._logits = self._folder / "logits"
        self._kind = KINDS[order.kind]
        self._told = -1.0

    def done(self) -> QuantizedModel:
        """What came of it. Raises RpcError, OSError."""
        header = read_header(self._source)
        made = self._folder / MADE
        size = 0 if made.exists() else result_bytes(header, self._kind)
        self._check_room(size)
        start_library()
        compared = not header.embeds_only
        rows = self._asked(size) if compared else 0
        if not made.exists():
            self._write(header, made)
        result = QuantizedModel(size_bytes=made.stat().st_size)
        if compared:
            result.divergence.CopyFrom(_message(self._compared(made, rows)))
        result.sha256 = _digest(made)
        return result

    def _asked(self, later: int) -> int:
        """Keep the source's logits in a file; how many rows those are. later: bytes that will be written besides."""
        with Evaluated(self._source, self._order.threads) as model, self._logits.open("wb") as file:
            tokens = model.tokens(self._order.text)
            self._check_room(4 * model.vocabulary.size * len(tokens) + later)
            done = 0
            for rows, _ in model.predictions(tokens):
                file.write(rows.astype(np.float32).tobytes())
                done += len(rows)
                self._tell(FIRST * done / len(tokens), "Asking the model about the text.")
        return done

    def _write(self, header: ModelHeader, made: Path) -> None:
        part, told = made.with_suffix(".part"), Told(header.tensors)

        def hear(line: str) -> None:
            if (share := told.hear(line)) is not None:
                self._tell(FIRST + (SECOND - FIRST) * share, f"Writing {self._kind.name}.")

        last_error()
        try:
            said = {ORIGIN: self._order.origin}
            quantize(self._source, part, self._kind, self._order.threads, said, hear)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            self._check(read_header(part), header)
        except RpcError as error:
            part.unlink(missing_ok=True)
            if shutil.disk_usage(self._folder).free < LOW_BYTES:
                raise full() from error
            raise
        part.replace(made)

    def _check(self, made: ModelHeader, source: ModelHeader) -> None:
        """Whether what was written is what was asked for. Raises RpcError QUANTIZATION_FAILED."""
        if made.quantization != self._kind.name or made.parameters != source.parameters:
            message = (
                f"llama.cpp wrote {made.parameters:,} parameters in {made.quantization or 'nothing that is known'} "
                f"instead of {source.parameters:,} in {self._kind.name}; nothing was kept."
            )
            raise RpcError(Code.INTERNAL, message, reason="QUANTIZATION_FAILED")

    def _compared(self, made: Path, count: int) -> Figures:
        comparison, done = Comparison(), 0
        with Evaluated(made, self._order.threads) as model, self._logits.open("rb") as file:
            for rows, follows in model.predictions(model.tokens(self._order.text)):
                said = np.fromfile(file, np.float32, rows.size).reshape(rows.shape)
                comparison.add(said, rows, follows)
                done += len(rows)
                self._tell(SECOND + (LAST - SECOND) * done / count, "Asking the new model about the text.")
        return comparison.result()

    def _check_room(self, needed: int) -> None:
        check_room(needed, shutil.disk_usage(self._folder).free)

    def _tell(self, share: float, note: str) -> None:
        if share - self._told >= STEP:
            self._told = share
            progress = Progress(state=Progress.STATE_RUNNING, fraction=share, note=note)
            _say(Word(progress=progress.SerializeToString()))


def _message(figures: Figures) -> Divergence:
    return Divergence(
        tokens=figures.tokens,
        mean_kl=figures.mean_kl,
        p99_kl=figures.p99_kl,
        same_top=figures.same_top,
        source_perplexity=figures.source_perplexity,
        perplexity=figures.perplexity,
    )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _say(word: Word) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
