"""Waiting for the place of a model before its family is told to start it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from types import TracebackType
from typing import Self

import structlog

from bus import Code, RpcError, StreamCall
from troupe.gpu.v1 import DemandRequest, DemandResponse, GpuServiceClient, Work
from troupe.rpc.v1 import Progress

AWAY_SECONDS = 60.0
"""How long a stage that is away is waited for."""

AGAIN_SECONDS = 0.25

log = structlog.get_logger(__name__)


class Placing:
    """A wish for work to run, held from entering to leaving. As long as it is held, the place that it got is kept.

    Leaving, also by being cancelled, takes the wish back.
    """

    def __init__(self, client: GpuServiceClient, machine: str, work: Work) -> None:
        self._client = client
        self._request = DemandRequest(machine=machine, work=work)
        self._call: StreamCall[DemandResponse] | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._call is not None:
            await self._call.aclose()

    async def waiting(self) -> AsyncGenerator[Progress, None]:
        """How it stands, until there is room.

        Raises RpcError as the stage refuses it, and STAGE_UNAVAILABLE (UNAVAILABLE) where that stays away.
        """
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            self._call = self._client.demand(self._request)
            try:
                async for response in self._call:
                    heard = loop.time()
                    if response.placed:
                        self._reading = asyncio.create_task(self._read_on(self._call), name="place kept")
                        return
                    yield response.progress
            except RpcError as error:
                if error.code is not Code.UNAVAILABLE:
                    raise
                log.info("stage.away", work=self._request.work.name, error=error.message)
                if loop.time() - heard > AWAY_SECONDS:
                    raise _stays_away(error) from error
            yield Progress(state=Progress.STATE_QUEUED, note="The memory's keeper is being started again.")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read_on(self, call: StreamCall[DemandResponse]) -> None:
        """The call lasts while it is read. Where it breaks, the model's process has its own lease by then, or asks."""
        with suppress(RpcError):
            async for _ in call:
                continue


def _stays_away(error: RpcError) -> RpcError:
    message = f"The stage has not answered for {AWAY_SECONDS:.0f} s: {error.message} `troupe status` tells how it is."
    return RpcError(Code.UNAVAILABLE, message, reason="STAGE_UNAVAILABLE", retry_after=10.0)
