"""A central that cannot start says in one line why, and ends."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

TAKEN = "the port of somebody else"
NO_PASSWORD = "bus.password_file=/nowhere/password"
REFUSED = {
    "http.port=abc": "http.port: expected a whole number from 0 to 65535, got text",
    "http.tls_key=/nowhere": "http.tls_certificate, http.tls_key: set both or none",
    "bus.broker=http://x": "bus.broker: found 'http://x', expected embedded, none, mqtt(s)://host",
    "http.host=192.0.2.1": "http.host: 192.0.2.1 is not an address of this machine",
    "http.url=nonsense": "http.url: found 'nonsense', expected https://host:port",
    "bus.url=http://foo": "bus.url: found 'http://foo', expected mqtts://host:port",
    NO_PASSWORD: "bus.password_file: /nowhere/password: No such file or directory",
    TAKEN: "is in use on 127.0.0.1: does another central run there? `pilotage serve --port 0` uses"
    " a free port",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_a_central_that_cannot_start_says_why_and_ends(setting: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1] if setting == TAKEN else 0
        words = [] if setting == TAKEN else ["--set", setting]
        words += ["--broker", "mqtt://127.0.0.1:1"] if setting == NO_PASSWORD else []
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


def serve(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pilotage.central.cli", "serve", "--data", str(data)]
    return subprocess.run(
        [*command, "--port", "0", *words], capture_output=True, text=True, timeout=30
    )


def test_a_setting_that_is_wrong_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = serve(tmp_path / "new", "--set", "http.tls_certificate=/nowhere")

    assert done.returncode == 2
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = serve(tmp_path / "file")

    assert done.returncode == 2
    assert "is a file or below one: a folder is needed" in done.stderr


@pytest.mark.parametrize("damage", [b"this is no database" * 1_000, b""])
def test_a_store_that_is_damaged_is_named_with_the_way_out(tmp_path: Path, damage: bytes) -> None:
    store = tmp_path / "store.sqlite"
    made = serve(tmp_path, "--set", "bus.password_file=/nowhere", "--broker", "mqtt://127.0.0.1:1")
    content = store.read_bytes()
    store.write_bytes(damage or content[: len(content) // 2])
    done = serve(tmp_path)

    assert made.returncode == 2
    assert done.returncode == 70, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"pilotage serve: {store}: ")
    assert "pilotage doctor --store" in done.stderr
    assert "docs/operations/backup.md" in done.stderr


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


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("signing-keys.json", "it has keys, but store.sqlite is missing"),
        ("restore-unfinished", "a restore was not finished"),
    ],
)
def test_a_data_directory_whose_store_is_gone_is_no_new_one(
    tmp_path: Path, file: str, why: str
) -> None:
    (tmp_path / file).write_text("{}")
    command = [sys.executable, "-m", "pilotage.central.cli", "serve", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert done.returncode == 2
    assert why in done.stderr
    assert not (tmp_path / "store.sqlite").exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://db/x", "not a supported database"),
        ("postgresql://me:secret@db/x", "PGPASSFILE"),
        ("postgresql://one:5432,two:front/x", "store.url: 'front' is not a port"),
        ("postgresql://me@/x?host=/nowhere", "docs/operations/postgresql.md"),
    ],
)
def test_a_database_that_cannot_be_meant_or_reached_is_named(
    tmp_path: Path, url: str, says: str
) -> None:
    done = serve(tmp_path, "--set", f"store.url={url}")

    assert done.returncode == (70 if "host=" in url else 2)
    assert says in done.stderr
    assert "secret" not in done.stderr


def test_jobs_in_the_file_are_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").touch()
    done = serve(tmp_path, "--set", "store.url=postgresql://db/x")

    assert done.returncode == 2
    assert "copy-store" in done.stderr
