"""The way to a database: a socket of its own, which can be cut and turned to another server."""

import contextlib
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

SOCKET = ".s.PGSQL.5432"


class DatabaseWay:
    """Hands bytes on both ways. Cut, it lets both sides believe that the other is silent."""

    def __init__(self, folder: Path, target: Path) -> None:
        """`folder` is where clients look for the server, `target` the folder of the real one."""
        self.folder, self.target = folder, target
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / SOCKET))
        self._listening.listen(64)
        self._open: list[socket.socket] = []
        self._passes = threading.Event()
        self._passes.set()

    def url(self, schema: str) -> str:
        return f"postgresql://pilotage@/postgres?host={self.folder}&search_path={schema}"

    def cut(self) -> None:
        """Nothing arrives any more; no connection is closed."""
        self._passes.clear()

    def heal(self) -> None:
        self._passes.set()

    def serve(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        self._passes.wait()
        far = socket.socket(socket.AF_UNIX)
        self._open += [near, far]
        try:
            far.connect(str(self.target / SOCKET))
        except OSError:
            near.close()
            far.close()
            return
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._passes.wait()
                sink.sendall(data)
        self._passes.wait()  # an end is not heard of either
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.heal()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def database_way(folder: Path, target: Path) -> Generator[DatabaseWay]:
    folder.mkdir()
    way = DatabaseWay(folder, target)
    serving = threading.Thread(target=way.serve, daemon=True)
    serving.start()
    try:
        yield way
    finally:
        way.close()
        serving.join(10)
