"""Measures models as jobs: each under each of the settings in a process of its own, one after the other."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import replace
from typing import Self

import structlog

from actors.model.needs import work_of
from actors.model.overrides import Overrides
from actors.models.aliases import stamp
from actors.models.figures import FiguresBook
from actors.models.loading import Loading
from actors.models.placing import Placing
from actors.models.profile_plan import check_alike, measured_so, settings_of
from actors.models.proposal import propose
from actors.models.speed import measure
from bus import Behalf, Code, Priority, RpcError
from bus.channel import Channel
from bus.context import duration
from host.jobs import Jobs, Preempted, Running, Worker, rules
from troupe.chat.v1 import ChatService
from troupe.family import v1 as families
from troupe.gpu.v1 import GpuServiceClient, LeaseState, WatchRequest, WatchResponse
from troupe.model.v1 import Figures, Model, ModelProfile, ProfileModelRequest, ProfileModelResponse
from troupe.rpc.v1 import Progress

PROFILE, LANE = "model.profile", "profiles"
DESCRIBE_SECONDS = 120.0
"""The first time on a machine a family measures what a process takes without a model."""
DIGEST_SECONDS = 120.0
"""How long the hash of a file is waited for; without it the figures are kept under the model's name."""
LOOK_SECONDS = 1.0
QUIET_SECONDS = 60.0
"""How long people's answers are let end before it is measured beside them."""
STAGE_SECONDS = 5.0
UNFIT = frozenset({"INSUFFICIENT_MEMORY", "QUARANTINED"})
"""Reasons for which a model cannot run under some settings; others are still measured."""
GAVE_WAY = frozenset({"MODEL_UNLOADED", "ENGINE_LOST", "PEER_LOST", "INTERRUPTED", "SHUTTING_DOWN"})
"""Reasons of a process that had to end in the middle."""

log = structlog.get_logger(__name__)

Find = Callable[[str], Awaitable[tuple[str, Model]]]
"""Family and model of a name."""


class Profiling:
    """Does the jobs; an async context.

    find: looks a model up, as ModelService does. loading: knows the stages. book: where figures are kept.
    """

    def __init__(self, jobs: Jobs, channel: Channel, find: Find, loading: Loading, book: FiguresBook) -> None:
        self._jobs = jobs
        self._channel = channel
        self._find = find
        self._loading = loading
        self._book = book
        self._family = families.FamilyServiceClient(channel)
        self._gpu = GpuServiceClient(channel)
        self._worker = Worker(jobs, LANE, {PROFILE: self._profile})

    async def __aenter__(self) -> Self:
        await self._worker.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._worker.__aexit__()

    async def asked(self, request: ProfileModelRequest, behalf: Behalf) -> AsyncIterator[ProfileModelResponse]:
        """Submit a job and follow it, if that is wanted. Raises RpcError for what cannot be measured."""
        await self._targets(request)
        title = f"Profile {request.name}"
        batch = replace(behalf, priority=Priority.BATCH.lowered(behalf.priority))
        job = await self._jobs.submit(PROFILE, request, lane=LANE, title=title, behalf=batch)
        yield ProfileModelResponse(job_id=job.id)
        if request.detached:
            return
        told = None
        async for record in self._jobs.follow(job.id, behalf.principal):
            if record.job.state == rules.SUCCEEDED:
                profile = ModelProfile()
                record.job.result.Unpack(profile)
                yield ProfileModelResponse(profile=profile)
            elif record.job.state == rules.FAILED:
                raise RpcError.from_status(record.job.error)
            elif record.job.state == rules.CANCELLED:
                raise RpcError(Code.CANCELLED, f"The job {job.id} was cancelled.", reason="JOB_CANCELLED")
            elif record.job.HasField("progress") and record.job.progress != told:
                told = record.job.progress
                yield ProfileModelResponse(progress=told)

    # ---- the job

    async def _targets(self, request: ProfileModelRequest) -> list[tuple[str, Model, list[Overrides]]]:
        """The models, each with the settings to measure it under."""
        found: list[tuple[str, Model, list[Overrides]]] = []
        for name in dict.fromkeys([request.name, *request.others]):
            family, model = await self._find(name)
            if found:
                check_alike(found[0][1], model)
            asked = families.DescribeModelRequest(family=family, model=model.name)
            needs = (await self._family.describe_model(asked, timeout=DESCRIBE_SECONDS)).needs
            found.append((family, model, settings_of(request, needs)))
        return found

    async def _profile(self, running: Running) -> ModelProfile:
        request = running.request(ProfileModelRequest)
        targets = await self._targets(request)
        profile = running.kept(ModelProfile) or ModelProfile()
        steps = [(family, model, each) for family, model, settings in targets for each in settings]
        for number, (family, model, overrides) in enumerate(steps):
            name = f"{family}/{model.name}"
            if any(measured_so(each, name, overrides) for each in profile.figures):
                continue
            step = _Step(running, number, len(steps), overrides.named(model.name))
            figures = await self._measured(family, model.name, overrides, step)
            if not figures.error:
                await self._book.add(await self._hashed(name, step), figures)
            profile.figures.append(figures)
            await running.keep(profile)
        proposal = propose(profile.figures, await self._room())
        if proposal is not None:
            profile.proposal.CopyFrom(proposal)
        return profile

    async def _measured(self, family: str, model: str, overrides: Overrides, step: "_Step") -> Figures:
        figures = Figures(model=f"{family}/{model}", context_tokens=overrides.context, slots=overrides.slots)
        figures.measured.CopyFrom(stamp(time.time()))
        try:
            await self._measure(family, model, overrides, figures, step)
        except RpcError as error:
            if error.reason in GAVE_WAY:
                raise Preempted(error.message) from error
            if error.reason not in UNFIT:
                raise
            figures.error = error.message
        return figures

    async def _measure(self, family: str, model: str, overrides: Overrides, figures: Figures, step: "_Step") -> None:
        name = overrides.named(model)
        asked = families.DescribeModelRequest(family=family, model=name)
        needs = await self._family.describe_model(asked, timeout=DESCRIBE_SECONDS)
        figures.engine, figures.device = needs.needs.engine, needs.needs.device
        figures.quantization = needs.model.quantization
        async with AsyncExitStack() as stack:
            machine = needs.machine or self._loading.machine
            if needs.needs.weights_bytes and await self._loading.has_stage(machine):
                work = work_of(family, name, needs.needs)
                place = await stack.enter_async_context(Placing(self._gpu, machine, work))
                async for progress in await stack.enter_async_context(aclosing(place.waiting())):
                    step.tell(0.0, progress.note)
            began = asyncio.get_running_loop().time()
            serving = await stack.enter_async_context(self._held(family, model, overrides, step))
            figures.load.CopyFrom(duration(asyncio.get_running_loop().time() - began))
            taken = (await self._family.describe_model(asked, timeout=DESCRIBE_SECONDS)).measured
            figures.host_bytes, figures.accelerator_bytes = taken.host_bytes, taken.accelerator_bytes
            chats = any(each.startswith(ChatService.INFO.name) for each in serving.model.services)
            quiet = await self._quiet(f"{family}/{name}", step)
            asking = self._ask(f"{family}/{name}", figures, step, embeds_only=not chats)
            await serving.during(asking)
            figures.disturbed = not quiet or bool(await self._others(f"{family}/{name}"))

    def _held(self, family: str, model: str, overrides: Overrides, step: "_Step") -> "_Held":
        told = families.Overrides(context_tokens=overrides.context, slots=overrides.slots)
        request = families.StartModelRequest(family=family, model=model, overrides=told)
        return _Held(self._family, request, step)

    async def _ask(self, name: str, figures: Figures, step: "_Step", *, embeds_only: bool) -> None:
        measuring = measure(self._channel, name, figures, embeds_only=embeds_only)
        async with aclosing(measuring) as shares:
            async for share in shares:
                step.tell(0.3 + 0.7 * share, "Measuring")

    async def _hashed(self, name: str, step: "_Step") -> Model:
        """The model, with the hash of its file once that is known."""
        loop = asyncio.get_running_loop()
        until = loop.time() + DIGEST_SECONDS
        family, model = await self._find(name)
        tells = model.size_bytes > 0
        while tells and not model.digest and loop.time() < until:
            step.tell(1.0, "Waiting for the hash of its file")
            await asyncio.sleep(LOOK_SECONDS)
            family, model = await self._find(name)
        found = Model()
        found.CopyFrom(model)
        found.family = family
        return found

    # ---- what else happens on the machine

    async def _quiet(self, name: str, step: "_Step") -> bool:
        """Let the answers of others end, for a time; whether they have."""
        loop = asyncio.get_running_loop()
        until = loop.time() + QUIET_SECONDS
        while busy := await self._others(name):
            if loop.time() > until:
                return False
            step.tell(0.3, f"Waits while {', '.join(busy[:3])} answer{'s' if len(busy) == 1 else ''}")
            await asyncio.sleep(LOOK_SECONDS)
        return True

    async def _others(self, name: str) -> list[str]:
        """Models beside this one that are in use now."""
        picture = await self._picture()
        busy = LeaseState.LEASE_STATE_BUSY
        return [lease.name for lease in picture.leases if lease.state == busy and lease.name != name]

    async def _room(self) -> int:
        """Bytes that a model may take at most, on all devices; 0: not known."""
        return sum(device.cap_bytes for device in (await self._picture()).devices if not device.lost)

    async def _picture(self) -> WatchResponse:
        """What the stage has; nothing where there is none, or it is away."""
        if await self._loading.has_stage(self._loading.machine):
            with suppress(RpcError):
                request = WatchRequest(machine=self._loading.machine, once=True)
                async for response in self._gpu.watch(request, timeout=STAGE_SECONDS):
                    if not response.HasField("progress"):
                        return response
        return WatchResponse()


class _Step:
    """One of the measurements of a job, and how far it is."""

    def __init__(self, running: Running, number: int, count: int, name: str) -> None:
        self._running = running
        self._number, self._count, self._name = number, count, name

    def tell(self, share: float, what: str) -> None:
        """share: of this measurement."""
        note = f"{self._number + 1} of {self._count}, {self._name}: {what.rstrip('.')}."
        fraction = (self._number + share) / self._count
        self._running.tell(Progress(state=Progress.STATE_RUNNING, fraction=fraction, note=note))


class _Held:
    """A process beside the model, from when it serves until it is left; an async context.

    Entering raises RpcError as StartModel does.
    """

    def __init__(self, client: families.FamilyServiceClient, request: families.StartModelRequest, step: _Step) -> None:
        self._client = client
        self._request = request
        self._step = step
        self._reading: asyncio.Task[None]
        self.model: Model

    async def __aenter__(self) -> Self:
        self._call = self._client.start_model(self._request)
        try:
            async for response in self._call:
                if response.HasField("model"):
                    self.model = response.model
                    break
                self._step.tell(0.3 * response.progress.fraction, response.progress.note or "Loading")
        except BaseException:
            await self._call.aclose()
            raise
        self._reading = asyncio.create_task(self._read_on(), name="process held")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._call.aclose()

    async def during(self, work: Coroutine[None, None, None]) -> None:
        """Do this while it serves. Raises why it had to end, if it does before that."""
        working = asyncio.create_task(work, name="measuring")
        try:
            await asyncio.wait([working, self._reading], return_when=asyncio.FIRST_COMPLETED)
            if self._reading.done():
                self._reading.result()
            await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def _read_on(self) -> None:
        async for _ in self._call:
            continue
        raise RpcError(Code.UNAVAILABLE, "Its process has ended.", reason="MODEL_UNLOADED")
