"""Programs that nobody here wrote, used as a person would use them."""

import asyncio
import json
import re
import sys
from typing import Any

FRAME = re.compile(r"< (\{.*\})")


async def test_the_command_line_of_websockets_holds_a_call(gateway: Any) -> None:
    call = {
        "callId": "typed-by-hand",
        "open": {"protocolVersion": 1, "method": "troupe.echo.v1.EchoService/Repeat"},
        "payload": [{"text": "xin chào", "count": 3}],
        "halfClose": True,
    }
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "websockets", gateway.websocket_url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(json.dumps(call, ensure_ascii=False).encode() + b"\n")
    frames: list[dict[str, Any]] = []
    shown = ""
    while not any("close" in frame for frame in frames):
        shown += (await client.stdout.read(4096)).decode()
        frames = [json.loads(found[1]) for found in FRAME.finditer(shown)]
    client.stdin.close()
    await client.wait()
    texts = [message["text"] for frame in frames for message in frame.get("payload", [])]
    assert texts == ["xin chào"] * 3
