"""Submitting and following the jobs that quantize models, in the name of who asks."""

from collections.abc import AsyncIterator

from actors.model.names import qualified
from bus import Code, Context, RpcError, invalid
from bus.channel import Channel
from host.jobs import Jobs, outcome, rules
from troupe.family.v1 import FamilyServiceClient, PrepareQuantizationRequest, PrepareQuantizationResponse
from troupe.model.v1 import QuantizedModel, QuantizeModelRequest, QuantizeModelResponse

KIND = "model.quantize"
MAX_TEXT = 24 * 1024
"""Bytes: with the rest of the request it fits a job."""
PREPARE_SECONDS = 30.0
"""How long a family may take to say whether it can be done."""


class Quantizing:
    """The front of all families' quantizing. jobs: None: there are none, and nothing is quantized."""

    def __init__(self, jobs: Jobs | None, channel: Channel) -> None:
        self._jobs = jobs
        self._client = FamilyServiceClient(channel)

    async def prepare(self, family: str, model: str, request: QuantizeModelRequest) -> PrepareQuantizationResponse:
        """What will be made. Raises RpcError as the contract says."""
        if (size := len(request.text.encode())) > MAX_TEXT:
            message = f"text has {size:,} bytes; {MAX_TEXT:,} can be given. Give a part of it."
            raise invalid(message, "text")
        asked = PrepareQuantizationRequest(
            family=family, model=model, quantization=request.quantization, new_name=request.new_name
        )
        return await self._client.prepare_quantization(asked, timeout=PREPARE_SECONDS)

    async def run(
        self, family: str, model: str, request: QuantizeModelRequest, made: PrepareQuantizationResponse, ctx: Context
    ) -> AsyncIterator[QuantizeModelResponse]:
        """Submit what was prepared, and tell how it goes. Raises RpcError as the contract says."""
        if self._jobs is None:
            raise RpcError.unimplemented("troupe.model.v1.ModelService/QuantizeModel")
        await self._check_free(self._jobs, made.new_name)
        job = await self._jobs.submit(
            KIND,
            QuantizeModelRequest(
                name=qualified(family, model),
                quantization=made.quantization,
                new_name=made.new_name,
                text=request.text,
                detached=request.detached,
            ),
            lane=made.lane,
            title=f"Quantize {model} as {made.new_name}",
            behalf=ctx.behalf,
        )
        yield QuantizeModelResponse(job_id=job.id, warnings=made.warnings)
        if request.detached:
            return
        async for told in outcome(self._jobs, job.id, ctx.principal, QuantizedModel):
            if isinstance(told, QuantizedModel):
                yield QuantizeModelResponse(model=told)
            else:
                yield QuantizeModelResponse(progress=told)

    async def _check_free(self, jobs: Jobs, name: str) -> None:
        """Raises RpcError MODEL_EXISTS while another job makes a model of this name."""
        for sighted in (await jobs.view()).entries.values():
            job, other = sighted.value.job, QuantizeModelRequest()
            live = job.kind == KIND and job.state not in rules.ENDED
            if live and job.request.Unpack(other) and other.new_name == name:
                message = f"A job makes a model {name} already; wait for it, or give the new one another name."
                raise RpcError(Code.ALREADY_EXISTS, message, reason="MODEL_EXISTS", field="new_name")
