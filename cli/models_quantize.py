"""`troupe models quantize`: another model from one, with what that has cost."""

import argparse
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cli.failure import CommandError
from cli.job_following import outcome
from cli.model_text import print_json, progress_text
from cli.plain_text import clean, columns, size_text

if TYPE_CHECKING:
    from troupe.model.v1 import Divergence, QuantizedModel, QuantizeModelRequest, QuantizeModelResponse
    from troupe_client import Hub

TEXT_BYTES = 24 * 1024
"""Of a file, which is more than is compared by."""


def kinds(prefix: str, **_: object) -> Iterable[str]:
    """What may be typed."""
    return ("Q4_K_M", "Q5_K_M", "Q8_0", "F16")


async def quantize(hub: "Hub", args: argparse.Namespace) -> None:
    """Have a model quantized. Whoever interrupts this leaves the job as it is."""
    from troupe.model.v1 import QuantizeModelRequest

    request = QuantizeModelRequest(
        name=args.name, quantization=args.quantization, new_name=args.new_name, text=_text(args), detached=args.detach
    )
    async for response in _told(hub, request):
        if args.json:
            print_json(response)
            continue
        for warning in response.warnings:
            print(clean(f"{args.name}: {warning}"), file=sys.stderr, flush=True)
        if response.HasField("progress"):
            print(clean(f"{args.name}: {progress_text(response.progress)}"), file=sys.stderr, flush=True)
        elif response.HasField("model"):
            for line in lines(response.model):
                print(clean(line))
        elif args.detach:
            print(response.job_id)
        else:
            print(f"{args.name}: job {response.job_id}, which goes on if you leave", file=sys.stderr, flush=True)


async def _told(hub: "Hub", request: "QuantizeModelRequest") -> AsyncIterator["QuantizeModelResponse"]:
    """What the hub answers; from the job, if the call breaks off after that was submitted. Raises RpcError."""
    from bus import Code, RpcError
    from troupe.model.v1 import QuantizedModel, QuantizeModelResponse

    job_id = ""
    try:
        async for response in hub.models.quantize_model(request):
            job_id = job_id or response.job_id
            yield response
    except RpcError as error:
        # UNAVAILABLE may also be what the job came to; then its record says so, too.
        if not job_id or error.code is not Code.UNAVAILABLE:
            raise
        async for each in outcome(hub, job_id, QuantizedModel):
            if isinstance(each, QuantizedModel):
                yield QuantizeModelResponse(model=each)
            else:
                yield QuantizeModelResponse(progress=each)


def lines(model: "QuantizedModel") -> list[str]:
    """What came of it, and what it has cost."""
    before, after = size_text(model.source_bytes), size_text(model.size_bytes)
    what = f"{model.name}: {model.quantization}, {after}, made from {model.source}"
    told = f"{what} ({', '.join(filter(None, (model.source_quantization, before)))})"
    return [told, *(_compared(model.divergence) if model.HasField("divergence") else []), *model.warnings]


def _compared(found: "Divergence") -> list[str]:
    text = "the hub's own text" if found.own_text else "your text"
    rows = [
        ("  KL divergence", f"{found.mean_kl:.4f} nats on average, {found.p99_kl:.4f} for the worst 1 in 100"),
        ("  same first choice", f"{found.same_top:.1%}"),
        ("  perplexity", f"{found.source_perplexity:,.2f} before, {found.perplexity:,.2f} after"),
    ]
    return [f"Compared over {found.tokens:,} tokens of {text}:", *columns(rows)]


def _text(args: argparse.Namespace) -> str:
    """The beginning of the file; empty: none was named. Raises CommandError."""
    if args.text is None:
        return ""
    try:
        if args.text == "-":
            data = sys.stdin.buffer.read(TEXT_BYTES + 1)
        else:
            with Path(args.text).open("rb") as file:
                data = file.read(TEXT_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{args.text} cannot be read: {error.strerror}.") from error
    if len(data) > TEXT_BYTES:
        print(f"{args.text}: its first {TEXT_BYTES:,} bytes are used", file=sys.stderr, flush=True)
    text = data[:TEXT_BYTES].decode("utf-8", "ignore")
    if not text.strip():
        raise CommandError(f"{args.text} has no text in UTF-8.")
    return text
