"""`troupe chat`: talk with a model, in a terminal or in a pipe."""

import argparse
import asyncio
import os
import sys
from typing import TYPE_CHECKING

from cli import connection
from cli.completion import completing, model_names
from cli.failure import worth_looking_up
from cli.options import CHAT, in_options

if TYPE_CHECKING:
    from bus import RpcError
    from cli.chat_words import Words
    from host.settings import Settings
    from troupe_client import Hub

OK, FAILED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: answered; the hub refused or broke off; no hub, or wrongly used; Ctrl-C."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe chat` understands."""
    parser.add_argument("prompt", nargs="*", help="ask this, print the answer and leave; without it: a conversation")
    model = parser.add_argument("-m", "--model", default="", help="who answers (default: the hub's default model)")
    completing(model, model_names)
    parser.add_argument("-s", "--system", default="", help="system prompt")
    parser.add_argument("-t", "--temperature", type=float, help="0 (always the likeliest token) to 2")
    parser.add_argument("--max-tokens", type=tokens, metavar="N", help="tokens of an answer at most")
    connection.add_arguments(parser)
    parser.add_argument("--lang", choices=("en", "vi"), help="language of the interface (default: from LANG)")


def tokens(text: str) -> int:
    """A number of tokens. Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) < 2**31):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of tokens; give 1 or more")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Chat as the arguments say; the exit code."""
    from bus import RpcError
    from cli.chat_words import words_for
    from host.settings import SettingsError

    words = words_for(args.lang, os.environ)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        return asyncio.run(_chat(args, connection.settings_of(args), words))
    except SettingsError as error:
        print(f"{words.error}: {error}", file=sys.stderr)
        return UNREACHABLE
    except RpcError as error:
        return _failed(error, words)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on; the interpreter must not try to flush what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _failed(error: "RpcError", words: "Words") -> int:
    from troupe_client import HubUnreachable

    if isinstance(error, HubUnreachable):
        print(words.not_running.format(target=error.metadata["target"]), file=sys.stderr)
        return UNREACHABLE
    print(f"{words.error}: {in_options(str(error), CHAT)}", file=sys.stderr)
    if worth_looking_up(error):
        print(words.find_reference.format(reference=error.reference), file=sys.stderr)
    return FAILED


async def _chat(args: argparse.Namespace, settings: "Settings", words: "Words") -> int:
    from cli.chat_plain import MAX_INPUT_BYTES, InputTooLong, read_input

    question = " ".join(args.prompt).strip()
    try:
        piped = "" if sys.stdin.isatty() else read_input()
    except InputTooLong:
        print(words.too_much_asked.format(limit=f"{MAX_INPUT_BYTES:,}"), file=sys.stderr)
        return UNREACHABLE
    question = "\n\n".join(part for part in (question, piped) if part)
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if not question and not interactive:
        print(words.nothing_asked, file=sys.stderr)
        return UNREACHABLE
    async with connection.hub_at(args, settings) as hub:
        return await _converse(args, settings, words, hub, question)


async def default_model(hub: "Hub") -> str:
    """The model that answers who names none, by its own name where the hub tells it."""
    from bus import RpcError
    from troupe_client import DEFAULT_MODEL, HubUnreachable

    try:
        return await hub.default_model()
    except HubUnreachable:
        raise
    except RpcError:  # what is wrong is told by the answer, which wants a model too
        return DEFAULT_MODEL


async def _converse(args: argparse.Namespace, settings: "Settings", words: "Words", hub: "Hub", question: str) -> int:
    from cli.chat_plain import answer_plainly
    from troupe.chat.v1 import Sampling

    conversation = hub.conversation(
        args.model or await default_model(hub),
        system=args.system,
        sampling=Sampling(temperature=args.temperature) if args.temperature is not None else None,
        max_tokens=args.max_tokens,
    )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        await answer_plainly(conversation, question, words)
        return OK
    from cli.chat_session import Session

    session = Session(hub, conversation, words, settings.home)
    if question:
        answered = await session.answer(question)
        return OK if answered else INTERRUPTED if session.stopped else FAILED
    await session.run(chosen=bool(args.model))
    return OK
