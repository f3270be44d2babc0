"""A wire between a pilot and its central that can lose a reply."""

import contextlib
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path


class LossyProxy:
    """Forwards bytes both ways; the next reply that holds `lose` is dropped with its connection.

    The request has reached the central then, and its answer is never heard.
    """

    def __init__(self, listening: socket.socket, target: Callable[[], socket.socket]) -> None:
        self._target, self._listening = target, listening
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.lose = b""
        self.lost: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def serve(self) -> None:
        """Accept until `close`."""
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = self._target()
            self._open += [near, far]
            for source, sink, replies in ((near, far, False), (far, near, True)):
                thread = threading.Thread(target=self._forward, args=(source, sink, replies))
                thread.start()
                self._threads.append(thread)

    def _forward(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if replies and self.lose and self.lose in data:
                    self.lose = b""
                    self.lost.append(data)
                    break
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._open:
            one.close()


@contextmanager
def lossy_proxy(target: int) -> Generator[LossyProxy]:
    """Run a proxy to a port of this machine."""
    listening = socket.create_server(("127.0.0.1", 0))
    with _served(
        LossyProxy(listening, lambda: socket.create_connection(("127.0.0.1", target)))
    ) as proxy:
        yield proxy


@contextmanager
def lossy_database(folder: Path, target: Path) -> Generator[LossyProxy]:
    """Run a proxy in `folder` to the PostgreSQL that has its socket in `target`."""
    name = ".s.PGSQL.5432"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / name))
    listening.listen()

    def connect() -> socket.socket:
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(target / name))
        return far

    with _served(LossyProxy(listening, connect)) as proxy:
        yield proxy


@contextmanager
def _served(proxy: LossyProxy) -> Generator[LossyProxy]:
    serving = threading.Thread(target=proxy.serve)
    serving.start()
    try:
        yield proxy
    finally:
        proxy.close()
        serving.join()
