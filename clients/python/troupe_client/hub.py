"""A hub as a Python program sees it."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Self

import grpc

from bus.errors import RpcError, invalid
from troupe.chat.v1 import ChatService, ChatServiceClient, Sampling
from troupe.echo.v1 import EchoServiceClient
from troupe.embedding.v1 import EmbeddingServiceClient
from troupe.gpu.v1 import GpuServiceClient
from troupe.health.v1 import HealthServiceClient
from troupe.job.v1 import JobServiceClient
from troupe.model.v1 import ListModelsRequest, ModelServiceClient
from troupe.weights.v1 import WeightsServiceClient
from troupe_client.blobs import Blobs
from troupe_client.channel import GrpcChannel
from troupe_client.conversation import DEFAULT_MODEL, Conversation
from troupe_client.patience import PATIENCE_SECONDS

LIST_SECONDS = 10.0
"""How long listing the models may take."""


class Hub:
    """The typed clients of one hub. Use it with `async with`; entering it raises HubUnreachable if nobody answers."""

    def __init__(self, channel: GrpcChannel) -> None:
        self.channel = channel
        self.chat = ChatServiceClient(channel)
        self.models = ModelServiceClient(channel)
        self.weights = WeightsServiceClient(channel)
        self.embeddings = EmbeddingServiceClient(channel)
        self.stage = GpuServiceClient(channel)
        self.jobs = JobServiceClient(channel)
        self.health = HealthServiceClient(channel)
        self.echo = EchoServiceClient(channel)
        self.blobs = Blobs(channel)

    async def __aenter__(self) -> Self:
        try:
            await self.channel.ready()
        except RpcError:
            await self.channel.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the calls that are open and the connection."""
        await self.channel.close()

    async def default_model(self) -> str:
        """The name of the model that answers who names none; DEFAULT_MODEL if the hub tells none. Raises RpcError."""
        request = ListModelsRequest(service=ChatService.INFO.name)
        answer = await self.models.list_models(request, timeout=LIST_SECONDS)
        return next((model.name for model in answer.models if model.default), DEFAULT_MODEL)

    def conversation(
        self,
        model: str = DEFAULT_MODEL,
        *,
        system: str = "",
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
    ) -> Conversation:
        """A conversation with a model; nothing is sent until something is said."""
        return Conversation(self.chat, model, system=system, sampling=sampling, max_tokens=max_tokens)

    def ask(
        self,
        question: str,
        model: str = DEFAULT_MODEL,
        *,
        system: str = "",
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[str, None]:
        """The answer to one question, piece by piece; leaving the iterator early cancels it.

        model: DEFAULT_MODEL is the hub's default one.
        """
        conversation = self.conversation(model, system=system, sampling=sampling, max_tokens=max_tokens)
        return conversation.say(question, timeout=timeout)


def connect(
    target: str = "127.0.0.1:50051",
    *,
    key: str | None = None,
    tls: bool | str | Path | None = None,
    patience: float = PATIENCE_SECONDS,
) -> Hub:
    """A hub, not yet connected: use it with `async with`.

    target: host and port of the gRPC door. key: an API key, which hubs beyond this machine ask for.
    tls: True trusts the usual authorities, a path names a file of trusted certificates (PEM); otherwise plain text.
    patience: seconds for which calls wait for a hub whose connection was lost.
    Raises INVALID_ARGUMENT if the target or the certificates make no sense.
    """
    credentials = _credentials(tls) if tls else None
    return Hub(GrpcChannel(target, key=key, credentials=credentials, patience=patience))


def _credentials(tls: bool | str | Path) -> grpc.ChannelCredentials:
    if tls is True:
        return grpc.ssl_channel_credentials()
    try:
        certificates = Path(str(tls)).read_bytes()
    except OSError as error:
        raise invalid(f"The certificates cannot be read from {str(tls)!r}: {error.strerror}.", "tls") from error
    return grpc.ssl_channel_credentials(root_certificates=certificates)
