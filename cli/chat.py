"""`troupe chat`: talk with a model, in a terminal or in a pipe."""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bus import RpcError
    from cli.chat_words import Words
    from host.settings import Settings
    from troupe_client import Hub

OK, FAILED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: answered; the hub refused or broke off; no hub, or wrongly used; Ctrl-C."""

KEY_VARIABLE = "TROUPE_KEY"

EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  (what a hub listens on; nobody can call it)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe chat` understands."""
    parser.add_argument("prompt", nargs="*", help="ask this, print the answer and leave; without it: a conversation")
    parser.add_argument("-m", "--model", default="", help="who answers (default: troupe-tiny)")
    parser.add_argument("-s", "--system", default="", help="system prompt")
    parser.add_argument("-t", "--temperature", type=float, help="0 (always the likeliest token) to 2")
    parser.add_argument("--max-tokens", type=tokens, metavar="N", help="tokens of an answer at most")
    parser.add_argument("--host", help="the hub's host (default: from the settings, else 127.0.0.1)")
    parser.add_argument("--port", type=int, help="its gRPC port (default: from the settings, else 50051)")
    parser.add_argument("--target", help="host and gRPC port together, for example hub.local:50051")
    parser.add_argument("--key", default=os.environ.get(KEY_VARIABLE), help=f"API key (default: ${KEY_VARIABLE})")
    parser.add_argument(
        "--tls", nargs="?", const=True, metavar="CA.pem", help="use TLS; with a file: trust these certificates"
    )
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
    from gateway.settings import load
    from host.settings import SettingsError

    words = words_for(args.lang, os.environ)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        config = getattr(args, "config", None)
        settings = load(Path(config) if config else None)
        return asyncio.run(_chat(args, settings, words))
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


def target_of(args: argparse.Namespace, settings: "Settings") -> str:
    """Where the hub's gRPC door is."""
    from gateway.settings import doors_of

    if args.target:
        return str(args.target)
    grpc = doors_of(settings).grpc
    host = args.host or grpc.host
    if host in EVERY_ADDRESS:
        host = "127.0.0.1"
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{bracketed}:{args.port or grpc.port}"


def _failed(error: "RpcError", words: "Words") -> int:
    from troupe_client import HubUnreachable

    if isinstance(error, HubUnreachable):
        print(words.not_running.format(target=error.metadata["target"]), file=sys.stderr)
        return UNREACHABLE
    print(f"{words.error}: {error}", file=sys.stderr)
    return FAILED


async def _chat(args: argparse.Namespace, settings: "Settings", words: "Words") -> int:
    from cli.chat_plain import MAX_INPUT_BYTES, InputTooLong, read_input
    from troupe_client import connect

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
    async with connect(target_of(args, settings), key=args.key, tls=args.tls) as hub:
        return await _converse(args, settings, words, hub, question)


async def _converse(args: argparse.Namespace, settings: "Settings", words: "Words", hub: "Hub", question: str) -> int:
    from cli.chat_plain import answer_plainly
    from troupe.chat.v1 import Sampling
    from troupe_client import DEFAULT_MODEL

    conversation = hub.conversation(
        args.model or DEFAULT_MODEL,
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
