"""What the blobs over HTTP are compared with: a Starlette app that writes a body to the disk, and nothing else."""

import os
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

TARGET = Path(sys.argv[2])


async def upload(request: Request) -> Response:
    with TARGET.open("wb", buffering=0) as target:
        async for piece in request.stream():
            target.write(piece)
        if "sync" in request.query_params:
            os.fsync(target.fileno())
    return Response(status_code=201)


async def download(request: Request) -> Response:
    return FileResponse(TARGET)


app = Starlette(routes=[Route("/", upload, methods=["POST"]), Route("/", download)])

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", loop="uvloop", http="httptools")
