"""Bodies and queries that are wrong, on hot routes and on others alike."""

import hashlib
from typing import Any

import msgspec
import pytest

from pilotage.central.app.route_assembly import ROUTES, face
from pilotage.central.errors import Refused
from pilotage.central.http import body as bodies
from pilotage.central.http.answers import JSON, NDJSON
from pilotage.central.http.route import Route
from pilotage.proto import messages
from pilotage.proto.api.file_bundles import MEDIA as FILES
from pilotage.proto.pieces import MEDIA
from pilotage.proto.problems import STATUS, Code

from .asgi import Client, Reply
from .requests import GOOD, Holder, good, holders
from .stubs import World, build

DECODED = [route for route in ROUTES if route.takes is not None and route.takes is not bytes]
HOT = [route for route in DECODED if route.hot is not None]
FROM_PILOTS = {"pilot_join", "pilot_work", "log_write", "payload_token", "storage_token"}


class Scene:
    """A world, its client, and for each route a caller who may."""

    def __init__(self, world: World, by_name: dict[str, Holder]) -> None:
        self.world, self.holders = world, by_name
        self.client = Client(face(world.services))

    def holder(self, route: Route) -> Holder:
        if route.action == "payload_token":
            return self.holders["attempt"]
        return self.holders["pilot" if route.action in FROM_PILOTS - {"storage_token"} else "admin"]

    async def send(self, route: Route, body: bytes | list[bytes], media: str = JSON) -> Reply:
        self.world.calls.asked.clear()
        holder = self.holder(route)
        path, _, _ = good(route.method, route.path, holder)
        return await self.client.ask(route.method, path, token=holder.token, body=body, media=media)


@pytest.fixture
async def scene() -> Scene:
    world = build()
    return Scene(world, await holders(world))


def _named(route: Route) -> str:
    return f"{route.method} {route.path}"


#    body                                      media        code
WRONG: list[tuple[bytes, str, Code]] = [
    (b"", JSON, Code.MALFORMED),
    (b'{"a', JSON, Code.MALFORMED),
    (b"\xff\xfe", JSON, Code.MALFORMED),
    (b"[]", JSON, Code.INVALID),
    (b"7", JSON, Code.INVALID),
    (b"null", JSON, Code.INVALID),
    (b"{}", JSON, Code.INVALID),
    (b"{}", "text/xml", Code.UNSUPPORTED),
    (b"{}", "application/x-www-form-urlencoded", Code.UNSUPPORTED),
]


@pytest.mark.parametrize("route", DECODED, ids=_named)
async def test_a_wrong_body_has_the_same_answer_everywhere(scene: Scene, route: Route) -> None:
    for body, media, code in WRONG:
        reply = await scene.send(route, body, media)
        problem = reply.problem()

        assert (reply.status, problem.code) == (STATUS[code], code.value), (body, problem)
        assert problem.message
        assert problem.field
        assert reply.headers["content-type"] == JSON
        assert scene.world.calls.asked == []


@pytest.mark.parametrize("route", DECODED, ids=_named)
async def test_too_large_a_body_is_refused(
    scene: Scene, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotage.central.dispatch.routes.LARGE_MAX", 2 * bodies.SMALL_MAX)
    huge = [b" " * 300_000] * (1 + max(route.body_max, 2 * bodies.SMALL_MAX) // 300_000)

    assert (await scene.send(route, huge)).problem().code == "too_large"
    assert scene.world.calls.asked == []


#   the setting  declared   taken
LENGTHS = [
    (400 << 20, 300 << 20, True),
    (200 << 20, 300 << 20, False),
    (2_000, 2_001, False),
]


@pytest.mark.parametrize(("size_max", "length", "is_taken"), LENGTHS)
async def test_a_file_may_be_as_large_as_the_setting_says_before_a_byte_is_read(
    scene: Scene, size_max: int, length: int, is_taken: bool
) -> None:
    scene.world.sandbox.file_bytes_max = size_max
    reply = await scene.client.ask(
        "PUT",
        "/v1/blobs/" + "0" * 64,
        token=scene.holders["user"].token,
        headers={"content-length": str(length)},
        body=[b"its beginning"],
    )

    asked = [content for _, _, (_, content, _) in scene.world.calls.asked]
    assert asked == ([b"its beginning"] if is_taken else [])
    if not is_taken:
        assert (reply.status, reply.problem().code) == (413, "too_large")


async def test_a_file_without_a_declared_length_is_cut_off_beyond_the_setting(scene: Scene) -> None:
    scene.world.sandbox.file_bytes_max = 2_000
    token = scene.holders["user"].token
    path = "/v1/blobs/" + "0" * 64
    reply = await scene.client.ask("PUT", path, token=token, body=[b"x" * 1_500] * 2)

    assert (reply.status, reply.problem().code) == (413, "too_large")
    assert scene.world.calls.asked == []


@pytest.mark.parametrize("route", DECODED, ids=_named)
async def test_unknown_fields_are_refused_from_people_and_ignored_from_pilots(
    scene: Scene, route: Route
) -> None:
    known: dict[str, Any] = msgspec.json.decode(GOOD[route.method, route.path][1])
    if "subject" in known:
        known |= {"subject": "x", "community": "ctao"}
    reply = await scene.send(route, msgspec.json.encode(known | {"hue": 1}))

    if route.action in FROM_PILOTS:
        assert reply.status in (200, 204)
    else:
        assert (reply.status, reply.problem().field) == (422, "$.hue")
        assert scene.world.calls.asked == []


@pytest.mark.parametrize("route", HOT, ids=_named)
async def test_a_hot_route_refuses_like_the_others(scene: Scene, route: Route) -> None:
    log = next(one for one in ROUTES if one.path == "/v1/log")
    for body, media in [(b"[]", JSON), (b"{", JSON), (b"{}", "text/xml")]:
        hot, cold = await scene.send(route, body, media), await scene.send(log, body, media)

        assert hot.problem() == cold.problem()
        assert hot.status == cold.status
        assert hot.headers.pop("x-request-id") != cold.headers.pop("x-request-id")
    assert hot.headers == cold.headers


async def test_ranges_of_pilots_are_checked_on_hot_and_other_routes(scene: Scene) -> None:
    by_path = {route.path: route for route in ROUTES}
    beat = await scene.send(by_path["/v1/beat"], b'{"gen":"g","session":1,"n":-5}')
    log = b'{"job":1,"epoch":1,"stream":"stdout","offset":-1,"text":""}'
    chunk = await scene.send(by_path["/v1/log"], log)

    assert (beat.status, beat.problem().field) == (422, "$.n")
    assert (chunk.status, chunk.problem().field) == (422, "$.offset")
    assert "found -5, expected a whole number from 0" in beat.problem().message


async def test_ask_and_report_take_their_part_of_a_turn_only(scene: Scene) -> None:
    ask, report = GOOD["POST", "/v1/ask"][1], GOOD["POST", "/v1/report"][1]
    by_path = {route.path: route for route in ROUTES}

    assert (await scene.send(by_path["/v1/ask"], report)).problem().field == "$.ask"
    assert (await scene.send(by_path["/v1/report"], ask)).problem().field == "$.ask"


# -- refusals and bugs of services --------------------------------------------------------------


@pytest.mark.parametrize("code", list(Code))
@pytest.mark.parametrize("path", ["/v1/turn", "/v1/log"])
async def test_what_a_service_refuses_has_its_status(scene: Scene, path: str, code: Code) -> None:
    scene.world.calls.refusal = Refused(code, "because", field="$.x")
    route = next(one for one in ROUTES if one.path == path)
    reply = await scene.send(route, GOOD["POST", path][1])

    assert reply.status == STATUS[code]
    assert reply.problem() == messages.Problem(code.value, "because", "$.x")
    assert (reply.headers.get("connection") == "close") == (code is Code.NOT_LEADER)


@pytest.mark.parametrize("path", ["/v1/turn", "/v1/log"])
async def test_a_bug_is_answered_and_told_to_the_server(scene: Scene, path: str) -> None:
    scene.world.calls.bug = ZeroDivisionError("secret detail")
    route = next(one for one in ROUTES if one.path == path)
    seen: list[Reply] = []

    with pytest.raises(ZeroDivisionError):
        seen.append(await scene.send(route, GOOD["POST", path][1]))


# -- paths and methods --------------------------------------------------------------------------


#    method     path                           status  allow
PATHS: list[tuple[str, str, int, str | None]] = [
    ("GET", "/nothing", 404, None),
    ("PATCH", "/nothing", 404, None),
    ("GET", "/v1/jobs/", 401, None),
    ("GET", "/v1/turn", 405, "POST"),
    ("OPTIONS", "/v1/turn", 405, "POST"),
    ("DELETE", "/v1/jobs", 405, "GET"),
    ("HEAD", "/v1/jobs", 405, "GET"),
    ("OPTIONS", "/v1/jobs", 405, "GET"),
    ("PATCH", "/v1/jobs/7", 405, "GET"),
    ("GET", "/v1/blobs/missing", 405, "POST"),
    ("POST", "/v1/blobs/" + "0" * 64, 405, "GET, PUT"),
    ("GET", "/v1/jobs/x/y/z", 404, None),
]


@pytest.mark.parametrize(("method", "path", "status", "allow"), PATHS)
async def test_wrong_paths_and_methods_are_problems(
    scene: Scene, method: str, path: str, status: int, allow: str | None
) -> None:
    reply = await scene.client.ask(method, path)

    assert (reply.status, reply.headers.get("allow")) == (status, allow)
    assert reply.problem().message


@pytest.mark.parametrize(
    "job_id", ["x", "-1", "1.5", "99999999999999999999", "9007199254740992", "%C2%B2", "²"]
)
async def test_what_is_no_job_id_is_not_found(scene: Scene, job_id: str) -> None:
    path, token = f"/v1/jobs/{job_id}", scene.holders["user"].token
    reply = await scene.client.ask("GET", path, token=token)

    assert (reply.status, reply.problem().code) == (404, "not_found")


#    query                     field
QUERIES: list[tuple[str, str]] = [
    ("/v1/jobs?stat=Waiting", "stat"),
    ("/v1/jobs?state=Sleeping", "state[0]"),
    ("/v1/jobs?limit=0", "limit"),
    ("/v1/jobs?limit=1001", "limit"),
    ("/v1/jobs?after=-1", "after"),
    ("/v1/jobs?limit=ten", "limit"),
    ("/v1/jobs?owner=a&owner=b", "owner"),
    ("/v1/jobs?include_deleted=maybe", "include_deleted"),
    ("/v1/jobs?id=1&id=x", "id[1]"),
    ("/v1/jobs/summary?by=moon", "by"),
    ("/v1/jobs/7/logs/stdout?follow=2", "follow"),
    ("/v1/events?after=x", "after"),
    ("/v1/failures?since=253402300800", "since"),
    ("/v1/series?since=1e300", "since"),
    ("/v1/accounts?since=nan", "since"),
    ("/v1/accounts?until=inf", "until"),
    ("/v1/failures/reports?since=1e12", "since"),
    ("/v1/pilots/logs?since=-1", "since"),
    ("/v1/pilots?state=Waiting&state=Moving", "state[1]"),
]


@pytest.mark.parametrize(("path", "field"), QUERIES)
async def test_a_wrong_query_names_its_word(scene: Scene, path: str, field: str) -> None:
    reply = await scene.client.ask("GET", path, token=scene.holders["user"].token)

    assert (reply.status, reply.problem().field) == (422, field)
    assert scene.world.calls.asked == []


async def test_a_query_reaches_the_service_whole(scene: Scene) -> None:
    path = "/v1/jobs?state=Waiting&state=Held&id=3&owner=a%20b&include_deleted=true&after=9&limit=2"
    await scene.client.ask("GET", path, token=scene.holders["user"].token)

    ((_, _, (wanted, after, limit)),) = scene.world.calls.asked
    assert [state.value for state in wanted.states] == ["Waiting", "Held"]
    assert (wanted.ids, wanted.owner, wanted.include_deleted) == ((3,), "a b", True)
    assert (after, limit) == (9, 2)


# -- submissions --------------------------------------------------------------------------------


async def submit(scene: Scene, body: bytes | list[bytes], media: str) -> Reply:
    scene.world.calls.asked.clear()
    token = scene.holders["user"].token
    return await scene.client.ask("POST", "/v1/submissions", token=token, body=body, media=media)


async def test_a_submission_comes_with_the_hash_of_its_bytes(scene: Scene) -> None:
    body = b'{"key":"k","jobs":[{"command":["true"]},{"command":["false"]}]}'
    reply = await submit(scene, [body[:10], body[10:]], JSON)

    ((name, _, (submission, body_hash)),) = scene.world.calls.asked
    assert (name, reply.json()["count"]) == ("submit", 2)
    assert bytes(submission.jobs[1]) == b'{"command":["false"]}'
    assert body_hash == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("step", [1, 7, 1_000])
async def test_lines_are_cut_where_they_end_and_not_where_parts_do(scene: Scene, step: int) -> None:
    body = b'{"key":"k"}\n{"command":["a"]}\r\n\n{"command":["b"]}'
    reply = await submit(scene, [body[i : i + step] for i in range(0, len(body), step)], NDJSON)

    ((_, _, (header, lines, body_hash)),) = scene.world.calls.asked
    assert (reply.status, header.key) == (200, "k")
    assert [line.strip() for line in lines] == [b'{"command":["a"]}', b'{"command":["b"]}']
    assert body_hash == hashlib.sha256(body).hexdigest()


LINES: list[tuple[bytes, Code, str]] = [
    (b"", Code.MALFORMED, ""),
    (b"\n\n", Code.MALFORMED, ""),
    (b"{}\n", Code.INVALID, "$.key"),
    (b'{"key":"k","jobs":[{}]}\n', Code.INVALID, "$.jobs"),
    (b'{"key":"k"}\n{"a":"' + b"a" * bodies.LINE_MAX + b'"}', Code.TOO_LARGE, "line 2"),
    (b'{"key":"k"}\n{"a":"' + b"a" * bodies.LINE_MAX + b'"}\n', Code.TOO_LARGE, "line 2"),
]


@pytest.mark.parametrize(("body", "code", "field"), LINES, ids=range(len(LINES)))
async def test_wrong_lines_are_refused(scene: Scene, body: bytes, code: Code, field: str) -> None:
    reply = await submit(scene, body, NDJSON)

    assert (reply.problem().code, reply.problem().field) == (code.value, field)
    assert scene.world.calls.asked == []


async def test_a_blob_arrives_in_parts_with_its_length(scene: Scene) -> None:
    reply = await scene.client.ask(
        "PUT",
        "/v1/blobs/" + "0" * 64,
        token=scene.holders["attempt"].token,
        body=[b"ab", b"cd"],
        headers={"content-length": "4"},
    )

    assert reply.json() == {"sha256": "0" * 64, "size_bytes": 4}
    assert scene.world.calls.asked[0][2] == ("0" * 64, b"abcd", 4)


@pytest.mark.parametrize("name", ["A" * 64, "0" * 63, "0" * 65, "x"])
async def test_a_blob_has_a_hash_for_a_name(scene: Scene, name: str) -> None:
    token = scene.holders["user"].token
    reply = await scene.client.ask("PUT", "/v1/blobs/" + name, token=token, body=b"x")
    query = msgspec.json.encode({"sha256": ["0" * 64, name]})
    asked = await scene.client.ask("POST", "/v1/blobs/missing", token=token, body=query)

    assert (reply.status, reply.problem().field) == (422, "sha256")
    assert (asked.status, asked.problem().field) == (422, "$.sha256[1]")


async def test_outputs_and_logs_come_as_bytes(scene: Scene) -> None:
    token = scene.holders["user"].token
    output = await scene.client.ask("GET", "/v1/jobs/7/outputs/a/b.txt", token=token)
    choice = b'{"files":[{"job":7,"name":"a/b.txt"}]}'
    bundle = await scene.client.ask("POST", "/v1/jobs/outputs", token=token, body=choice)
    tail = await scene.client.ask("GET", "/v1/jobs/7/logs/stderr", token=token)
    live = await scene.client.ask("GET", "/v1/jobs/7/logs/stderr?follow=true", token=token)
    other = await scene.client.ask("GET", "/v1/jobs/7/logs/stdlog", token=token)
    placed = await scene.client.ask(
        "GET",
        "/v1/jobs/7/logs/stderr?follow=true",
        token=token,
        headers={"accept": f"{MEDIA}, text/plain;q=0.5"},
    )

    assert (output.body, output.headers["content-length"]) == (b"abcd", "4")
    assert (bundle.body, bundle.headers["content-type"]) == (b"4\nabcd", FILES)
    assert (tail.body, live.body, other.status) == (b"hello", b"live", 404)
    assert (placed.body, placed.headers["content-type"]) == (b"7 4\nlive", MEDIA)
    assert scene.world.calls.asked[0][2] == (7, "a/b.txt")
    said = [tail.headers[f"pilotage-{name}"] for name in ("attempt", "newest-attempt", "left-out")]
    assert said == ["2", "3", "5"]
    assert output.headers["x-content-type-options"] == "nosniff"


async def test_not_ready_is_a_problem(scene: Scene) -> None:
    scene.world.calls.is_ready = False
    reply = await scene.client.ask("GET", "/ready")

    assert (reply.status, reply.problem().code) == (503, "unavailable")
    assert (await scene.client.ask("GET", "/health")).status == 200
    assert (await scene.client.ask("GET", "/pilot.pyz")).status == 404
