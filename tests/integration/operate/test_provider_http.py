"""Requests to identity providers on real sockets: answers of all kinds, also endless ones."""

import asyncio
import base64
import gzip
import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pilotage.central.identity.providers.provider_http import (
    BadProvider,
    NoConnection,
    NoEndpoint,
    NoJson,
    ProviderAway,
    ProviderHttp,
    TooManyRequests,
)
from pilotage.central.operate import http_clients
from pilotage.central.operate.providers.host_turns import HostTurns
from pilotage.central.operate.providers.provider_http import ANSWER_MAX, RealProviderHttp
from tests.certificates import self_signed

WITHIN_S = 5.0
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n" + b'{"a": 12}'


ZIPPED = gzip.compress(b"{}", mtime=0)  # the same in all processes


class Provider:
    """A server that answers each request with given bytes, and keeps the requests."""

    def __init__(self, answer: bytes, *, ends: bool, delay_s: float = 0.0) -> None:
        self.answer, self.ends, self.delay_s = answer, ends, delay_s
        self.asked: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.ended = 0  # connections
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while head := await _request(reader):
                self.asked.append(head)
                await asyncio.sleep(self.delay_s)
                writer.write(self.answer)
                await writer.drain()
                if self.ends:
                    break
        except OSError:
            pass  # the client has left in the middle
        finally:
            self.ended += 1
            writer.close()


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Return one request with its body; nothing at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, OSError):
        return b""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            head += await reader.readexactly(int(line.split(b":")[1]))
    return head


@asynccontextmanager
async def provider(
    answer: bytes, *, ends: bool = True, tls: Path | None = None, delay_s: float = 0.0
) -> AsyncGenerator[Provider]:
    found, context = Provider(answer, ends=ends, delay_s=delay_s), None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=context)
    scheme = "http" if tls is None else "https"
    found.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    async with server:
        yield found
        for one in found.writers:
            one.transport.abort()  # the end of the server waits for them


@pytest.fixture
async def http() -> AsyncGenerator[RealProviderHttp]:
    made = RealProviderHttp(within_s=WITHIN_S)
    yield made
    await made.close()


def answered(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_an_object_is_got_with_a_bearer_token(http: ProviderHttp) -> None:
    async with provider(GOOD) as there:
        found = await http.get(there.url, bearer="abc")

    assert found == {"a": 12}
    assert there.asked[0].startswith(b"GET /token HTTP/1.1\r\n")
    assert b"authorization: bearer abc\r\n" in there.asked[0].lower()


async def test_a_form_is_sent_with_the_clients_secret_as_oauth_encodes_it(
    http: ProviderHttp,
) -> None:
    refusal = answered("400 Bad Request", b'{"error": "invalid_scope"}')
    async with provider(refusal) as there:
        said = await http.post(there.url, {"scope": "a b"}, basic=("id:1", "s+/ä"))

    head, _, body = there.asked[0].partition(b"\r\n\r\n")
    (basic,) = [line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization")]
    assert said == (400, {"error": "invalid_scope"})
    assert body == b"scope=a+b"
    assert base64.b64decode(basic.split()[-1]) == b"id%3A1:s%2B%2F%C3%A4"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (answered("302 Found", b"", "location: http://127.0.0.1:1/x"), "status 302; redirects"),
        (answered("307 Go", b"", "location: /elsewhere"), "status 307"),
        (answered("403 Forbidden", b"{}"), "status 403, expected 200$"),
        (answered("201 Created", b"{}"), "status 201, expected 200"),
        (answered("200 OK", b"<html>"), "status 200 and no valid JSON object"),
        (answered("200 OK", b"[1]"), "no valid JSON object"),
        (answered("200 OK", b'{"a": "\xff"}'), "no valid JSON object"),
        (answered("200 OK", b'{"a":' * 5_000), "no valid JSON object"),
        (
            answered("200 OK", gzip.compress(b"{}", mtime=0), "content-encoding: gzip"),
            "encoding 'gzip'",
        ),
        (answered("200 OK", b" " * (ANSWER_MAX + 1)), "more than 1048576 bytes"),
    ],
)
async def test_a_wrong_answer_is_told(http: ProviderHttp, answer: bytes, told: str) -> None:
    async with provider(answer) as there:
        with pytest.raises(BadProvider, match=told) as why:
            await http.get(f"{there.url}?code=secret")

    assert len(there.asked) == 1, "nothing is followed or asked again"
    assert "secret" not in str(why.value)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (answered("500 Oh", b"{}"), "status 500"),
        (answered("503 Later", b"{}"), "status 503"),
        (answered("429 Slowly", b"{}"), "status 429"),
        (b"", "RemoteProtocolError"),
        (b"no http\r\n\r\n", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "RemoteProtocolError"),
    ],
)
async def test_a_provider_that_cannot_answer_is_asked_later(
    http: ProviderHttp, answer: bytes, told: str
) -> None:
    async with provider(answer) as there:
        with pytest.raises(ProviderAway, match=f"{there.url}: .*{told}"):
            await http.get(there.url)

    assert len(there.asked) == 1


async def test_nobody_there_is_told_in_the_systems_words(http: ProviderHttp) -> None:
    async with provider(GOOD) as there:
        pass
    with pytest.raises(NoConnection, match="ConnectError: .*onnection"):
        await http.get(there.url)


async def test_an_endless_chunked_answer_is_cut(http: ProviderHttp) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    start = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with provider(start + 40 * chunk, ends=False) as there:
        with pytest.raises(BadProvider, match="more than 1048576 bytes"):
            await http.get(there.url)


async def test_a_slow_answer_ends_after_the_limit_for_the_whole() -> None:
    http, began = RealProviderHttp(within_s=0.3), asyncio.get_running_loop().time()
    start = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    async with provider(start, ends=False) as there:
        with pytest.raises(ProviderAway, match=r"no whole answer within 0\.3 s"):
            await http.get(there.url)
        await http.close()

    assert asyncio.get_running_loop().time() - began < WITHIN_S


@pytest.mark.parametrize(
    "url",
    [
        "http://iam.example.org/token",
        "http://127.0.0.1.example.org/token",
        "http://10.0.0.1/token",
        "ftp://localhost/token",
        "https://me:secret@iam.example.org/token",
        "https:///token",
        "https://[::1/token",
        "https://iam.example.org:port/token",
        "https://iam.example.org/\ntoken",
        "",
    ],
)
async def test_an_address_without_tls_or_with_a_user_is_refused(
    http: ProviderHttp, url: str
) -> None:
    with pytest.raises(BadProvider, match="expected https://HOST/PATH") as why:
        await http.post(url, {})

    assert "secret" not in str(why.value)


async def test_a_token_with_strange_characters_is_not_shown(http: ProviderHttp) -> None:
    with pytest.raises(BadProvider, match="a header must not have") as why:
        await http.get("https://iam.example.org", bearer="secret\n")

    assert "secret" not in str(why.value)


async def test_a_private_authority_is_trusted_by_its_file_alone(
    http: ProviderHttp, tmp_path: Path
) -> None:
    pem = self_signed(tmp_path)
    async with provider(GOOD, tls=pem) as there:
        found = await http.get(there.url, ca_file=str(pem))
        with pytest.raises(ProviderAway, match="CERTIFICATE_VERIFY_FAILED"):
            await http.get(there.url)

    assert found == {"a": 12}


async def test_authorities_that_cannot_be_read_are_named(
    http: ProviderHttp, tmp_path: Path
) -> None:
    missing, damaged, pipe = (tmp_path / name for name in ("missing", "damaged", "pipe"))
    damaged.write_text("no certificate")
    os.mkfifo(pipe)

    for file in (missing, damaged, pipe):
        with pytest.raises(ProviderAway, match=f"ca_file: {file}: "):
            await http.get("https://127.0.0.1:1", ca_file=str(file))


async def test_one_connection_serves_until_the_authorities_change(
    http: ProviderHttp, tmp_path: Path
) -> None:
    pem = self_signed(tmp_path)
    async with provider(GOOD, ends=False, tls=pem) as there:
        for _ in range(3):
            await http.get(there.url, ca_file=str(pem))
        before = there.ended
        os.utime(pem, (1, 1))
        both = [http.get(there.url, ca_file=str(pem)) for _ in range(2)]
        found = await asyncio.gather(*both)
        await asyncio.sleep(0.01)

        assert before == 0
        assert found == [{"a": 12}] * 2
        assert there.ended >= 1, "the connection of the old authorities is closed"


async def test_few_clients_are_kept(
    http: ProviderHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_clients, "CLIENTS_MAX", 1)
    pem = self_signed(tmp_path)
    other = tmp_path / "other.pem"
    other.write_bytes(pem.read_bytes())
    async with provider(GOOD, ends=False, tls=pem) as there:
        for file in (pem, other, pem):
            await http.get(there.url, ca_file=str(file))
        await asyncio.sleep(0.01)

        assert there.ended == 2


async def test_cookies_of_a_provider_are_not_sent_back(http: ProviderHttp) -> None:
    async with provider(answered("200 OK", b"{}", "set-cookie: session=1; Path=/")) as there:
        for _ in range(2):
            await http.get(there.url)

    assert b"cookie" not in there.asked[1].lower()


async def test_the_wait_for_a_turn_is_not_counted() -> None:
    """A busy central must not take a provider for one that is away."""
    http = RealProviderHttp(within_s=1.0, turns=HostTurns(at_once_max=1))
    async with provider(GOOD, ends=False, delay_s=0.3) as there:
        found = await asyncio.gather(*(http.get(there.url) for _ in range(6)))
        await http.close()

    assert found == [{"a": 12}] * 6


async def test_logins_do_not_delay_keys() -> None:
    http = RealProviderHttp(within_s=1.0, turns=HostTurns(at_once_max=1, waiting_max=0))
    async with provider(GOOD, ends=False, delay_s=0.2) as there:
        found = await asyncio.gather(http.post(there.url, {}), http.get(there.url))
        await http.close()

    assert found == [(200, found[1]), found[1]]


@pytest.mark.parametrize("body", [b"", b"<html>"])
async def test_a_body_without_json_tells_its_status(http: ProviderHttp, body: bytes) -> None:
    async with provider(answered("200 OK", body)) as there:
        with pytest.raises(NoJson) as why:
            await http.post(there.url, {})

    assert why.value.status == 200


async def test_a_request_that_was_not_sent_says_so() -> None:
    http = RealProviderHttp(turns=HostTurns(at_once_max=1, waiting_max=0))
    async with provider(GOOD, ends=False, delay_s=0.2) as there:
        found = await asyncio.gather(
            *(http.get(there.url) for _ in range(2)), return_exceptions=True
        )
        await http.close()

    assert [type(one) for one in found] == [dict, TooManyRequests]
    assert len(there.asked) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
async def test_an_address_that_does_not_exist_is_told_from_a_wrong_answer(
    http: ProviderHttp, status: str
) -> None:
    async with provider(answered(status, b"{}")) as there:
        with pytest.raises(NoEndpoint, match=f"answered with status {status[:3]}"):
            await http.post(there.url, {})
