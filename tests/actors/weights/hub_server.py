"""A server that speaks the part of a Hugging Face hub's protocol that downloading needs, and can break off anywhere."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

REVISION = "c0ffee" + "0" * 34
LARGE = (".gguf", ".safetensors")


class HubServer:
    """Repositories with their files; files are answered by a redirect to another place, as from a CDN, with ranges."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.licenses: dict[str, str] = {}
        self.gated: set[str] = set()
        self.announced: dict[str, str] = {}
        """SHA-256 that is told of a file instead of its own."""
        self.ranges: list[tuple[str, int]] = []
        """Each download of a file: its name, and where it began."""
        self.stops_at: int | None = None
        """Place in a file at which nothing more comes."""
        self.stopped, self.go = threading.Event(), threading.Event()
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_port}"
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def model(self, repo: str) -> dict[str, Any]:
        """As `GET /api/models/…?blobs=true` answers."""
        return {
            "id": repo,
            "sha": REVISION,
            "cardData": {"license": self.licenses.get(repo)},
            "siblings": [self._sibling(name, data) for name, data in self.files[repo].items()],
        }

    def _sibling(self, name: str, data: bytes) -> dict[str, Any]:
        told: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
        if name.endswith(LARGE):
            digest = self.announced.get(name, hashlib.sha256(data).hexdigest())
            told["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 130}
        return told

    def _handler(hub) -> type[BaseHTTPRequestHandler]:  # noqa: N805  (inside, self is the handler)
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path.startswith("/api/models/"):
                    self._model("/".join(path.split("/")[3:5]))
                elif path.startswith("/cdn/"):
                    self._data(path)
                else:
                    _, owner, name, _, revision, *rest = path.split("/")
                    self.send_response(302)
                    self.send_header("Location", f"{hub.url}/cdn/{owner}/{name}/{'/'.join(rest)}")
                    self.send_header("Content-Length", "0")
                    self.send_header("X-Repo-Commit", revision)
                    self.end_headers()

            def _model(self, repo: str) -> None:
                if repo in hub.gated:
                    self._answer(403, b"{}", ("X-Error-Code", "GatedRepo"))
                elif repo not in hub.files:
                    self._answer(404, b"{}", ("X-Error-Code", "RepoNotFound"))
                else:
                    self._answer(200, json.dumps(hub.model(repo)).encode())

            def _data(self, path: str) -> None:
                _, _, owner, name, *rest = path.split("/")
                data, file = hub.files[f"{owner}/{name}"]["/".join(rest)], "/".join(rest)
                start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
                hub.ranges.append((file, start))
                self.send_response(206 if "Range" in self.headers else 200)
                self.send_header("Content-Length", str(len(data) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.end_headers()
                if hub.stops_at is not None and file.endswith(LARGE):
                    self.wfile.write(data[start : hub.stops_at])
                    self.wfile.flush()
                    hub.stopped.set()
                    hub.go.wait()
                    self.close_connection = True
                    return
                self.wfile.write(data[start:])

            def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
                self.send_response(status)
                for name, value in (*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        return Handler
