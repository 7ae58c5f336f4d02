"""The routes under /v1."""

from gateway.http.body import JsonBody
from gateway.http.routes import Answer, Parameter, Route
from gateway.openai import examples
from gateway.openai.chat import chat_completions
from gateway.openai.completions import completions
from gateway.openai.embeddings import embeddings
from gateway.openai.errors import OPENAI
from gateway.openai.models import get_model, list_models
from gateway.openai.responses import (
    ChatCompletion,
    ChatCompletionChunk,
    Completion,
    EmbeddingList,
    ModelList,
    ModelOut,
)
from gateway.openai.schema import ChatRequest, CompletionRequest, EmbeddingRequest

PREFIX = "/v1"

_EVENTS = "text/event-stream"

ROUTES: tuple[Route, ...] = (
    Route(
        verb="POST",
        path="/v1/chat/completions",
        name="createChatCompletion",
        summary="Answer a conversation.",
        handle=chat_completions,
        method="troupe.chat.v1.ChatService/Generate",
        body=JsonBody(ChatRequest),
        answers=(
            Answer(ChatCompletion, example=examples.CHAT_COMPLETION),
            Answer(ChatCompletionChunk, _EVENTS, example=examples.CHAT_EVENTS),
        ),
        examples=examples.CHAT_REQUESTS,
        errors=(404, 507),
        dialect=OPENAI,
        admitted=True,
    ),
    Route(
        verb="POST",
        path="/v1/completions",
        name="createCompletion",
        summary="Continue a text.",
        handle=completions,
        method="troupe.chat.v1.ChatService/Complete",
        body=JsonBody(CompletionRequest),
        answers=(
            Answer(Completion, example=examples.COMPLETION),
            Answer(Completion, _EVENTS, example=examples.COMPLETION_EVENTS),
        ),
        examples=examples.COMPLETION_REQUESTS,
        errors=(404, 507),
        dialect=OPENAI,
        admitted=True,
    ),
    Route(
        verb="POST",
        path="/v1/embeddings",
        name="createEmbedding",
        summary="Texts as vectors.",
        handle=embeddings,
        method="troupe.embedding.v1.EmbeddingService/Embed",
        body=JsonBody(EmbeddingRequest),
        answers=(Answer(EmbeddingList, example=examples.EMBEDDINGS),),
        examples=examples.EMBEDDING_REQUESTS,
        errors=(404, 507),
        dialect=OPENAI,
        admitted=True,
    ),
    Route(
        verb="GET",
        path="/v1/models",
        name="listModels",
        summary="Every model that can be called.",
        handle=list_models,
        method="troupe.model.v1.ModelService/ListModels",
        answers=(Answer(ModelList, example=examples.MODELS),),
        errors=(500, 503, 504),
        dialect=OPENAI,
    ),
    Route(
        verb="GET",
        path="/v1/models/{model:path}",
        name="retrieveModel",
        summary="One model.",
        handle=get_model,
        method="troupe.model.v1.ModelService/GetModel",
        answers=(Answer(ModelOut, example=examples.MODEL),),
        parameters=(Parameter("model", "Its name or an alias.", example="troupe-tiny"),),
        errors=(404, 500, 503, 504),
        dialect=OPENAI,
    ),
)
