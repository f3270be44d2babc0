"""Several centrals on one database as real processes: one leads, the others wait."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from pilotage.central.client import Client

from .running import ROOT, STARTS_S, eventually


class Member:
    """One process of `pilotage serve` on a shared data directory."""

    def __init__(self, folder: Path, data: Path, settings: Mapping[str, str], name: str) -> None:
        self.name, self._data = name, data
        self.is_stopped = False
        self._log = folder / f"{name}.log"
        words = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pilotage.central.cli", "serve", "--data", str(data)]
                + ["--port", "0", *words],
                stderr=log,
                stdout=log,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"},
            )
        eventually(lambda: self.events("standing_by"), what=f"{name} waits", within_s=STARTS_S)
        self.url: str = self.events("standing_by")[0]["url"]

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self._log.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if one["event"] == name]

    @property
    def leads(self) -> bool:
        """Whether it has begun to answer as the one that leads, and lives."""
        return self.process.poll() is None and bool(self.events("central_started"))

    @property
    def term(self) -> int:
        return int(self.events("lead_taken")[-1]["term"])

    def client(self) -> Client:
        return Client(self.url, (self._data / "admin.token").read_text().strip())

    def status(self, path: str) -> int:
        return httpx.get(f"{self.url}{path}", timeout=10, trust_env=False).status_code

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()

    def stand_still(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self.is_stopped = True

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.is_stopped = False

    def end(self) -> None:
        if self.process.poll() is None:
            self.go_on()
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(40)
            self.process.kill()
            self.process.wait()

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-3_000:]


def the_leader(members: list[Member]) -> Member:
    """Return who leads; there is one soon."""
    found = eventually(
        lambda: [one for one in members if one.leads], what="one that leads", within_s=STARTS_S
    )
    return found[0]


def each(members: list[Member]) -> Iterator[str]:
    for one in members:
        yield f"--- {one.name}\n{one.tail()}"
