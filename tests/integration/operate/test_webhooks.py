"""Webhooks to a real receiver: it takes them, refuses, redirects, hangs, lies, or is forbidden."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.notifications.addresses import WebhookUrl
from pilotage.central.notifications.delivery import NotSent
from pilotage.central.operate.webhooks import NOT_ALLOWED, WebhookPoster
from pilotage.central.settings import NotifySettings
from pilotage.proto.trust import trusting
from tests.certificates import self_signed

LOOPBACK = NotifySettings(webhook_http=True, webhook_allowed=("127.0.0.0/8",))
GOOD = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver:
    """Answers each request with given bytes, and keeps the requests."""

    def __init__(self, answer: bytes, *, repeats: bytes = b"", hangs: bool = False) -> None:
        self.answer, self.repeats, self.hangs = answer, repeats, hangs
        self.requests: list[bytes] = []
        self.connections = self.sent = self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            self.requests.append(head + await reader.readexactly(length))
            writer.write(self.answer)
            while self.repeats:
                writer.write(self.repeats)
                self.sent += len(self.repeats)
                await writer.drain()
            if self.hangs:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiver(
    answer: bytes = GOOD, tls: ssl.SSLContext | None = None, **how: Any
) -> AsyncGenerator[Receiver]:
    found = Receiver(answer, **how)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()


def url_to(port: int, host: str = "127.0.0.1", **parts: Any) -> WebhookUrl:
    given = {"scheme": "http", "host": host, "port": port, "target": "/hook?x=1", **parts}
    return WebhookUrl(**given)


async def post(poster: WebhookPoster, url: WebhookUrl) -> None:
    await poster.post(url, b'{"text":"x"}', {"X-Pilotage-Delivery": "g-1"})


async def test_a_message_is_posted_once_with_its_headers() -> None:
    async with receiver() as found:
        await post(WebhookPoster(LOOPBACK), url_to(found.port))

    (request,) = found.requests
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /hook?x=1 HTTP/1.1" and body == b'{"text":"x"}'
    assert {f"Host: 127.0.0.1:{found.port}", "X-Pilotage-Delivery: g-1"} <= set(lines)
    assert {"Content-Type: application/json", "Content-Length: 12"} <= set(lines)


@pytest.mark.parametrize("status", [b"301", b"307", b"400", b"404", b"500", b"503"])
async def test_another_answer_is_no_delivery_and_no_redirect_is_followed(status: bytes) -> None:
    async with receiver() as other:
        place = b"Location: http://127.0.0.1:%d/\r\n" % other.port
        answer = b"HTTP/1.1 %s Secret words\r\n%sContent-Length: 6\r\n\r\nsecret" % (status, place)
        async with receiver(answer) as found:
            with pytest.raises(NotSent) as why:
                await post(WebhookPoster(LOOPBACK), url_to(found.port))

    assert f"answered {status.decode()}" in str(why.value) and "ecret" not in str(why.value)
    assert found.connections == 1 and other.connections == 0


async def test_an_endless_answer_is_not_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
    async with receiver(head, repeats=b"x" * 65_536) as found, asyncio.timeout(10.0):
        await post(WebhookPoster(LOOPBACK), url_to(found.port))

    assert found.sent < 20_000_000  # what lies in the buffers of the system


@pytest.mark.parametrize(
    ("answer", "how", "said"),
    [
        (b"", {"hangs": True}, "no answer within 0.5 s"),
        (b"HTTP/1.1 200", {"hangs": True}, "no answer within 0.5 s"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", {"repeats": b"HTTP/1.1 100 Go\r\n\r\n"}, "no answer"),
        (b"", {}, "the answer is not HTTP"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", {}, "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n", {"repeats": b"x: " + b"y" * 60_000 + b"\r\n"}, "not HTTP"),
    ],
)
async def test_a_receiver_that_hangs_or_lies_costs_a_bounded_time(
    answer: bytes, how: dict[str, Any], said: str
) -> None:
    async with receiver(answer, **how) as found:
        with pytest.raises(NotSent, match=said):
            await post(WebhookPoster(LOOPBACK, within_s=0.5), url_to(found.port))


async def test_a_refused_connection_is_no_delivery() -> None:
    async with receiver() as found:
        pass

    with pytest.raises(NotSent, match="^no connection: ConnectionRefusedError$"):
        await post(WebhookPoster(LOOPBACK), url_to(found.port))


async def test_the_certificate_is_that_of_the_name_whatever_address_is_used(
    tmp_path: Path,
) -> None:
    pem = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with receiver(tls=tls) as found:
        known = WebhookPoster(LOOPBACK, resolve=resolve, tls=trusting(str(pem)))
        await post(known, url_to(found.port, scheme="https"))
        with pytest.raises(NotSent, match="TLS: CERTIFICATE_VERIFY_FAILED"):
            await post(known, url_to(found.port, "example.org", scheme="https"))
        with pytest.raises(NotSent, match="TLS: CERTIFICATE_VERIFY_FAILED"):
            await post(WebhookPoster(LOOPBACK), url_to(found.port, scheme="https"))
    assert len(found.requests) == 1


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "127.1", "0", "0x7f000001", "2130706433", "017700000001"),
        *("0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1"),
        "no-such-host.invalid",
    ],
)
async def test_nothing_of_this_machine_is_reached_under_any_name(host: str) -> None:
    """An unknown host gets the same words: errors do not describe the operator's network."""
    async with receiver() as found:
        with pytest.raises(NotSent) as why:
            await post(WebhookPoster(NotifySettings(webhook_http=True)), url_to(found.port, host))

    assert str(why.value) == NOT_ALLOWED and found.connections == 0


async def test_a_name_with_one_forbidden_address_is_refused_whole() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1", "10.0.0.1"]

    async with receiver() as found:
        with pytest.raises(NotSent, match=NOT_ALLOWED):
            await post(WebhookPoster(LOOPBACK, resolve=resolve), url_to(found.port, "a.org"))

    assert found.connections == 0


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """A name that is public when it is checked, and private when it is looked up again."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    async with receiver() as found:
        poster = WebhookPoster(LOOPBACK, resolve=resolve)
        await post(poster, url_to(found.port, "rebinds.example.org"))
        with pytest.raises(NotSent, match=NOT_ALLOWED):
            await post(poster, url_to(found.port, "rebinds.example.org"))

    assert asked == ["rebinds.example.org"] * 2 and found.connections == 1
    assert f"Host: rebinds.example.org:{found.port}".encode() in found.requests[0]


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver() as proxy, receiver() as found:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await post(WebhookPoster(LOOPBACK), url_to(found.port))

    assert (proxy.connections, found.connections) == (0, 1)
