"""A cluster of NATS servers with their MQTT gateway, on this machine alone.

MQTT needs JetStream there, and that a majority of the cluster. Logins stand in a file that all
read again when they are told to; topics are written as NATS does: `/` is `.`, `+` is `*`.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from pilotage.proto import topics

NODES: Final = 3
READY_S: Final = 30.0
MESSAGE_MAX: Final = 524_288


def missing() -> str:
    """Return what must be installed before a server can start, or an empty string."""
    return "" if _program() is not None else "nats-server (apt: nats-server)"


def _program() -> str | None:
    return shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def _subject(topic_filter: str) -> str:
    return topic_filter.replace("/", ".").replace("+", "*")


class Nats:
    """A cluster; one node at a time can be killed and started again."""

    user = "central"

    def __init__(self, folder: Path, password: str) -> None:
        self._folder, self.password = folder, password
        free = _free_ports(3 * NODES)
        self._clients, self._routes, self.ports = free[::3], free[1::3], free[2::3]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._logins: dict[str, tuple[str, str]] = {}  # pilot: community, password
        self._write_logins()
        for node in range(NODES):
            (folder / f"{node}.conf").write_text(self._configuration(node))

    def _configuration(self, node: int) -> str:
        routes = ", ".join(f"nats://127.0.0.1:{port}" for port in self._routes)
        return f"""
server_name: node{node}
listen: 127.0.0.1:{self._clients[node]}
max_payload: {MESSAGE_MAX}
jetstream {{ store_dir: "{self._folder}/{node}" }}
mqtt {{ listen: "127.0.0.1:{self.ports[node]}" }}
cluster {{ name: bus, listen: "127.0.0.1:{self._routes[node]}", routes: [{routes}] }}
include "logins.conf"
"""

    def _write_logins(self) -> None:
        """The central reads what pilots say and speaks to them; a pilot has its own two topics."""
        users = [_login(self.user, self.password, f"{topics.ROOT}/+/p/+/down", topics.all_up())]
        for pilot, (community, password) in self._logins.items():
            up = topics.up(community, pilot, topics.TopicKind.BEAT).rpartition("/")[0] + "/+"
            users.append(_login(pilot, password, up, topics.down(community, pilot)))
        text = f"authorization {{ users: {json.dumps(users)} }}\n"
        (self._folder / "logins.conf").write_text(text)

    def start(self) -> None:
        """Start all nodes and wait until each lets the central in."""
        for node in range(NODES):
            self.start_node(node)
        self.wait_ready()

    def start_node(self, node: int) -> None:
        program = _program()
        assert program is not None, "`missing` says so before"
        with (self._folder / f"{node}.log").open("ab") as log:
            self._processes[node] = subprocess.Popen(
                [program, "-c", str(self._folder / f"{node}.conf")], stdout=log, stderr=log
            )

    def wait_ready(self) -> None:
        until = time.monotonic() + READY_S
        for node in self._processes:
            while not self._lets_in(node):
                assert time.monotonic() < until, self.log(node)
                time.sleep(0.1)

    def _lets_in(self, node: int) -> bool:
        """Say whether a node takes MQTT: it does not before the cluster has a leader."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports[node]), timeout=2) as link:
                link.sendall(_connect(self.user, self.password))
                return link.recv(4) == b"\x20\x02\x00\x00"
        except OSError:
            return False

    def dead(self) -> list[int]:
        """Return the nodes that were killed."""
        return [node for node in range(NODES) if node not in self._processes]

    def kill_node(self, node: int) -> None:
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def add_login(self, community: str, pilot: str, password: str) -> None:
        self._logins[pilot] = (community, password)
        self._read_again()

    def remove_login(self, pilot: str) -> None:
        del self._logins[pilot]
        self._read_again()

    def _read_again(self) -> None:
        self._write_logins()
        for process in self._processes.values():
            process.send_signal(signal.SIGHUP)

    def log(self, node: int) -> str:
        return (self._folder / f"{node}.log").read_text(errors="replace")[-3_000:]

    def stop(self) -> None:
        for node in list(self._processes):
            self.kill_node(node)


def _login(user: str, password: str, writes: str, reads: str) -> dict[str, object]:
    return {
        "user": user,
        "password": password,
        "permissions": {"publish": [_subject(writes)], "subscribe": [_subject(reads)]},
    }


def _connect(user: str, password: str) -> bytes:
    """Return MQTT 3.1.1's CONNECT, clean, with a login."""
    fields = [b"MQTT", b"probe", user.encode(), password.encode()]
    name, *rest = [len(field).to_bytes(2, "big") + field for field in fields]
    body = name + b"\x04\xc2\x00\x05" + b"".join(rest)
    return bytes([0x10, len(body)]) + body


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
