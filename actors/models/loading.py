"""Having a model loaded: its place in the memory of its machine first, then its family's word that it serves."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing

from actors.model.needs import work_of
from actors.model.stage_watch import StageWatch, machine_of
from actors.models.away import is_gone, of_family
from actors.models.placing import Placing
from actors.models.planning import recalled
from actors.models.reminding import reminded
from bus import Code, RpcError
from bus.channel import Channel
from host.liveness import Presence
from host.settings import Settings
from troupe.family import v1 as families
from troupe.gpu.v1 import GpuService, GpuServiceClient, Work
from troupe.model.v1 import LoadModelResponse, Model, ModelPlan, ModelState
from troupe.rpc.v1 import Progress

DESCRIBE_SECONDS = 30.0
"""How long a family may take to say what a model needs; the first time on a machine it measures."""

MAX_MACHINES = 100
"""Machines whose stages are known here; the models of a further one are loaded unasked, and their processes ask."""


class Loading:
    """Made while its process begins to listen. noted: what a family says of a model, as callers are to see it.

    machine: this hub's.
    """

    def __init__(
        self, channel: Channel, settings: Settings, presence: Presence, noted: Callable[[str, Model], Model]
    ) -> None:
        self._client = families.FamilyServiceClient(channel)
        self._gpu = GpuServiceClient(channel)
        self._settings = settings
        self._presence = presence
        self._noted = noted
        self.machine = machine_of(settings)
        self._stages = {self.machine: StageWatch(settings, presence, self.machine)}

    async def load(self, family: str, model: Model) -> AsyncGenerator[LoadModelResponse, None]:
        """Until it serves. Raises RpcError as stage and family refuse it.

        Cancelled, it takes back the wish for a place; what is loading goes on.
        """

        def first() -> Progress:
            return Progress(state=Progress.STATE_LOADING, note=f"Asking what {model.name} needs.")

        async with aclosing(reminded(self._load(family, model), first)) as responses:
            async for response in responses:
                yield response

    async def _load(self, family: str, model: Model) -> AsyncGenerator[LoadModelResponse, None]:
        async with AsyncExitStack() as stack:
            if (placed := await self._work(family, model)) is not None:
                place = await stack.enter_async_context(Placing(self._gpu, *placed))
                async for progress in await stack.enter_async_context(aclosing(place.waiting())):
                    yield LoadModelResponse(progress=progress)
            async for response in await stack.enter_async_context(aclosing(self._start(family, model))):
                yield response

    async def _work(self, family: str, model: Model) -> tuple[str, Work] | None:
        """What is to be placed on which machine before the model is started.

        None: nothing, since it is there or its machine has no stage.
        """
        if model.state == ModelState.MODEL_STATE_READY:
            return None
        if not self._presence.routes(GpuService.INFO.name) and not await self.has_stage(self.machine):
            return None
        try:
            request = families.DescribeModelRequest(family=family, model=model.name)
            answer = await self._client.describe_model(request, timeout=DESCRIBE_SECONDS)
        except RpcError as error:
            if error.code is Code.DEADLINE_EXCEEDED or is_gone(error):
                return None  # `_start` waits for the family and says so; then the model's process asks for the place
            raise
        machine = answer.machine or self.machine
        if not answer.needs.weights_bytes or not await self.has_stage(machine):
            return None
        return machine, work_of(family, model.name, answer.needs)

    async def recall(self, plan: ModelPlan, family: str, model: str, answer: families.DescribeModelResponse) -> None:
        """Put into a plan what the stage of its machine remembers of a model."""
        machine = answer.machine or self.machine
        if await self.has_stage(machine):
            await recalled(plan, work_of(family, model, answer.needs).key, self._gpu, machine)

    async def has_stage(self, machine: str) -> bool:
        """Whether memory is to be asked for on a machine."""
        if machine not in self._stages and len(self._stages) < MAX_MACHINES:
            self._stages[machine] = StageWatch(self._settings, self._presence, machine)
        return machine in self._stages and await self._stages[machine].has_stage()

    async def _start(self, family: str, model: Model) -> AsyncGenerator[LoadModelResponse, None]:
        try:
            async for response in self._client.start_model(families.StartModelRequest(family=family, model=model.name)):
                if response.HasField("progress"):
                    yield LoadModelResponse(progress=response.progress)
                else:
                    yield LoadModelResponse(model=self._noted(family, response.model))
        except RpcError as error:
            raise of_family(family, error) from error
