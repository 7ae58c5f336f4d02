"""The routes under /v1."""

from starlette.routing import Route

from gateway.hub import Hub
from gateway.openai.chat import chat_completions
from gateway.openai.completions import completions
from gateway.openai.embeddings import embeddings
from gateway.openai.endpoint import Endpoint
from gateway.openai.models import get_model, list_models


def openai_routes(hub: Hub) -> list[Route]:
    """All of them, with what a key must be allowed to do for each."""
    return [
        Route("/v1/chat/completions", Endpoint(hub, chat_completions, scope="chat"), methods=["POST"]),
        Route("/v1/completions", Endpoint(hub, completions, scope="chat"), methods=["POST"]),
        Route("/v1/embeddings", Endpoint(hub, embeddings, scope="embedding"), methods=["POST"]),
        Route("/v1/models", Endpoint(hub, list_models, admitted=False), methods=["GET"]),
        Route("/v1/models/{model:path}", Endpoint(hub, get_model, admitted=False), methods=["GET"]),
    ]
