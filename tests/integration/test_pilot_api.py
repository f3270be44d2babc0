"""The pilot's HTTPS with the standard library against a server with every bad habit."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pilotage.pilot.ports import DiskWriteFailed, HttpReply, NoReply, TooManyBytes
from pilotage.pilot.talk.api import Api, BadUrl, InsecureUrl
from tests.certificates import self_signed


class _Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked; some paths have bad habits."""

    protocol_version = "HTTP/1.1"
    connections: set[tuple[str, int]]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.connections.add(self.client_address)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/silence":
            threading.Event().wait(1)
        if self.path == "/cut":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if self.path == "/headers":
            body = (self.headers.get("Authorization") or "none").encode()
        self.send_response(503 if self.path == "/busy" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        # "Kept alive", and then closed without a word, as proxies do.
        self.close_connection = self.path == "/then-close"

    do_PUT = do_POST

    def do_GET(self) -> None:
        if self.path in ("/chunks", "/broken-chunks", "/to-the-end"):
            self._without_length()
            return
        content = b"x" * 1_000_000
        self.send_response(404 if self.path == "/absent" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content[:1_000] if self.path == "/half" else content)
        self.close_connection = self.path == "/half"

    def _without_length(self) -> None:
        """Answer as a proxy may: in chunks, or until the connection ends."""
        self.send_response(200)
        if self.path == "/to-the-end":
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"x" * 600_000)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"493e0\r\n%s\r\n" % (b"x" * 300_000) * 2)
        if self.path == "/broken-chunks":
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")


@contextlib.contextmanager
def served(
    tls: ssl.SSLContext | None = None,
) -> Generator[tuple[int, set[tuple[str, int]]], None, None]:
    connections: set[tuple[str, int]] = set()
    handler = type("Handler", (_Handler,), {"connections": connections})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port, connections
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def api(url: str, ca_file: Path | None = None) -> Generator[Api, None, None]:
    made = Api(url, ca_file=ca_file)
    try:
        yield made
    finally:
        made.close()


async def post(to: Api, path: str, body: bytes = b"hi", timeout_s: float = 5.0) -> HttpReply:
    return await to.post(path, body, token="word", timeout_s=timeout_s)


async def test_messages_share_one_connection_and_carry_the_token() -> None:
    with served() as (port, connections), api(f"http://127.0.0.1:{port}") as central:
        replies = await asyncio.gather(*(post(central, "/echo", b"%d" % n) for n in range(5)))
        token = await post(central, "/headers")

    assert [reply.body for reply in replies] == [b"0", b"1", b"2", b"3", b"4"]
    assert token.body == b"Bearer word"
    assert len(connections) == 1


async def test_a_kept_connection_that_was_closed_meanwhile_costs_no_error() -> None:
    with served() as (port, connections), api(f"http://127.0.0.1:{port}") as central:
        await post(central, "/then-close")
        await asyncio.sleep(0.1)
        reply = await post(central, "/echo")
        await post(central, "/then-close")
        again = await post(central, "/echo")  # at once, perhaps before the end is seen

    assert (reply.body, again.body) == (b"hi", b"hi")
    assert len(connections) == 3


async def test_what_is_not_2xx_is_an_answer_and_what_is_cut_is_none() -> None:
    with served() as (port, _), api(f"http://127.0.0.1:{port}") as central:
        busy = await post(central, "/busy")
        with pytest.raises(NoReply):
            await post(central, "/cut")
        with pytest.raises(NoReply):
            await post(central, "/silence", timeout_s=0.2)
        after = await post(central, "/echo")

    assert busy.status == 503
    assert after.body == b"hi"


async def test_nobody_there_is_no_reply() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    with api(f"http://127.0.0.1:{port}") as central, pytest.raises(NoReply, match="Refused"):
        await post(central, "/echo")


async def test_what_may_wait_delays_no_message() -> None:
    with served() as (port, _), api(f"http://127.0.0.1:{port}") as central:
        slow = central.post("/silence", b"late", token="word", timeout_s=5.0, aside=True)
        async with asyncio.TaskGroup() as tasks:
            waits = tasks.create_task(slow)
            reply = await post(central, "/echo")
            was_first = not waits.done()

    assert was_first
    assert (reply.body, waits.result().body) == (b"hi", b"late")


async def test_blobs_go_up_and_come_down_with_their_hash(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc" * 100_000)
    with served() as (port, _), api(f"http://127.0.0.1:{port}") as central:
        whole = await central.upload("/echo", file, token="t")
        small = await central.upload("/echo", b"small", token="t")
        got = await central.download("/x", tmp_path / "got", token="t", bytes_max=1_000_000)
        absent = await central.download(
            "/absent", tmp_path / "absent", token="t", bytes_max=1_000_000
        )
        with pytest.raises(NoReply):
            await central.download("/half", tmp_path / "half", token="t", bytes_max=1_000_000)

    assert (whole.body, small.body) == (file.read_bytes(), b"small")
    assert got.sha256 == hashlib.sha256(b"x" * 1_000_000).hexdigest()
    assert (tmp_path / "got").stat().st_size == 1_000_000
    assert absent.status == 404 and not (tmp_path / "absent").exists()
    assert not (tmp_path / "half").exists()


async def test_messages_and_files_are_sent_elsewhere_each_for_itself() -> None:
    counts = list[tuple[int, int]]()
    with (
        served() as (first, at_first),
        served() as (other, at_other),
        api(f"http://127.0.0.1:{first}") as central,
    ):
        there = f"http://127.0.0.1:{other}"
        for url, aside in ((there, False), (there, False), (there, True), ("", False)):
            assert central.go_to(url, aside=aside)
            await central.upload("/echo", b"file", token="t")
            await post(central, "/echo")
            counts.append((len(at_first), len(at_other)))

    # Each move opens a new connection, for messages or for files.
    assert counts == [(1, 1), (1, 2), (1, 3), (2, 3)]


async def test_a_blob_that_is_larger_than_was_said_is_not_kept(tmp_path: Path) -> None:
    with served() as (port, _), api(f"http://127.0.0.1:{port}") as central:
        for path in ("/x", "/chunks"):
            with pytest.raises(TooManyBytes, match="more than 400000 bytes"):
                await central.download(path, tmp_path / "got", token="t", bytes_max=400_000)
        after = await central.upload("/echo", b"small", token="t")

    assert after.body == b"small", "the rest of a blob is no answer to the next request"
    assert not (tmp_path / "got").exists()


async def test_a_disk_that_takes_no_more_is_told_at_once_and_is_no_silence(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with served() as (port, _), api(f"http://127.0.0.1:{port}") as central:
        with pytest.raises(DiskWriteFailed, match="full cannot be written: .*No space left"):
            await central.download("/x", full, token="t", bytes_max=1_000_000)
        with pytest.raises(DiskWriteFailed, match="No such file or directory"):
            await central.download("/x", tmp_path / "no" / "x", token="t", bytes_max=1_000_000)
        after = await central.upload("/echo", b"small", token="t")

    assert after.body == b"small"
    assert not full.is_symlink()


async def test_a_body_without_a_length_is_read_to_its_end(tmp_path: Path) -> None:
    with served() as (port, _), api(f"http://127.0.0.1:{port}") as central:
        chunks = await central.download(
            "/chunks", tmp_path / "chunks", token="t", bytes_max=1_000_000
        )
        ended = await central.download(
            "/to-the-end", tmp_path / "ended", token="t", bytes_max=1_000_000
        )
        with pytest.raises(NoReply):
            await central.download(
                "/broken-chunks", tmp_path / "broken", token="t", bytes_max=1_000_000
            )

    assert chunks.sha256 == ended.sha256 == hashlib.sha256(b"x" * 600_000).hexdigest()


async def test_an_answer_that_is_too_large_is_none_and_its_rest_is_not_taken_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pilotage.pilot.talk.api.REPLY_BYTES_MAX", 1_000_000)
    with served() as (port, _), api(f"http://127.0.0.1:{port}") as central:
        most = await post(central, "/echo", b"x" * 1_000_000)
        with pytest.raises(NoReply, match="too large"):
            await post(central, "/echo", b"x" * 1_000_001)
        after = await post(central, "/echo")

    assert (len(most.body), after.body) == (1_000_000, b"hi")


async def test_tls_is_verified_with_the_ca_that_was_given(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with served(tls) as (port, _):
        with api(f"https://127.0.0.1:{port}", certificate) as central:
            trusted = await post(central, "/echo")
        with api(f"https://127.0.0.1:{port}") as central, pytest.raises(NoReply, match="VERIFY"):
            await post(central, "/echo")

    assert trusted.body == b"hi"


def test_plain_http_is_for_this_machine_alone() -> None:
    for url in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://a"):
        Api(url).close()
    with pytest.raises(InsecureUrl, match="plain_http"):
        Api("http://central.example:8443")
    Api("http://central.example:8443", plain_http=True).close()
    for url in ("central.example", "ftp://a", "https://"):
        with pytest.raises(BadUrl):
            Api(url)
