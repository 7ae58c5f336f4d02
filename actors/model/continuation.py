"""An answer that was broken off, read from what was delivered of it; and what of it is not to be said again."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from actors.model.interface import EngineInfo, Job, Said
from actors.model.reply import CallDelta, Piece
from bus.errors import continuation_unsupported
from troupe.chat.v1 import CompleteResponse, Delta, GenerateResponse


@dataclass(slots=True)
class Choice:
    """What was delivered of one choice: tokens, and how many characters of each kind. arguments: of calls, by index."""

    ids: list[int] = field(default_factory=list)
    tokens: int = 0
    text: int = 0
    reasoning: int = 0
    arguments: dict[int, int] = field(default_factory=dict)
    ended: bool = False

    def add(self, delta: Delta) -> None:
        """A delta of it was delivered."""
        self.ids += delta.token_ids
        self.tokens += delta.tokens
        self.text += len(delta.text)
        self.reasoning += len(delta.reasoning)
        for call in delta.tool_calls:
            self.arguments[call.index] = self.arguments.get(call.index, 0) + len(call.arguments)

    def rest(self, pieces: Sequence[Piece]) -> list[Piece]:
        """What of these was not delivered. To be given all pieces of the choice from its beginning, however cut."""
        return [rest for piece in pieces if (rest := self._rest(piece)) is not None]

    def _rest(self, piece: Piece) -> Piece | None:
        if piece.call is not None:
            return self._rest_of_call(piece.call)
        if piece.reasoning:
            known = min(self.reasoning, len(piece.reasoning))
            self.reasoning -= known
            return Piece(reasoning=piece.reasoning[known:]) if known < len(piece.reasoning) else None
        known = min(self.text, len(piece.text))
        self.text -= known
        return Piece(text=piece.text[known:]) if known < len(piece.text) else None

    def _rest_of_call(self, call: CallDelta) -> Piece | None:
        if call.index not in self.arguments:
            return Piece(call=call)
        # Its id and name were delivered with its first delta, and the id is another here.
        known = min(self.arguments[call.index], len(call.arguments))
        self.arguments[call.index] -= known
        return Piece(call=CallDelta(call.index, arguments=call.arguments[known:])) if call.arguments[known:] else None


class Continuation:
    """What was delivered of a call's answer; nothing for a call that begins.

    choices: empty for a call that begins. whole: only the end of the call is missing. tokens: what it cost, then.
    """

    def __init__(
        self, delivered: Sequence[GenerateResponse] | Sequence[CompleteResponse], choices: int, info: EngineInfo
    ) -> None:
        """Raises RpcError CONTINUATION_UNSUPPORTED if nobody could go on from there."""
        self.choices = [Choice() for _ in range(choices)] if delivered else []
        self.whole = False
        self.tokens = 0
        for response in delivered:
            self._take(response)
        if delivered and not self.whole:
            self._check(info)

    def taken_up_by(self, job: Job) -> Job:
        """The job as it goes on. Raises RpcError CONTINUATION_UNSUPPORTED if it has said more than it may."""
        if any(len(choice.ids) > job.max_tokens for choice in self.choices):
            raise continuation_unsupported("more was said than was asked for.")
        return replace(job, said=tuple(Said(choice.ids, choice.ended) for choice in self.choices))

    def _take(self, response: GenerateResponse | CompleteResponse) -> None:
        kind = response.WhichOneof("event")
        if kind == "delta":
            self._choice(response.delta.choice).add(response.delta)
        elif kind == "finish":
            self._choice(response.finish.choice).ended = True
        elif kind == "usage":
            self.whole = True
            self.tokens = response.usage.prompt_tokens + response.usage.completion_tokens

    def _choice(self, number: int) -> Choice:
        if number >= len(self.choices):
            raise continuation_unsupported(f"it has choice {number}, and {len(self.choices)} were asked for.")
        return self.choices[number]

    def _check(self, info: EngineInfo) -> None:
        if not info.continues:
            raise continuation_unsupported("this model's engine cannot take up what another process has said.")
        for choice in self.choices:
            if len(choice.ids) != choice.tokens:
                raise continuation_unsupported("what was delivered does not name all of its tokens.")
            if any(token >= info.vocabulary for token in choice.ids):
                raise continuation_unsupported("what was delivered are no tokens of this model.")
