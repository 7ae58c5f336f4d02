"""How models are called at the doors: aliases, and who answers where nobody is named."""

import asyncio

import structlog

from bus import RpcError
from bus.channel import Channel
from host.settings import ModelSettings
from troupe.chat.v1 import ChatService
from troupe.embedding.v1 import EmbeddingService
from troupe.model.v1 import ListModelsRequest, ModelServiceClient

CHAT, EMBEDDING = ChatService.INFO.name, EmbeddingService.INFO.name
USUAL = "troupe-tiny"
"""The model that every hub brings: it answers until the hub has said who does."""

DEFAULT = "default"
"""A name for whoever answers where nobody is named, unless a model or an alias is called so."""

ASK_SECONDS = 10.0
"""Between two questions which model is the default, where the settings leave that to the hub."""

LIST_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Names:
    """The names of [models]. Every door asks here before it looks for the route of a call."""

    def __init__(self, settings: ModelSettings) -> None:
        self.aliases = settings.aliases
        self._default = settings.default
        self._heard: dict[str, str] = {}

    @property
    def default(self) -> str:
        """Who answers where nobody is named."""
        return self.aliases.get(self._default, self._default) or self._heard.get(CHAT) or USUAL

    def model(self, name: str, service: str = CHAT) -> str:
        """The model that is meant by a name; empty and "default" mean the default one of the service."""
        if name in self.aliases:
            return self.aliases[name]
        if name not in ("", DEFAULT):
            return name
        return self.default if service != EMBEDDING else self._heard.get(EMBEDDING) or self.default

    async def watch(self, channel: Channel) -> None:
        """Until cancelled, follow which models the hub calls its defaults."""
        client = ModelServiceClient(channel)
        while True:
            for service in (CHAT, EMBEDDING):
                try:
                    found = await client.list_models(ListModelsRequest(service=service), timeout=LIST_SECONDS)
                except RpcError as error:  # nobody lists models yet, or no more
                    log.debug("default.unknown", service=service, reason=error.reason)
                else:
                    self._heard[service] = next((model.name for model in found.models if model.default), "")
            await asyncio.sleep(ASK_SECONDS)
