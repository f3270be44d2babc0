"""Free TCP ports of this machine."""

import socket


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class HeldPorts:
    """Keeps ports from others while their server is away. Whoever asks is refused."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def hold(self, *ports: int) -> None:
        for port in ports:
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held.append(one)
            one.bind(("0.0.0.0", port))  # and does not listen

    def release(self) -> None:
        while self._held:
            self._held.pop().close()
