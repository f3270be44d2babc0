"""Whatever is wrong with a request: the right status, a problem that names the field, nothing kept.

On a real socket against the real server and the real database.
"""

import http.client
import json
import os
import socket
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pilotage.proto.api.jobs import JOBS_A_SUBMISSION_MAX
from pilotage.proto.messages import Problem

from .running import SOON_S, RunningCentral, eventually, running_central

JOB = {"command": ["true"], "needs": [{"sites": ["NOWHERE"]}]}
TABLES = ("job", "body", "submission", "attempt", "pilot", "secret", "token", "note", "evidence")


class Wire:
    """Speaks HTTP to a central, rightly or not, and looks at what it has kept."""

    def __init__(self, central: RunningCentral) -> None:
        self.central = central
        self.token = (central.data / "admin.token").read_text().strip()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        media: str = "application/json",
        **headers: str,
    ) -> tuple[int, Problem]:
        """Return the status and the problem of an answer."""
        sent = {"authorization": f"Bearer {self.token}", "content-type": media}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self.central.port, 60)) as wire:
            wire.request(method, path, body, sent)
            answer = wire.getresponse()
            return answer.status, msgspec.json.decode(answer.read() or b"{}", type=Problem)

    @contextmanager
    def connection(self) -> Generator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.central.port), 30) as wire:
            yield wire

    def head(self, path: str, length: int, media: str) -> bytes:
        lines = [
            f"POST {path} HTTP/1.1",
            "host: central",
            f"authorization: Bearer {self.token}",
            f"content-type: {media}",
            f"content-length: {length}",
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def kept(self) -> dict[str, int]:
        """Count the rows of the database and the blobs."""
        store = self.central.data / "store.sqlite"
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
            counts: dict[str, int] = {}
            for table in TABLES:
                rows = database.execute(f"SELECT count(*) FROM {table}")  # noqa: S608
                counts[table] = rows.fetchone()[0]
        blobs = self.central.data / "blobs"
        return counts | {"blobs": sum(one.is_file() for one in blobs.rglob("*"))}

    def answers_well(self) -> bool:
        began = time.monotonic()
        return self.central.client.health().status == "ready" and time.monotonic() - began < 5.0


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Generator[Wire]:
    with running_central(tmp_path_factory.mktemp("bad-input")) as central:
        central.client.submit([JOB] * 3)
        yield Wire(central)


def body(**fields: Any) -> bytes:
    return json.dumps({"key": "bad"} | fields).encode()


def lines(*items: object) -> bytes:
    return b"".join(msgspec.json.encode(item) + b"\n" for item in items)


NDJSON = "application/x-ndjson"
S = "/v1/submissions"
A = "/v1/jobs/actions"
FIRST = {"key": "bad"}
MANY = [JOB] * 1_500
P = "jobs[0].outputs[0].pattern"

#    path  body  media  →  status  field  words of the message
WRONG: list[tuple[str, bytes, str, int, str, str]] = [
    (S, b'{"key": "bad", "jobs": [', "", 400, "$", "not JSON"),
    (S, b"\xff\xfe\x00", "", 400, "$", "not JSON"),
    (S, b"", "", 400, "$", "not JSON"),
    (S, b"[" * 100_000, "", 400, "$", "nested deeper than 64 levels"),
    (S, b'{"jobs":' + b"[" * 100_000, "", 400, "$", "nested deeper than 64 levels"),
    (S, b"[]", "", 422, "$", "expected a mapping"),
    (S, body(jobs=[JOB]), "text/xml", 415, "content-type", "application/json"),
    (S, body(jobs=[JOB], keys="x"), "", 422, "$.keys", "did you mean 'key'?"),
    (S, body(), "", 422, "jobs", "jobs"),
    (S, body(jobs=[]), "", 422, "jobs", "jobs"),
    (S, body(jobs=[JOB], template=JOB), "", 422, "jobs", "either"),
    (S, body(key="", jobs=[JOB]), "", 422, "$.key", "at least 1 character"),
    (S, body(key=7, jobs=[JOB]), "", 422, "$.key", "text"),
    (S, body(jobs=[JOB, {"comand": ["x"]}]), "", 422, "jobs[1].comand", "'command'"),
    (S, body(jobs=[JOB, {}]), "", 422, "jobs[1].command", "missing"),
    (S, body(jobs=[{"command": "true"}]), "", 422, "jobs[0].command", "a list"),
    (S, body(jobs=[{"command": []}]), "", 422, "jobs[0].command", "at least 1"),
    (S, body(jobs=[{"command": [1]}]), "", 422, "jobs[0].command[0]", "text"),
    (S, body(jobs=[JOB | {"priority": 11}]), "", 422, "jobs[0].priority", "0 to 10"),
    (S, body(jobs=[JOB | {"retries": 1.5}]), "", 422, "jobs[0].retries", "whole"),
    (S, body(jobs=[JOB | {"group": "others"}]), "", 403, "jobs[0].group", "others"),
    (S, body(jobs=[JOB | {"needs": [{"core": 1}]}]), "", 422, "jobs[0].needs[0].core", "cores_m"),
    (S, body(jobs=[JOB | {"needs": [{"tags": "a & ("}]}]), "", 422, "jobs[0].needs[0].tags", ""),
    (S, body(jobs=[JOB | {"outputs": [{"pattern": "/x"}]}]), "", 422, P, "/x"),
    (S, body(template=JOB, parameters=[{"n": []}]), "", 422, "parameters[0].n", "text"),
    (
        S,
        body(template={"command": ["{n}"]}, parameters=[{"m": 1}]),
        "",
        422,
        "parameters[0]",
        "uses n",
    ),
    (S, lines(FIRST, *MANY, {"comand": ["x"]}), NDJSON, 422, "jobs[1500].comand", "'command'"),
    (S, lines(FIRST, *MANY) + b'{"command": ["tr\n', NDJSON, 400, "jobs[1500]", "not JSON"),
    (S, lines(FIRST, *MANY) + b"x" * 1_100_000, NDJSON, 413, "line 1502", "1048576 bytes"),
    (S, lines(FIRST), NDJSON, 422, "jobs", "no jobs"),
    (S, lines(FIRST | {"jobs": [JOB]}, JOB), NDJSON, 422, "$.jobs", "line"),
    (S, lines(JOB), NDJSON, 422, "$.command", "no field"),
    (S, lines({"key": "bad", "template": JOB}, {"n": 1}, [2]), NDJSON, 422, "parameters[1]", ""),
    (A, b'{"action": "kil", "ids": [1]}', "", 422, "$.action", "kill"),
    (A, b'{"action": "kill"}', "", 422, "ids", "either"),
    (A, b'{"action": "kill", "ids": ["1"]}', "", 422, "$.ids[0]", "whole number"),
    (A, b'{"action": "kill", "filter": {"sites": "x"}}', "", 422, "$.filter.sites", "'site'"),
    (A, b'{"action": "kill", "filter": {}}', "", 422, "expected", "number of jobs that you expect"),
    (A, b'{"action": "priority", "ids": [1]}', "", 422, "priority", "0 to 10"),
    (A, msgspec.json.encode({"action": "kill", "ids": [1] * 100_001}), "", 422, "$.ids", "100000"),
    ("/v1/tokens", b'{"subject": "x", "role": "king"}', "", 422, "$.role", "admin"),
    ("/v1/tokens", b'{"subject": "x", "valid_s": 1}', "", 422, "$.valid_s", "from 60 to"),
    ("/v1/pilots/secrets", b'{"site": "a b"}', "", 422, "$.site", ""),
    ("/v1/pilots/register", b'{"secret": "no", "nonce": "n"}', "", 401, "secret", "secret"),
    ("/v1/blobs/missing", b'{"sha256": "0"}', "", 422, "$.sha256", "a list"),
    ("/v1/no-such-thing", b"{}", "", 404, "", "no-such-thing"),
    ("/v1/whoami", b"{}", "", 405, "", "GET"),
]


def test_wrong_requests_are_refused_by_name_and_nothing_is_kept(wire: Wire) -> None:
    before = wire.kept()
    answers = [
        (status, problem.field, problem.message)
        for path, sent, media, _, _, _ in WRONG
        for status, problem in [wire.ask("POST", path, sent, media=media or "application/json")]
    ]
    wrong = [
        f"{path} {sent[:60]!r}: {answer} instead of {status, field, words}"
        for (path, sent, _, status, field, words), answer in zip(WRONG, answers, strict=True)
        if not (answer[:2] == (status, field) and words in answer[2])
    ]

    assert not wrong, "\n".join(["", *wrong])
    assert wire.kept() == before


def test_queries_that_make_no_sense_name_their_parameter(wire: Wire) -> None:
    for query, field in (
        ("state=Runing", "state"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=x", "after"),
        ("stat=Done", "stat"),
        ("id=1&id=x", "id"),
    ):
        status, problem = wire.ask("GET", f"/v1/jobs?{query}")

        assert (status, field in problem.field) == (422, True), (query, problem)


def test_too_large_a_body_is_refused_before_it_is_read(wire: Wire) -> None:
    before = wire.kept()
    for path, media in ((S, "application/json"), (S, NDJSON), ("/v1/tokens", "application/json")):
        with wire.connection() as connection:
            connection.sendall(wire.head(path, 300 << 20, media))
            answer = connection.recv(65_536)

        assert answer.startswith(b"HTTP/1.1 413"), answer
        assert b'"too_large"' in answer
    assert wire.kept() == before


def test_one_job_too_many_and_none_is_kept(wire: Wire) -> None:
    before = wire.kept()
    template = {"key": "bad", "template": {"command": ["echo", "{i}"]}}
    status, problem = wire.ask(
        "POST", S, lines(template) + b'{"i":1}\n' * (JOBS_A_SUBMISSION_MAX + 1), media=NDJSON
    )

    assert (status, problem.code, problem.field) == (413, "too_large", "jobs")
    assert "1000000 jobs" in problem.message
    assert wire.kept() == before


def test_a_blob_that_is_not_what_its_name_says_is_not_kept(wire: Wire) -> None:
    before = wire.kept()
    status, problem = wire.ask("PUT", "/v1/blobs/" + "0" * 64, b"something else")
    assert (status, problem.code) == (422, "invalid")
    status, _ = wire.ask("PUT", "/v1/blobs/..%2f..%2fescaped", b"something else")

    assert status in (404, 422)
    assert wire.kept() == before


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(wire: Wire) -> None:
    before = wire.kept()
    for sent, media in (
        (body(jobs=[JOB] * 2_000), "application/json"),
        (lines(FIRST, *MANY), NDJSON),
    ):
        with wire.connection() as connection:
            connection.sendall(wire.head(S, len(sent) + 10, media) + sent)
            time.sleep(0.3)  # it has been read, and more is awaited
            assert wire.answers_well()

    eventually(lambda: wire.kept() == before, what="nothing kept")


def test_half_open_and_slow_clients_hold_nobody_up(wire: Wire) -> None:
    before = wire.kept()
    idle = [socket.create_connection(("127.0.0.1", wire.central.port), 5) for _ in range(100)]
    for number, one in enumerate(idle):
        one.sendall(wire.head(S, 1_000, NDJSON)[: number * 3])

    assert wire.answers_well()
    for one in idle:
        one.close()
    assert wire.kept() == before


def test_garbage_on_the_port_is_answered_or_cut_off(wire: Wire) -> None:
    before = wire.kept()
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(512),  # a TLS greeting
        b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04x",  # an MQTT one
        os.urandom(100_000),
        b"\x00" * 100_000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/tokens HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000,
    ):
        with wire.connection() as connection:
            try:
                connection.sendall(garbage)
                answer = connection.recv(65_536)
            except ConnectionError:
                answer = b""

        assert answer == b"" or answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431"), answer[:200]
    assert wire.answers_well()
    assert wire.kept() == before


def test_a_second_central_on_the_same_data_is_refused(wire: Wire, tmp_path: Path) -> None:
    data = str(wire.central.data)
    said = wire.central.type("serve", "--data", data, "--port", "0", code=2)

    assert "another central runs on" in said
    assert wire.answers_well()
    assert eventually(lambda: wire.central.type("status", "--json"), within_s=SOON_S)
