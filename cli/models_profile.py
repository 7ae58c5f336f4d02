"""`troupe models profile NAME`: how fast a model is and what it takes, over contexts, slots and quantizations."""

import argparse
import sys
from typing import TYPE_CHECKING

from cli.model_text import print_json, progress_text
from cli.plain_text import clean, columns, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.duration_pb2 import Duration

    from troupe.model.v1 import Figures, ModelProfile
    from troupe_client import Hub


async def profile(hub: "Hub", args: argparse.Namespace) -> None:
    """Measure a model. Whoever interrupts this leaves the job as it is."""
    from troupe.model.v1 import ProfileModelRequest

    request = ProfileModelRequest(
        name=args.name, contexts=args.contexts, slots=args.slots, others=args.quantizations, detached=args.detach
    )
    async for response in hub.models.profile_model(request):
        if args.json:
            print_json(response)
        elif response.HasField("progress"):
            print(clean(progress_text(response.progress)), file=sys.stderr, flush=True)
        elif response.HasField("profile"):
            for line in [*figures_table(response.profile), *proposal_text(response.profile)]:
                print(clean(line))
        elif args.detach:
            print(response.job_id)
        else:
            print(f"{args.name}: job {response.job_id}, which goes on if you leave", file=sys.stderr, flush=True)


def numbers(text: str) -> list[int]:
    """Whole numbers with commas between them. Raises ValueError."""
    return [int(each.replace("_", "")) for each in text.split(",") if each.strip()]


def figures_table(found: "ModelProfile") -> "Iterator[str]":
    """A line for each measurement."""
    heads = ("CONTEXT", "SLOTS", "LOAD", "FIRST", "ALL BUSY", "PROMPT/S", "TOKENS/S", "ALL/S", "MEMORY")
    several = len({each.model for each in found.figures}) > 1
    rows: list[tuple[str, ...]] = [("MODEL", *heads) if several else heads]
    rows += [(each.model, *_row(each)) if several else _row(each) for each in found.figures]
    yield from columns(rows)
    for each in found.figures:
        if each.error:
            yield f"{each.context_tokens} tokens, {each.slots} at a time: {each.error}"
    if found.figures:
        yield f"On {found.figures[0].device or 'this machine'}, by {found.figures[0].engine or 'its engine'}."


def proposal_text(found: "ModelProfile") -> "Iterator[str]":
    """What to set, and why."""
    if not found.HasField("proposal"):
        return
    wanted = found.proposal
    family, _, name = wanted.model.partition("/")
    yield f"Proposed for {name}: [actors.{family}] context = {wanted.context_tokens}, slots = {wanted.slots}"
    yield from (f"- {reason}" for reason in wanted.reasons)


def _row(figures: "Figures") -> tuple[str, ...]:
    busy = figures.first_token_busy if figures.HasField("first_token_busy") else None
    return (
        str(figures.context_tokens),
        f"{figures.slots}{' ~' if figures.disturbed else ''}",
        _seconds(figures.load if figures.HasField("load") else None),
        _seconds(figures.first_token if figures.HasField("first_token") else None),
        _seconds(busy),
        _count(figures.prompt_tokens_per_second),
        _count(figures.tokens_per_second),
        _count(figures.total_tokens_per_second),
        size_text(figures.host_bytes + figures.accelerator_bytes) or "-",
    )


def _seconds(value: "Duration | None") -> str:
    return f"{value.ToNanoseconds() / 1e9:.2f} s" if value is not None else "-"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value else "-"
