"""What watchers of a family's models are told."""

from contextlib import aclosing
from typing import Any

from actors.model.watchers import Watchers
from troupe.family.v1 import WatchModelsResponse
from troupe.model.v1 import Model, ModelState


class Shelf:
    def __init__(self) -> None:
        self.models = {name: Model(name=name) for name in "ab"}
        self.watchers = Watchers(lambda: self.models)

    def set(self, name: str, state: ModelState) -> None:
        self.models[name] = Model(name=name, state=state)
        self.watchers.tell()


def told(response: WatchModelsResponse) -> tuple[bool, dict[str, ModelState], list[str]]:
    return response.whole, {model.name: model.state for model in response.models}, list(response.removed)


async def test_a_watcher_hears_all_models_and_then_what_changes() -> None:
    shelf = Shelf()
    stream: Any = shelf.watchers.watch()
    async with aclosing(stream):
        assert told(await anext(stream)) == (True, {"a": 0, "b": 0}, [])
        shelf.set("a", ModelState.MODEL_STATE_READY)
        assert told(await anext(stream)) == (False, {"a": ModelState.MODEL_STATE_READY}, [])
        del shelf.models["b"]
        shelf.watchers.tell()
        assert told(await anext(stream)) == (False, {}, ["b"])


async def test_changes_that_come_faster_than_they_are_taken_are_joined_and_the_newest_counts() -> None:
    shelf = Shelf()
    stream: Any = shelf.watchers.watch()
    async with aclosing(stream):
        await anext(stream)
        for state in (ModelState.MODEL_STATE_LOADING, ModelState.MODEL_STATE_READY, ModelState.MODEL_STATE_DRAINING):
            shelf.set("a", state)
            shelf.set("b", state)
        newest = dict.fromkeys("ab", ModelState.MODEL_STATE_DRAINING)
        assert told(await anext(stream)) == (False, newest, [])


async def test_what_changes_nothing_is_not_told_and_the_end_is() -> None:
    shelf = Shelf()
    stream: Any = shelf.watchers.watch()
    await anext(stream)
    shelf.watchers.tell()
    shelf.watchers.close()
    assert [told(response) async for response in stream] == []
