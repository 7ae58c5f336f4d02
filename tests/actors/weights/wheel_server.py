"""A package index of a test's own, with ranges or without, that breaks off or stands still wherever one likes."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class WheelServer:
    """Wheels by the names of their files, and an index of them as pip reads it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.announced: dict[str, str] = {}
        """SHA-256 that the index tells of a file instead of its own; empty: none."""
        self.ranges = True
        """Whether ranges are known; else each answer is the whole file."""
        self.cuts: list[int] = []
        """Places in a file at which connections are closed, one for each, in this order."""
        self.stops_at: int | None = None
        """Place in a file at which nothing more comes."""
        self.starts: list[int] = []
        """Where each download of a file began."""
        self.stopped, self.go = threading.Event(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.index = f"http://127.0.0.1:{self._server.server_port}/simple"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self, name: str) -> str:
        """The index of one package."""
        lines = []
        for file, data in self.files.items():
            if file.startswith(f"{name}-"):
                digest = self.announced.get(file, hashlib.sha256(data).hexdigest())
                lines.append(f'<a href="/files/{file}{f"#sha256={digest}" if digest else ""}">{file}</a>')
        return f"<!DOCTYPE html><html><body>{''.join(lines)}</body></html>"

    def _handler(index) -> type[BaseHTTPRequestHandler]:  # noqa: N805  (inside, self is the handler)
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                _, where, name, *_ = self.path.split("/")
                if where == "simple":
                    self._answer(200, index.page(name).encode(), "text/html")
                elif name in index.files:
                    self._data(index.files[name])
                else:
                    self._answer(404, b"", "text/plain")

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _data(self, data: bytes) -> None:
                asked = self.headers.get("Range") if index.ranges else None
                start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
                index.starts.append(start)
                if start >= len(data):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(data)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206 if asked else 200)
                self.send_header("Content-Length", str(len(data) - start))
                if asked:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.end_headers()
                if index.cuts:
                    self.wfile.write(data[start : index.cuts.pop(0)])
                    self.close_connection = True
                elif index.stops_at is not None:
                    self.wfile.write(data[start : index.stops_at])
                    self.wfile.flush()
                    index.stopped.set()
                    index.go.wait()
                    self.close_connection = True
                else:
                    self.wfile.write(data[start:])

        return Handler
