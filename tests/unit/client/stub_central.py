"""A central in a few lines behind the client's own HTTP interface, and a clock turned by hand."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import httpx
import msgspec

from pilotage.central.client.client import AsyncClient
from pilotage.central.client.transport import OnRetry
from pilotage.proto.api.jobs import Event, JobView
from pilotage.proto.job_states import JobState


class HandPace:
    """Time that jumps over every pause, so that nothing waits in a test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.on_sleep()
        await asyncio.sleep(0)

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


class Got:
    """One request as the central saw it."""

    def __init__(self, request: httpx.Request, chunks: list[bytes]) -> None:
        self.method, self.path = request.method, request.url.path
        self.query = request.url.params
        self.headers, self.chunks = request.headers, chunks

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    def json(self) -> Any:
        return json.loads(self.body)


Answer = httpx.Response | Callable[[Got], httpx.Response] | Exception


class StubCentral(httpx.AsyncBaseTransport):
    """Answers from a table; what stands in `next` is answered first, in that order."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.next: deque[Answer] = deque()
        self.always: dict[str, Answer] = {}
        self.pace = HandPace()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        stream = request.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        got = Got(request, [chunk async for chunk in stream])
        self.got.append(got)
        if self.next and got.path != "/v1/events":
            answer = self.next.popleft()
        else:
            answer = self.always.get(got.line, problem(404, "not_found", got.line))
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(got)

    def lines(self) -> list[str]:
        return [one.line for one in self.got]

    def client(
        self, *, patience_s: float = 30.0, token: str = "t", on_retry: OnRetry | None = None
    ) -> AsyncClient:
        return AsyncClient(
            "http://central.test",
            token,
            http=self,
            pace=self.pace,
            patience_s=patience_s,
            on_retry=on_retry,
        )


def ok(value: object) -> Callable[[Got], httpx.Response]:
    """Answer with this value, each time anew."""
    return lambda got: httpx.Response(200, content=msgspec.json.encode(value))


def problem(
    status: int, code: str, message: str, field: str = ""
) -> Callable[[Got], httpx.Response]:
    body = {"code": code, "message": message, "field": field}
    return lambda got: httpx.Response(status, json=body)


def lost() -> httpx.TransportError:
    """The request arrived, its answer did not."""
    return httpx.ReadError("connection reset")


def not_there() -> httpx.TransportError:
    return httpx.ConnectError("connection refused")


class Streaming(httpx.AsyncByteStream):
    """A body in pieces; an exception among them breaks it off."""

    def __init__(self, pieces: Iterable[bytes | Exception]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece
            await asyncio.sleep(0)


def stream(*pieces: bytes | Exception) -> Callable[[Got], httpx.Response]:
    return lambda got: httpx.Response(200, stream=Streaming(pieces))


def event_line(event: Event) -> bytes:
    return f"id: {event.seq}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n"


def moved(seq: int, job: int, state: JobState) -> bytes:
    return event_line(Event(seq=seq, at="", kind="job", job=job, state=state))


def view(id: int, state: JobState, *, epoch: int = 0, reason: str = "") -> JobView:
    return JobView(
        id=id,
        reason=reason,
        submission=1,
        epoch=epoch,
        name="",
        type="User",
        community="c",
        group="g",
        owner="o",
        state=state,
    )


class Jobs:
    """Jobs that a test moves, answered as `GET /v1/jobs` and `GET /v1/jobs/{id}` do."""

    def __init__(self, central: StubCentral, *ids: int) -> None:
        self.states = dict.fromkeys(ids, JobState.WAITING)
        self.epochs = dict.fromkeys(ids, 0)
        self.reasons = dict.fromkeys(ids, "")
        central.always["GET /v1/jobs"] = self.page
        for id in ids:
            central.always[f"GET /v1/jobs/{id}"] = self.detail

    def detail(self, got: Got) -> httpx.Response:
        id = int(got.path.rsplit("/", 1)[1])
        detail = {
            "view": view(id, self.states[id], epoch=self.epochs[id], reason=self.reasons[id]),
            "job": {"command": ["true"]},
        }
        return httpx.Response(200, content=msgspec.json.encode(detail))

    def page(self, got: Got) -> httpx.Response:
        ids = {int(one) for one in got.query.get_list("id")} or set(self.states)
        states = {JobState(one) for one in got.query.get_list("state")} or set(JobState)
        after = int(got.query.get("after", "0"))
        limit = int(got.query["limit"])
        found = [
            view(id, state, reason=self.reasons[id])
            for id, state in sorted(self.states.items())
            if id in ids and state in states and id > after
        ]
        page = {"jobs": found[:limit], "after": found[limit - 1].id if len(found) > limit else None}
        return httpx.Response(200, content=msgspec.json.encode(page))
