"""SIGTERM under load: what is under way is answered, what is answered is kept, all in time."""

import signal
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from pilotage.central.operate.serve import DRAIN_S, END_S

from .beacons import Beacons
from .running import RunningCentral, eventually, running_central

SUBMITTERS = 4


class Submitter(threading.Thread):
    """Somebody who submits over raw HTTP and remembers each answer."""

    def __init__(self, central: RunningCentral, name: str) -> None:
        super().__init__(name=name)
        self._url = central.url
        self._token = (central.data / "admin.token").read_text().strip()
        self.stop = threading.Event()
        self.acknowledged: dict[str, int] = {}  # key → first id
        self.statuses: Counter[int] = Counter()
        self.cut = 0

    def run(self) -> None:
        headers = {"authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=20) as client:
            for number in range(100_000):
                if self.stop.is_set():
                    return
                key = f"{self.name} {number}"
                body = {
                    "key": key,
                    "jobs": [{"command": ["true"], "needs": [{"sites": ["X"]}]}] * 5,
                }
                try:
                    answer = client.post("/v1/submissions", json=body)
                except httpx.TransportError:
                    self.cut += 1
                    return
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    self.acknowledged[key] = answer.json()["ids"][0]["first"]


def test_a_graceful_end_under_load_answers_keeps_and_is_over_in_time(tmp_path: Path) -> None:
    beacons = Beacons(tmp_path / "beacons")
    with running_central(tmp_path / "one") as central:
        central.pilot("PIC", cores=2)
        (running,) = central.client.submit([beacons.job(3)]).ids()
        eventually(lambda: beacons.running(running), what="the start")
        submitters = [Submitter(central, f"submitter {i}") for i in range(SUBMITTERS)]
        for one in submitters:
            one.start()
        eventually(lambda: all(one.statuses[200] > 20 for one in submitters), what="some load")
        began = time.monotonic()
        central.process.send_signal(signal.SIGTERM)
        code = central.process.wait(END_S + 10)
        took_s = time.monotonic() - began
        for one in submitters:
            one.stop.set()
            one.join()
        (stopped,) = central.events("central_stopped")

        assert code == 0
        assert took_s < DRAIN_S
        assert stopped["took_s"] < DRAIN_S
        assert not central.events("loop_failed", "library")
        assert {status for one in submitters for status in one.statuses} <= {200, 503}
        assert not (central.data / "central.json").exists()

        central.restart()
        ids = {job.id for job in central.client.search()}
        acknowledged = [first for one in submitters for first in one.acknowledged.values()]
        assert len(acknowledged) > 80
        assert all(first + i in ids for first in acknowledged for i in range(5))
        assert central.client.job(running).wait(60).state.value == "Done"
        assert beacons.overlaps() == []


def test_who_sends_slowly_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with running_central(tmp_path / "one") as central:
        admin = (central.data / "admin.token").read_text().strip()
        with socket.create_connection(("127.0.0.1", central.port)) as slow:
            head = (
                f"PUT /v1/blobs/{'0' * 64} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {admin}\r\n"
            )
            slow.sendall(head.encode() + b"content-length: 1000\r\n\r\nabc")
            time.sleep(0.5)
            began = time.monotonic()
            central.process.send_signal(signal.SIGTERM)

            assert central.process.wait(END_S) == 0
            assert time.monotonic() - began < DRAIN_S + 5
        assert not central.events("loop_failed")


def test_the_service_manager_hears_of_each_step_and_a_second_signal_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        with running_central(tmp_path / "one") as central:
            heard = {manager.recv(1_000).split(b"\n")[0] for _ in range(4)}
            began = time.monotonic()
            for _ in range(2):
                central.process.send_signal(signal.SIGTERM)

            assert central.process.wait(END_S) == 0
            assert time.monotonic() - began < 5
        manager.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                heard.add(manager.recv(1_000).split(b"\n")[0])

        assert heard == {b"READY=1", b"WATCHDOG=1", b"STOPPING=1"}
