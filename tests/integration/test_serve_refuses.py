"""A central that cannot start says in one line why, and ends."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

TAKEN = "the port of somebody else"
REFUSED = {
    "http.port=abc": "http.port: Expected `int`",
    "http.tls_key=/nowhere": "http.tls_certificate, http.tls_key: give both or none",
    "bus.broker=http://x": "bus.broker: 'http://x' is none of embedded, none, mqtt://host",
    TAKEN: "is taken on 127.0.0.1: is another central there? 0 takes a free one",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_a_central_that_cannot_start_says_why_and_ends(setting: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1] if setting == TAKEN else 0
        words = [] if setting == TAKEN else ["--set", setting]
        if not setting.startswith("http.port"):
            words += ["--port", str(port)]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pilotage.central.cli",
                "serve",
                "--data",
                str(tmp_path),
                *words,
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )

    assert done.returncode == 2
    assert REFUSED[setting] in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_second_central_on_the_same_data_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pilotage.central.cli", "serve", "--data", str(tmp_path)]
    with subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None and "central_started" in first.stderr.readline()
        second = subprocess.run([*command, "--port", "0"], capture_output=True, text=True)
        first.terminate()

    assert second.returncode == 2
    assert second.stderr.startswith(f"pilotage serve: another central runs on {tmp_path}")
