"""Engine events as messages of the contract: deltas, finishes, usage, progress."""

from collections.abc import Collection, Iterator, Sequence
from typing import Generic, TypeVar

from actors.model.continuation import Choice
from actors.model.interface import Cost, Ended, EndReason, Event, Prefilling, Queued, Tokens, TokenScore
from actors.model.reply import Piece, ReplyParser
from troupe.chat.v1 import (
    CompleteResponse,
    Delta,
    Finish,
    FinishReason,
    GenerateResponse,
    TokenAlternative,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from troupe.rpc.v1 import Progress

Response = TypeVar("Response", GenerateResponse, CompleteResponse)


class AnswerWriter(Generic[Response]):
    """Writes the responses of one call. What piles up between two reads leaves as one delta per choice and kind.

    tokens: what the call cost, once it is done.
    """

    def __init__(
        self,
        response: type[Response],
        parsers: Sequence[ReplyParser],
        stops: Collection[str] = (),
        delivered: Sequence[Choice] = (),
    ) -> None:
        """`stops`: the request's; an end before another text was the model's own, and is told without it.

        `delivered`: of each choice of a call that goes on; it is not written again. Used up here.
        """
        self._delivered = delivered
        self._stops = frozenset(stops)
        self._response: type[Response] = response
        self._parsers = parsers
        self._reasoning_tokens = self.tokens = 0

    def write(self, events: Sequence[Event]) -> Iterator[Response]:
        """Responses for these events, in order."""
        for event in gathered(events):
            match event:
                case Tokens():
                    yield from self._tokens(event)
                case Ended():
                    yield from self._ended(event)
                case Cost():
                    self.tokens = event.prompt_tokens + event.completion_tokens
                    yield self._response(usage=self._usage(event))
                case Queued() | Prefilling():
                    yield self._response(progress=progress_of(event))

    def echo(self, choice: int, prompt: str) -> Iterator[Response]:
        """The prompt, ahead of a choice's text."""
        if pieces := self._new(choice, [Piece(text=prompt)]):
            yield self._response(delta=delta_of(choice, pieces))

    def _new(self, choice: int, pieces: list[Piece]) -> list[Piece]:
        return self._delivered[choice].rest(pieces) if self._delivered else pieces

    def _tokens(self, event: Tokens) -> Iterator[Response]:
        parser = self._parsers[event.choice]
        if parser.thinking:
            self._reasoning_tokens += event.count
        pieces = self._new(event.choice, parser.feed(event.text))
        if event.again:
            if pieces:
                yield self._response(delta=delta_of(event.choice, pieces))
            return
        delta = delta_of(event.choice, pieces)
        delta.tokens = event.count
        delta.token_ids.extend(event.ids)
        delta.logprobs.extend(logprob_of(score) for score in event.scores)
        yield self._response(delta=delta)

    def _ended(self, event: Ended) -> Iterator[Response]:
        parser = self._parsers[event.choice]
        rest = self._new(event.choice, parser.finish(cut=event.reason is EndReason.LENGTH))
        if rest:
            yield self._response(delta=delta_of(event.choice, rest))
        stop = event.stop if event.stop in self._stops else ""
        yield self._response(finish=Finish(choice=event.choice, reason=_reason(event, parser), stop=stop))

    def _usage(self, cost: Cost) -> Usage:
        return Usage(
            prompt_tokens=cost.prompt_tokens,
            cached_tokens=cost.cached_tokens,
            completion_tokens=cost.completion_tokens,
            reasoning_tokens=self._reasoning_tokens,
            queue_seconds=cost.queue_seconds,
            prefill_seconds=cost.prefill_seconds,
            decode_seconds=cost.decode_seconds,
        )


def gathered(events: Sequence[Event]) -> Iterator[Event]:
    """The events with neighbouring tokens of one choice joined. Choices that take turns are neighbours all the same.

    What is said again stays apart: it is counted token by token.
    """
    open_tokens: dict[int, list[Tokens]] = {}
    for event in events:
        if isinstance(event, Tokens) and not event.again:
            open_tokens.setdefault(event.choice, []).append(event)
            continue
        yield from map(_joined, open_tokens.values())
        open_tokens.clear()
        yield event
    yield from map(_joined, open_tokens.values())


def _joined(tokens: list[Tokens]) -> Tokens:
    if len(tokens) == 1:
        return tokens[0]
    text = "".join(each.text for each in tokens)
    scores = tuple(score for each in tokens for score in each.scores)
    ids = tuple(token for each in tokens for token in each.ids)
    return Tokens(tokens[0].choice, text, sum(each.count for each in tokens), scores, ids)


def delta_of(choice: int, pieces: Sequence[Piece]) -> Delta:
    """Pieces of one choice as a delta; it says of each kind what came, in order within the kind."""
    delta = Delta(choice=choice)
    delta.text = "".join(piece.text for piece in pieces)
    delta.reasoning = "".join(piece.reasoning for piece in pieces)
    for piece in pieces:
        if piece.call is not None:
            call = piece.call
            delta.tool_calls.append(
                ToolCallDelta(index=call.index, id=call.id, name=call.name, arguments=call.arguments)
            )
    return delta


def logprob_of(score: TokenScore) -> TokenLogprob:
    """A token's score."""
    others = [
        TokenAlternative(token=_shown(each.token), bytes=each.token, logprob=each.logprob)
        for each in score.alternatives
    ]
    return TokenLogprob(token=_shown(score.token), bytes=score.token, logprob=score.logprob, alternatives=others)


def progress_of(event: Queued | Prefilling) -> Progress:
    """What a call waits for."""
    if isinstance(event, Prefilling):
        return Progress(state=Progress.STATE_RUNNING, fraction=event.done / event.total, note="Reading the prompt.")
    progress = Progress(state=Progress.STATE_QUEUED, position=event.position, note="Waiting for a free slot.")
    if event.eta is not None:
        progress.eta.FromNanoseconds(int(event.eta * 1e9))
    return progress


def _reason(event: Ended, parser: ReplyParser) -> FinishReason:
    if event.reason is EndReason.LENGTH:
        return FinishReason.FINISH_REASON_LENGTH
    return FinishReason.FINISH_REASON_TOOL_CALLS if parser.called else FinishReason.FINISH_REASON_STOP


def _shown(token: bytes) -> str:
    return token.decode("utf-8", "replace")
