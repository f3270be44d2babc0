"""The pilot as a real process: HTTP over loopback, a guard, real payloads, signals."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pilotage.pilot.__main__ import main
from pilotage.proto.messages import Attempt, How, InputFile, OutputRule
from tests.scripted_central import ABC, Central, assignment

SOON_S = 20.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    central: Central
    lock = threading.Lock()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.lock:
            reply = asyncio.run(self.central(self.command, self.path, body, token))
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = _answer


@contextlib.contextmanager
def served(central: Central) -> Generator[str, None, None]:
    handler = type("Handler", (_Handler,), {"central": central})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def pilot(url: str, state: Path, *options: str) -> Generator["subprocess.Popen[bytes]", None, None]:
    secret = state / "secret"
    secret.touch(mode=0o600)
    secret.write_text("secret")
    argv = [sys.executable, "-m", "pilotage.pilot", "run", "--central", url]
    argv += ["--secret-file", str(secret), "--state-dir", str(state / "pilot"), *options]
    with (state / "log").open("ab") as log:
        process = subprocess.Popen(argv, stderr=log, cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def events(state: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (state / "log").read_text().splitlines()]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_a_pilot_process_runs_jobs_with_input_and_output_and_drains_on_sigterm(
    tmp_path: Path,
) -> None:
    central = Central()
    central.blobs[ABC] = b"abc"
    script = "cat in.txt > out.dat; echo said; echo erred >&2"
    central.queue.append(
        assignment(
            1,
            "sh",
            "-c",
            script,
            inputs=(InputFile("in.txt", ABC, 3),),
            outputs=(OutputRule("*.dat"),),
        )
    )
    central.queue.append(assignment(2, "false"))

    with served(central) as url, pilot(url, tmp_path, "--cores", "2") as process:
        until(lambda: len(central.ended) == 2)
        process.send_signal(signal.SIGTERM)
        code = process.wait(SOON_S)

    done, failed = central.ended[Attempt(1, 1)], central.ended[Attempt(2, 1)]
    outputs = {one.name: central.blobs[one.sha256] for one in done.outputs}
    outputs.pop(".pilotage/usage", None)  # comes if a slow machine takes 0.1 s for the payload
    assert code == 0
    assert (done.how, done.exit_code, failed.exit_code) == (How.EXITED, 0, 1)
    assert outputs == {
        "out.dat": b"abc",
        ".pilotage/stdout": b"said\n",
        ".pilotage/stderr": b"erred\n",
    }
    assert central.beats[-1].goodbye
    assert events(tmp_path)[-1] == "pilot_ended"


def test_a_pilot_that_is_given_too_many_cores_says_so_and_offers_what_it_has(
    tmp_path: Path,
) -> None:
    central = Central()
    with served(central) as url, pilot(url, tmp_path, "--cores", "65536") as process:
        until(lambda: bool(central.asks))
        process.send_signal(signal.SIGTERM)
        process.wait(SOON_S)

    (offer, *_) = [turn.ask.offer for turn in central.turns if turn.ask is not None]
    assert 1 <= offer.cores <= (os.cpu_count() or 1)
    assert "offer_capped" in events(tmp_path)


def test_a_killed_pilot_comes_back_from_its_journal_and_calls_its_payload_lost(
    tmp_path: Path,
) -> None:
    central = Central()
    central.queue.append(assignment(1, "sleep", "1000"))

    with served(central) as url:
        with pilot(url, tmp_path, "--cores", "1") as process:
            until(lambda: "payload_started" in events(tmp_path))
            process.kill()
            process.wait()
        with pilot(url, tmp_path, "--cores", "1", "--idle-s", "0.5") as process:
            code = process.wait(SOON_S)

    assert code == 0
    assert central.hellos[0].unanswered == (Attempt(1, 1),)
    assert central.ended[Attempt(1, 1)].how is How.LOST


@contextlib.contextmanager
def deaf(how: str) -> Generator[str, None, None]:
    """An address where nobody listens, connects or answers."""
    with contextlib.ExitStack() as sockets:
        server = sockets.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        if how != "nobody listens":
            server.listen(0 if how == "nobody lets in" else 10)
        for _ in range(3 if how == "nobody lets in" else 0):  # the queue at the door is full
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("how", ["nobody listens", "nobody lets in", "nobody answers"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_pilot_that_nobody_knows_yet_ends_on_a_signal(
    how: str, number: signal.Signals, tmp_path: Path
) -> None:
    with deaf(how) as url, pilot(url, tmp_path, "--remove-state") as process:
        until(lambda: "pilot_started" in events(tmp_path))
        time.sleep(0.3)
        process.send_signal(number)
        code = process.wait(5.0)

    assert code == 0
    assert events(tmp_path)[-1] == "pilot_ended"
    assert (tmp_path / "pilot").is_dir(), "it has not ended well: nobody answered"


def test_a_pilot_that_nobody_answers_says_where_and_ends_with_its_own_code(tmp_path: Path) -> None:
    with deaf("nobody listens") as url, pilot(url, tmp_path, "--unanswered-s", "0.5") as process:
        code = process.wait(SOON_S)

    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert (code, last["event"], last["code"]) == (15, "pilot_ended", 15)
    assert f"no answer from {url}" in last["why"]


@pytest.mark.parametrize("options", [("--remove-state",), ()])
def test_a_pilot_that_ends_well_removes_its_state_if_it_was_told_to(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    central = Central()
    central.queue.append(assignment(1, "true"))
    idle = ("--idle-s", "0.3")

    with served(central) as url, pilot(url, tmp_path, *idle, *options) as process:
        code = process.wait(SOON_S)

    assert code == 0
    assert central.ended[Attempt(1, 1)].how is How.EXITED
    assert (tmp_path / "pilot").exists() is not bool(options)


def test_without_the_address_of_a_central_the_option_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pilotage.pilot"], capture_output=True, text=True, cwd=tmp_path
    )

    assert (done.returncode, done.stderr) == (2, "pilot: --central URL is needed\n")


def test_a_new_pilot_without_a_secret_says_at_once_what_is_missing(tmp_path: Path) -> None:
    words = ["run", "--central", "http://127.0.0.1:1", "--state-dir", str(tmp_path / "pilot")]
    done = subprocess.run(
        [sys.executable, "-m", "pilotage.pilot", *words], capture_output=True, text=True, timeout=20
    )

    assert done.returncode == 2
    assert done.stderr.startswith("pilot: --secret-file FILE is needed for a new pilot")
    assert not (tmp_path / "pilot").exists()


def test_a_pilot_that_must_have_namespaces_ends_where_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0o600)
    words = ["run", "--central", "http://127.0.0.1:1", "--state-dir", str(tmp_path / "pilot")]
    words += ["--secret-file", str(tmp_path / "secret"), "--isolation", "namespaces"]
    (tmp_path / "secret").write_text("secret")
    done = subprocess.run(
        [sys.executable, "-m", "pilotage.pilot", *words],
        env={"PATH": str(tmp_path)},  # neither bubblewrap nor unshare
        capture_output=True,
        text=True,
        timeout=20,
        cwd=Path(__file__).parents[2],
    )

    assert done.returncode == 16, done.stderr
    (said,) = done.stderr.splitlines()
    assert json.loads(said)["event"] == "no_namespaces"


def test_the_help_has_a_word_on_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    lines = capsys.readouterr().out.replace("\n                        ", "  ").splitlines()
    options = [line for line in lines if line.startswith("  -")]

    assert len(options) > 15
    assert [line for line in options if "  " not in line.strip()] == []
