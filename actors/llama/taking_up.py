"""Jobs that go on: what another process has said is said again here, so that the rest is as it would be there."""

from collections.abc import Iterator, Sequence

from actors.llama.sequence import RunningJob
from actors.llama.sequence import Sequence as Choice
from actors.llama.vocabulary import Vocabulary
from actors.model.interface import Tokens
from actors.model.text import TextStream


def said_again(running: RunningJob, choices: Sequence[Choice], vocabulary: Vocabulary) -> Iterator[Tokens]:
    """The tokens of `Job.said`, as they go through the text, the grammar and the sampler of their choice.

    choices: those that had not ended. The others are only told: whoever counts needs them. Raises RpcError
    CONTINUATION_UNSUPPORTED for tokens that a grammar forbids.
    """
    job, still_open = running.job, {choice.choice: choice for choice in choices}
    for number, said in enumerate(job.said):
        choice = still_open.get(number)
        text = choice.text if choice is not None else TextStream(job.stop)
        for token in said.ids:
            if choice is not None:
                choice.sampler.accept(token)
            running.completion_tokens += 1
            yield Tokens(number, text.feed(vocabulary.visible(token, job.markers)), 1, ids=(token,), again=True)


def is_over(choice: Choice) -> bool:
    """Whether nothing follows what was said: a stop string was complete, or a limit reached."""
    return bool(choice.text.stopped) or choice.length >= choice.limit
