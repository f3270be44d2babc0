"""Requests to Rucio servers on real sockets: answers that end too early, and troubles."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from pilotage.central.catalogue.storages import StorageCredential
from pilotage.central.factory.credential import Credential
from pilotage.central.factory.errors import CredentialExpired
from pilotage.central.operate.rucio_servers.rucio_http import RucioHttp
from pilotage.central.rucio.files import RucioEntry
from pilotage.central.rucio.http import RucioApi, RucioAway, RucioFailed, RucioRefused

CHUNKS = b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{"a": 1}\r\n1\r\n\n\r\n'
LAST = b"0\r\n\r\n"


class Source:
    """A credential that is always the same, or that cannot be had."""

    def __init__(self, why: str = "") -> None:
        self._why = why

    async def current(self) -> Credential:
        if self._why:
            raise CredentialExpired(self._why)
        return Credential("secret")


@asynccontextmanager
async def answering(
    answer: bytes, source: Source | None = None
) -> AsyncGenerator[tuple[RucioApi, list[bytes]]]:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    http = RucioHttp(lambda name, options: source or Source())
    entry = RucioEntry(
        url=f"http://127.0.0.1:{port}/",
        account="root",
        community="ctao",
        credential=StorageCredential(source="file"),
    )
    try:
        yield http.connect("one", entry), asked
    finally:
        await http.close()
        server.close()


async def test_a_whole_stream_is_returned_and_the_token_is_in_its_header_alone() -> None:
    async with answering(CHUNKS + LAST) as (api, asked):
        found = await api.lines("/dids/a/dids/search", query={"filters": '[{"a": "b c"}]'})

    assert found == [{"a": 1}]
    head = asked[0].decode()
    path = "GET /dids/a/dids/search?filters=%5B%7B%22a%22%3A%20%22b%20c%22%7D%5D HTTP/1.1"
    assert head.startswith(path)
    assert "x-rucio-auth-token: secret" in head.lower()


async def test_a_credential_that_cannot_be_had_is_told_once() -> None:
    async with answering(b"", Source("/t: is empty")) as (api, asked):
        with pytest.raises(RucioAway) as why:
            await api.get("/x")

    assert str(why.value) == "rucio/one: credential: /t: is empty"
    assert asked == []


async def test_a_stream_without_its_last_chunk_is_an_error() -> None:
    async with answering(CHUNKS) as (api, _):
        with pytest.raises(RucioAway, match="GET /x: .*incomplete"):
            await api.lines("/x")


ANSWERS = {
    "a reason": (b"409 X", b'{"ExceptionClass": "Dup", "ExceptionMessage": "m"}', "Dup", "m"),
    "an error inside": (b"500 X", b'{"ExceptionClass": "TypeError"}', "TypeError", "500"),
    "no reason": (b"404 X", b"<html>", "404", "no reason given"),
    "a gateway": (b"502 X", b"<html>", "", "502"),
    "a database that is away": (b"500 X", b'{"ExceptionClass": "DatabaseException"}', "", "500"),
    "an error without words": (b"500 X", b"time data 'x' does not match", "", "500"),
    "an old token": (b"401 X", b'{"ExceptionClass": "CannotAuthenticate"}', "", "401"),
    "a right": (b"401 X", b'{"ExceptionClass": "AccessDenied"}', "AccessDenied", "401"),
    "a redirect": (b"302 X\r\nlocation: http://other/", b"", "", "302"),
}


FAILURES = ("a database that is away", "an error without words")


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_refusal_has_rucios_words_and_everything_else_may_be_asked_again(
    answer: str,
) -> None:
    status, body, kind, words = ANSWERS[answer]
    head = b"HTTP/1.1 " + status + b"\r\ncontent-length: " + str(len(body)).encode()
    async with answering(head + b"\r\n\r\n" + body) as (api, _):
        with pytest.raises(RucioRefused if kind else RucioAway, match=words) as why:
            await api.post("/x", {})

    assert getattr(why.value, "kind", "") == kind
    assert isinstance(why.value, RucioFailed) is (answer in FAILURES)


async def test_an_answer_that_is_no_json_is_an_error() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno") as (api, _):
        with pytest.raises(RucioAway, match="no JSON"):
            await api.get("/x")


@pytest.mark.parametrize("status", [b"200 X", b"500 X"])
async def test_an_answer_that_is_too_deep_is_an_error(status: bytes) -> None:
    body = b"[" * 100_000 + b"]" * 100_000
    head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 200000\r\n\r\n"
    async with answering(head + body) as (api, _):
        with pytest.raises(RucioAway, match="nested deeper"):
            await api.get("/x")
        with pytest.raises(RucioAway, match="nested deeper"):
            await api.lines("/x")
