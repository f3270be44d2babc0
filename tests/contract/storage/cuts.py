"""A TCP proxy that breaks connections, or lets them stall, after some bytes."""

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Generator
from typing import Final

CONNECT_S: Final = 5.0
_BLOCK: Final = 1 << 16
# How many bytes the next connection may carry; None: any number.
NextLimit = Callable[[], int | None]


class CuttingProxy:
    """Forwards each connection to a server until its bytes are used up.

    `sent`: only the bytes of clients count; otherwise those of both ways.
    """

    def __init__(
        self, port: int, limit: NextLimit, *, stalls: bool = False, sent: bool = False
    ) -> None:
        self._to, self._limit, self._stalls, self._sent = port, limit, stalls, sent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._forward, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _forward(self, client: socket.socket) -> None:
        left = self._limit()
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._to), CONNECT_S) as server,
            selectors.DefaultSelector() as ready,
        ):
            server.settimeout(None)
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            self._pump(ready, left, server if self._sent else None)
            if self._stalls:
                self._over.wait()
            for one in (client, server):  # as a firewall does: a reset
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _pump(
        self, ready: selectors.BaseSelector, left: int | None, free: socket.socket | None
    ) -> None:
        """Forward until `left` bytes are used up. Those from `free` do not count."""
        while not self._over.is_set():
            for key, _ in ready.select(0.1):
                source = key.fileobj
                assert isinstance(source, socket.socket)
                counts = left is not None and source is not free
                block = source.recv(min(left, _BLOCK) if counts and left else _BLOCK)
                if not block:
                    with contextlib.suppress(OSError):
                        key.data.shutdown(socket.SHUT_WR)
                    ready.unregister(source)
                    if not ready.get_map():
                        return
                    continue
                if left is not None and counts and left <= 0:
                    self.cuts += 1
                    return
                key.data.sendall(block)
                left = left - len(block) if left is not None and counts else left

    def close(self) -> None:
        self._over.set()
        # A thread in `accept` does not notice that its socket is closed.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@contextlib.contextmanager
def cutting(
    port: int, limit: NextLimit, *, stalls: bool = False, sent: bool = False
) -> Generator[CuttingProxy]:
    """Run a proxy in front of a port of this machine, and end it."""
    proxy = CuttingProxy(port, limit, stalls=stalls, sent=sent)
    try:
        yield proxy
    finally:
        proxy.close()
