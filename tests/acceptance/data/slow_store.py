"""An HTTP storage in memory that is slow, or cuts connections."""

import contextlib
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.contract.storage.servers import serving

PIECE = 1 << 14


@dataclass
class SlowStore:
    """Files by path. Only whole uploads are kept."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    ranges: list[str] = field(default_factory=list[str])  # of each GET
    puts: list[str] = field(default_factory=list[str])  # paths of uploads that began
    cut_after: int | None = None  # bytes of an answer
    pause_s: float = 0.0  # after each piece, in both directions
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.removeprefix("/data/")
        if request.command == "PUT":
            self._take(request, path)
        elif path not in self.files:
            self._say(request, 404)
        elif request.command == "DELETE":
            del self.files[path]
            self._say(request, 204)
        else:
            self._give(request, self.files[path])

    def _take(self, request: BaseHTTPRequestHandler, path: str) -> None:
        self.puts.append(path)
        left, content = int(request.headers["Content-Length"]), b""
        while left:
            piece = request.rfile.read(min(left, PIECE))
            if not piece:
                return
            content, left = content + piece, left - len(piece)
            time.sleep(self.pause_s)
        self.files[path] = content
        self._say(request, 201)

    def _give(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        start = 0
        if request.command == "GET":
            asked = request.headers.get("Range", "")
            self.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-") or 0)
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        if request.command == "HEAD":
            return
        end = len(content) if self.cut_after is None else start + self.cut_after
        for at in range(start, min(end, len(content)), PIECE):
            request.wfile.write(content[at : min(at + PIECE, end)])
            time.sleep(self.pause_s)

    def _say(self, request: BaseHTTPRequestHandler, status: int) -> None:
        request.send_response(status)
        request.send_header("Content-Length", "0")
        request.end_headers()


@contextlib.contextmanager
def slow_store() -> Generator[SlowStore]:
    """Run one, and end it."""
    store = SlowStore()
    with serving(store.answer) as url:
        store.url = url
        yield store
