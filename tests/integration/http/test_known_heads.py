"""A head that was read before is not parsed again, and makes no difference to anybody."""

import asyncio
import gc
from collections.abc import Sequence

import msgspec
import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from pilotage.proto.messages import Turn

from .test_server import Running, running

BODY = msgspec.json.encode(Turn(gen="g", session=1))
HEAD = b"POST %b HTTP/1.1\r\nHost: central\r\nAuthorization: Bearer %b\r\n%b"


def turn(it: Running, session: int, *, path: bytes = b"/v1/turn", more: bytes = b"") -> bytes:
    body = msgspec.json.encode(Turn(gen="g", session=session))
    return said(it, body, path=path, more=more)


def said(
    it: Running, body: bytes, *, path: bytes = b"/v1/turn", more: bytes = b"", token: bytes = b""
) -> bytes:
    head = HEAD % (path, token or it.holders["pilot"].token.encode(), more)
    length = b"Content-Length: %d\r\nContent-Type: application/json\r\n\r\n" % len(body)
    return head + length + body


async def answers(it: Running, parts: Sequence[bytes], count: int) -> list[int]:
    """Send parts, each in one piece, and return the statuses of so many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
    found: list[int] = []
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        for _ in range(count):
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            found.append(int(head[9:12]))
    finally:
        writer.close()
    return found


def sessions(it: Running) -> list[int]:
    return [what.session for name, _, what in it.world.calls.asked if name == "turn"]


async def test_requests_of_one_connection_are_answered_whatever_their_lengths() -> None:
    async with running() as it:
        numbers = [1, 2, 30_000, 4, 500_000, 6]
        found = await answers(it, [turn(it, one) for one in numbers], len(numbers))

        assert found == [200] * len(numbers)
        assert sessions(it) == numbers


async def test_a_request_in_pieces_and_two_in_one_piece_are_read_by_the_parser() -> None:
    async with running() as it:
        whole = turn(it, 3)
        parts = [turn(it, 1), turn(it, 2), whole[:50], whole[50:], turn(it, 4) + turn(it, 5)]
        parts += [whole[:-3], whole[-3:] + turn(it, 6), turn(it, 7)]
        found = await answers(it, parts, 8)

        assert found == [200] * 8
        assert sessions(it) == [1, 2, 3, 4, 5, 3, 6, 7]


async def test_a_known_head_is_checked_as_every_other() -> None:
    async with running() as it:
        stranger = said(it, b"{}", token=b"nobody")
        parts = [turn(it, 1), turn(it, 2), stranger, stranger, said(it, b"{"), turn(it, 3)]
        found = await answers(it, parts, len(parts))

        assert found == [200, 200, 401, 401, 400, 200]
        assert sessions(it) == [1, 2, 3]


async def test_behind_a_proxy_each_request_is_answered_to_the_pilot_whose_token_it_has() -> None:
    async with running() as it:
        names = ["p1", "p2", "p3", "p1", "p2"]
        tokens = {
            name: it.world.tokens.pilot_token(name, "ctao", "PIC", "local")[0].encode()
            for name in names
        }
        parts = [said(it, BODY, token=tokens[name]) for name in names]
        found = await answers(it, parts, len(parts))

        assert found == [200] * len(names)
        assert [caller.pilot for _, caller, _ in it.world.calls.asked] == names


async def test_a_head_that_a_pilot_made_known_lets_nobody_else_in() -> None:
    async with running() as it:
        names = ["pilot", "user", "attempt", "expired", "revoked", "garbage", "pilot"]
        tokens = [it.holders[name].token.encode() for name in names]
        nothing = HEAD.replace(b"%b\r\n%b", b"\r\n%b") % (b"/v1/turn", b"")
        bare = nothing + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
        parts = [*(said(it, BODY, token=token) for token in tokens), bare]
        found = await answers(it, parts, len(parts))

        assert found == [200, 403, 403, 401, 401, 401, 200, 401]
        assert len(it.world.calls.asked) == 2


async def test_two_tokens_in_one_head_are_read_as_the_parser_reads_them() -> None:
    async with running() as it:
        second = b"Authorization: Bearer %b\r\n" % it.holders["user"].token.encode()
        twice = [turn(it, one, more=second) for one in (1, 2, 3)]
        found = await answers(it, [*twice, turn(it, 4), turn(it, 5, more=second)], 5)

        assert found == [200] * 5
        assert sessions(it) == [1, 2, 3, 4, 5]


async def test_a_request_of_a_pilot_leaves_nothing_to_the_collector() -> None:
    async with running() as it:
        await answers(it, [turn(it, one) for one in range(1, 4)], 3)
        gc.collect()
        gc.disable()
        try:
            before = cycles()  # some of cases before
            await answers(it, [turn(it, one) for one in range(1, 31)], 30)
            after = cycles()
        finally:
            gc.enable()

        assert len(after) <= len(before) + 2  # of connections that are there, the last one each


def cycles() -> list[RequestResponseCycle]:
    return [one for one in gc.get_objects() if isinstance(one, RequestResponseCycle)]


async def test_what_says_its_length_twice_or_in_chunks_is_left_to_the_parser() -> None:
    chunked = b"Transfer-Encoding: chunked\r\n"
    async with running() as it:
        one = await answers(it, [turn(it, 1), turn(it, 2), turn(it, 3, more=chunked)], 3)
        two = await answers(
            it, [turn(it, 4), turn(it, 5), turn(it, 6, more=b"Content-Length: 7\r\n")], 3
        )

        assert (one[:2], two[:2]) == ([200, 200], [200, 200])
        assert (one[2], two[2]) == (400, 400)
        assert sessions(it) == [1, 2, 4, 5]


async def test_a_known_head_with_another_path_or_method_is_another_request() -> None:
    async with running() as it:
        get = turn(it, 3).replace(b"POST", b"GET ", 1).replace(b"GET  ", b"GET ")
        other = turn(it, 4, path=b"/v1/report")
        found = await answers(it, [turn(it, 1), turn(it, 2), get, other], 4)

        assert found == [200, 200, 405, 200]


async def test_refusals_and_bugs_behind_a_known_head_are_told_as_every_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
        heads: list[bytes] = []
        bodies: list[bytes] = []
        try:
            for said_now in (turn(it, 1), said(it, b"{"), turn(it, 2)):
                if len(heads) == 2:
                    it.world.calls.bug = ZeroDivisionError("detail that stays here")
                writer.write(said_now)
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                length = heads[-1].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                bodies.append(await reader.readexactly(int(length)))
            rest = await reader.read()
        finally:
            writer.close()
        counts = dict(it.server.front.face.requests)

    assert [head.split(b"\r\n")[0] for head in heads] == [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 400 Bad Request",
        b"HTTP/1.1 500 Internal Server Error",
    ]
    assert b"x-request-id" not in heads[0]
    assert b"cache-control: no-store" in heads[1] and b"x-request-id: " in heads[1]
    assert b"internal" in bodies[2] and b"detail" not in bodies[2]
    assert heads[2].partition(b"x-request-id: ")[2].partition(b"\r\n")[0] in bodies[2]
    assert rest == b""  # after a bug the connection is closed
    assert "detail that stays here" in caplog.text
    assert counts == {("/v1/turn", 200): 1, ("/v1/turn", 400): 1, ("/v1/turn", 500): 1}


async def test_a_silent_connection_is_closed_some_time_after_its_last_answer() -> None:
    async with running(keep_alive_s=1) as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
        loop = asyncio.get_running_loop()
        try:
            for number in (1, 2, 3):
                writer.write(turn(it, number))
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                answered = loop.time()
                await asyncio.sleep(0.15 if number < 3 else 0)
            async with asyncio.timeout(15):
                rest = await reader.read()
        finally:
            writer.close()

        assert sessions(it) == [1, 2, 3]
        assert rest == b"" and loop.time() - answered > 0.9


async def test_bodies_of_another_type_are_refused_each_time_they_come() -> None:
    async with running() as it:
        other = turn(it, 2).replace(b"application/json", b"text/plain")
        found = await answers(it, [turn(it, 1), other, other, turn(it, 3)], 4)

        assert found == [200, 415, 415, 200]
        assert sessions(it) == [1, 3]
