"""Whether a model that is loaded does what it should: it is let do a little, as a call would have it do."""

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import cast

from bus import Context, RpcError
from bus.context import duration
from troupe.chat.v1 import ChatService, CompleteRequest, Sampling
from troupe.embedding.v1 import EmbeddingService, EmbedRequest
from troupe.family.v1 import TrialService, TryModelRequest, TryModelResponse

WITHIN_SECONDS = 60.0
PROMPT = "Hello"
TOKENS = 4
NO_FAULTS = frozenset({"QUEUE_FULL", "SHUTTING_DOWN", "INTERRUPTED", "CANCELLED"})
"""Reasons of an engine that has other things to do, or is about to end."""


class Trial(TrialService):
    """Tries one model.

    served: what serves it, by the service's full name. busy: whether others use it.
    """

    def __init__(self, served: Mapping[str, object], busy: Callable[[], bool]) -> None:
        self._served = served
        self._busy = busy

    async def try_model(self, request: TryModelRequest, ctx: Context) -> TryModelResponse:
        """See the contract. Cancelling frees the model within one step."""
        if self._busy():
            return TryModelResponse(busy=True)
        within = request.within.ToTimedelta().total_seconds() if request.HasField("within") else WITHIN_SECONDS
        loop = asyncio.get_running_loop()
        began, error = loop.time(), ""
        try:
            async with asyncio.timeout(within):
                error = await self._tried(ctx)
        except TimeoutError:
            error = f"It gave no answer within {within:g} s."
        except RpcError as problem:
            if problem.reason in NO_FAULTS:
                return TryModelResponse(busy=True)
            error = problem.message
        if error and self._busy():  # somebody came meanwhile, and has its time
            return TryModelResponse(busy=True)
        return TryModelResponse(latency=duration(loop.time() - began), error=error)

    async def _tried(self, ctx: Context) -> str:
        """What is wrong with what it did, as a sentence; empty: nothing."""
        chat, embedding = self._served.get(ChatService.INFO.name), self._served.get(EmbeddingService.INFO.name)
        if chat is not None:
            return await self._generated(cast(ChatService, chat), ctx)
        return await self._embedded(cast(EmbeddingService, embedding), ctx)

    async def _generated(self, model: ChatService, ctx: Context) -> str:
        sampling = Sampling(temperature=0)
        request = CompleteRequest(prompt=PROMPT, max_tokens=TOKENS, sampling=sampling, logprobs=True)
        ended = False
        async for response in model.complete(request, ctx):
            for score in response.delta.logprobs:
                if not math.isfinite(score.logprob):
                    return "The probabilities of its tokens are no numbers."
            ended = ended or response.HasField("finish")
        return "" if ended else "Its answer has no end."

    async def _embedded(self, model: EmbeddingService, ctx: Context) -> str:
        async for response in model.embed(EmbedRequest(inputs=[PROMPT]), ctx):
            if len(response.values):
                length = math.sqrt(sum(value * value for value in response.values))
                return "" if math.isfinite(length) and length > 0 else "Its embeddings are no vectors."
        return "It gave no embedding."
