"""Requests made from the OpenAPI document, sound and broken ones: the hub answers as the document says."""

import asyncio
import contextlib
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

EXAMPLES = 4
"""Requests of each kind for each route."""

PARTS = 4
"""Of the routes, so that each test ends in time on a busy machine."""

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def documented(operation: Any, response: Any) -> None:
    """The status is one that the document has for the route, and the body is of its type."""
    known = operation.definition.raw["responses"]
    assert str(response.status_code) in known, (operation.label, response.status_code, response.text[:300])
    assert response.status_code < 500 or response.status_code == 503, response.text[:300]
    content = known[str(response.status_code)].get("content", {})
    media_type = response.headers["content-type"][0].partition(";")[0]
    assert media_type in content, (operation.label, response.status_code, media_type)


def tried(url: str, mode: GenerationMode, part: int) -> int:
    """Ask one part of the document's routes; how many requests were made."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    asked = 0
    for found in list(schema.get_all_operations())[part::PARTS]:
        assert isinstance(found, Ok), found
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=SLOW
        )
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            documented(case.operation, case.call(timeout=20))

        with contextlib.suppress(Unsatisfiable):  # nothing of a route that takes nothing can be broken
            ask()
    return asked


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("mode", list(GenerationMode))
async def test_the_document_is_true_for_whatever_is_sent(scripted: Any, mode: GenerationMode, part: int) -> None:
    async with scripted.door() as door:
        asked = await asyncio.to_thread(tried, door.url, mode, part)
    # A part may have only routes that take nothing, of which nothing can be broken.
    assert asked > 0 or mode is GenerationMode.NEGATIVE
