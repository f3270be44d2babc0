"""A relay between a pilot and a central that notes when certain requests come by."""

import socket
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from urllib.parse import urlsplit

BLOCK_BYTES = 1 << 16
CONNECT_S = 5.0


class NotSeen(Exception):
    """None of the requests has come by in time."""


class Relay:
    """Passes connections on to `url`, and knows when one of `wanted` first began a request."""

    def __init__(self, url: str, wanted: Sequence[bytes]) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname or "", parts.port or 80)
        self._wanted = tuple(wanted)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._seen = threading.Event()
        self._at = 0.0
        self._open: list[socket.socket] = []

    @property
    def url(self) -> str:
        host, port = self._listening.getsockname()
        return f"http://{host}:{port}"

    def seen_at(self, patience_s: float) -> float:
        """Return when, on the clock of `time.perf_counter`. Raises NotSeen."""
        if not self._seen.wait(patience_s):
            raise NotSeen(f"none of {self._wanted} within {patience_s:g} s")
        return self._at

    def __enter__(self) -> "Relay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for one in (self._listening, *self._open):
            _shut(one)

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listening.accept()
                outer = socket.create_connection(self._to, CONNECT_S)
            except OSError:
                return
            outer.settimeout(None)
            for one in (inner, outer):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += (inner, outer)
            threading.Thread(target=self._pass_on, args=(inner, outer), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(outer, inner), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(BLOCK_BYTES):
                if not self._at and data.startswith(self._wanted):
                    self._at = time.perf_counter()
                    self._seen.set()
                target.sendall(data)
        except OSError:
            pass
        _shut(target)


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    one.close()
