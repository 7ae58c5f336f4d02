"""Call any method with JSON. Without arguments: list the methods.

The request is JSON, or @FILE, or - for stdin; each response is one line of JSON. Methods that take a stream of requests
read one JSON object per line from stdin as they come, or take a JSON list.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import connection
from cli.completion import completing, method_names
from cli.contract import described, method_of, methods, shape_of
from cli.failure import FAILED, OK, CommandError, why
from cli.json_lines import from_stdin

if TYPE_CHECKING:
    from bus import MethodInfo, RpcError
    from troupe_client import Hub


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe call` understands."""
    method = parser.add_argument(
        "method", nargs="?", help="for example troupe.echo.v1.EchoService/Echo, or EchoService/Echo"
    )
    completing(method, method_names)
    parser.add_argument("request", nargs="?", help="the request as JSON, @FILE, or - for stdin (default: {})")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="deadline of the call (default: none)")
    parser.add_argument(
        "--metadata", action="append", default=[], metavar="KEY=VALUE", help="may be given several times"
    )
    parser.add_argument("--describe", action="store_true", help="print the method's messages and do not call it")
    parser.add_argument("--json", action="store_true", help="print an error as google.rpc.Status in JSON, on stderr")
    connection.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Call; exit code 0 if the call ended well. Raises CommandError, RpcError, SettingsError."""
    from bus import RpcError

    if args.method is None:
        _list()
        return OK
    method = method_of(args.method)
    if args.describe:
        print("\n".join(described(method)))
        return OK
    requests = _requests(method, args.request)
    try:
        asyncio.run(_call(args, method, requests))
    except RpcError as error:
        if not args.json:
            raise
        _print_status(error)
        return FAILED
    return OK


def _list() -> None:
    known = methods()
    width = max(map(len, known))
    for name, method in sorted(known.items()):
        print(f"{name:<{width}}  {shape_of(method)}")


async def _call(args: argparse.Namespace, method: "MethodInfo", requests: AsyncIterator[Any]) -> None:
    metadata = _metadata(args.metadata)
    async with connection.hub_of(args) as hub:
        async for response in _responses(hub, method, requests, args.timeout, metadata):
            _print_message(response)


async def _responses(
    hub: "Hub", method: "MethodInfo", requests: AsyncIterator[Any], timeout: float | None, metadata: dict[str, str]
) -> AsyncIterator[Any]:
    """What the method answers, one or many."""
    request = requests if method.client_streaming else await anext(requests)
    if not method.server_streaming:
        once = hub.channel.client_stream if method.client_streaming else hub.channel.unary
        yield await once(method, request, timeout, metadata)
        return
    many = hub.channel.bidi_stream if method.client_streaming else hub.channel.server_stream
    async for response in many(method, request, timeout, metadata):
        yield response


# ---- what goes in


def _requests(method: "MethodInfo", argument: str | None) -> AsyncIterator[Any]:
    """The requests. Those of the command line are read now, so that mistakes are found before anything is called."""
    if argument is None and method.client_streaming:
        return _streamed(method)
    value = _value(argument)
    values = value if isinstance(value, list) and method.client_streaming else [value]
    return _given([_message(method, each) for each in values])


async def _given(messages: list[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message


async def _streamed(method: "MethodInfo") -> AsyncIterator[Any]:
    async for number, line in from_stdin():
        yield _message(method, _parsed(line, f"line {number} of stdin"))


def _value(argument: str | None) -> Any:
    if argument is None:
        return {}
    if argument != "-" and not argument.startswith("@"):
        return _parsed(argument, "the request")
    where = "stdin" if argument == "-" else argument[1:]
    try:
        text = sys.stdin.read() if argument == "-" else Path(where).read_text("utf-8")
    except OSError as error:
        raise CommandError(f"{where} cannot be read: {why(error)}.") from error
    except UnicodeDecodeError:
        raise CommandError(f"{where} is no UTF-8.", "Requests are JSON in UTF-8.") from None
    return _parsed(text, where)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"{where} is no JSON: {error}.", "In a shell, put it between single quotes.") from error
    except RecursionError:
        raise CommandError(f"{where} is nested too deeply.") from None


def _message(method: "MethodInfo", value: Any) -> Any:
    from google.protobuf import json_format

    name = method.request.DESCRIPTOR.full_name
    if not isinstance(value, dict):
        raise CommandError(
            f"A {name} is a JSON object.", f"`troupe call {method.full_name} --describe` prints its fields."
        )
    try:
        return json_format.ParseDict(value, method.request())
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        raise CommandError(
            f"This is no {name}: {' '.join(str(error).split()).rstrip('.')}.",
            f"`troupe call {method.full_name} --describe` prints its fields.",
        ) from error


def _metadata(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals or key != key.lower() or not (key + value).isascii():
            raise CommandError(f"--metadata {pair!r} is no KEY=VALUE.", "Keys are lower-case, both are ASCII.")
        found[key] = value
    return found


# ---- what comes out


def _print_message(message: Any) -> None:
    from google.protobuf import json_format

    print(json_format.MessageToJson(message, indent=None, ensure_ascii=False), flush=True)


def _print_status(error: "RpcError") -> None:
    from google.protobuf import json_format

    print(json_format.MessageToJson(error.to_status(), indent=None, ensure_ascii=False), file=sys.stderr)
