"""What the hub's own HTTP door says."""

from http.client import HTTPConnection
from urllib.parse import urlsplit

MAX_BODY = 1024 * 1024


def get(http: str, path: str, timeout: float) -> tuple[int, bytes]:
    """Status and body, at most MAX_BODY of it, past any proxy. Raises OSError, HTTPException."""
    connection = HTTPConnection(urlsplit(http).netloc, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(MAX_BODY)
    finally:
        connection.close()
