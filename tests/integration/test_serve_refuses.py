"""A central that cannot start says in one line why, and ends."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

TAKEN = "the port of somebody else"
REFUSED = {
    "http.port=abc": "http.port: expected a whole number from 0 to 65535, got text",
    "http.tls_key=/nowhere": "http.tls_certificate, http.tls_key: give both or none",
    "bus.broker=http://x": "bus.broker: 'http://x' is none of embedded, none, mqtt://host",
    "http.host=192.0.2.1": "http.host: 192.0.2.1 is no address of this machine",
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
    said = [line for line in done.stderr.splitlines() if '"event":"first_token"' not in line]
    assert len(said) == 1
    assert REFUSED[setting] in said[0]


def test_a_second_central_on_the_same_data_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pilotage.central.cli", "serve", "--data", str(tmp_path)]
    with subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        assert any("central_started" in line for line in first.stderr)
        second = subprocess.run([*command, "--port", "0"], capture_output=True, text=True)
        first.terminate()

    assert second.returncode == 2
    assert second.stderr.startswith(f"pilotage serve: another central runs on {tmp_path}")


def test_a_data_directory_that_cannot_be_made_is_named() -> None:
    command = [sys.executable, "-m", "pilotage.central.cli", "serve", "--data", "/proc/x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert done.returncode == 2
    assert done.stderr.startswith("pilotage serve: --data /proc/x: cannot be written: ")
    assert len(done.stderr.splitlines()) == 1
