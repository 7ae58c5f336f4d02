"""`troupe stage plan A B C`: whether these models run together, what would make room, and what to change."""

import json
from typing import TYPE_CHECKING

from cli.failure import FAILED, OK, CommandError
from cli.plain_text import clean, columns, size_text
from cli.together import Placed, Together, together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from troupe.gpu.v1 import WatchRequest
    from troupe_client import Hub


async def plan(hub: "Hub", names: list[str], request: "WatchRequest", *, as_json: bool) -> int:
    """Say it; the exit code is 0 where there is room for all, else 1. Raises CommandError, RpcError."""
    from troupe.model.v1 import PlanModelsRequest

    picture = None
    async for response in hub.stage.watch(request):
        if not response.HasField("progress"):
            picture = response
    if picture is None:
        raise CommandError("The stage has not said what there is.", "Try again in a moment.", FAILED)
    answer = await hub.models.plan_models(PlanModelsRequest(names=names))
    found = together(answer.plans, picture)
    if as_json:
        models = [
            {"name": each.name, "shares": dict(each.shares), "measured": each.measured, "change": each.change}
            for each in found.models
        ]
        print(
            json.dumps(
                {
                    "fits": found.fits,
                    "models": models,
                    "gone": list(found.gone),
                    "pinned": list(found.pinned),
                    "left": dict(found.left),
                }
            )
        )
    else:
        for line in lines(found):
            print(clean(line), flush=True)
    return OK if found.fits else FAILED


def lines(found: Together) -> "Iterator[str]":
    """A plan as text."""
    yield from columns([_row(model) for model in found.models])
    for name, left in found.left.items():
        yield f"{name}: {size_text(max(0, left)) or 'nothing'} left under the cap."
    if found.pinned:
        stay = ", ".join(found.pinned)
        yield f"Pinned, and counted as staying: {stay} (`troupe models unpin NAME` lets one go)."
    if found.gone:
        yield f"To make room, these would have to end: {', '.join(found.gone)}."
    yield "They run together." if found.fits else "They do not run together."


def _row(model: Placed) -> tuple[str, str, str]:
    if model.shares:
        where = ", ".join(f"{size_text(size)} of {device}" for device, size in model.shares.items())
        return model.name, where, "measured" if model.measured else "estimated"
    if model.unknown:
        return model.name, "has no place", "what it takes is not known"
    lacks = f"lacks {size_text(model.lacks)}" if model.lacks else "has no place"
    return model.name, lacks, f"would fit {model.change}" if model.change else "nothing smaller would fit"
