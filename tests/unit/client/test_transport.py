"""Requests: typed errors, what is repeated and what is not, actions, logs and tokens."""

import json
import os
from pathlib import Path

import httpx
import pytest

from pilotage.central.client import AsyncClient, errors
from pilotage.central.client.credentials import login_file
from pilotage.proto.api.jobs import ActionName, ActionReply, JobFilter, Summary, SummaryBy
from pilotage.proto.api.logins import LoginTokens
from pilotage.proto.api.pilots import SecretRequest, Secrets
from pilotage.proto.api.tokens import TokenIssue, Tokens, TokenView
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import STATUS, Code

from .stub_central import Got, Jobs, StubCentral, lost, not_there, ok, problem, stream

KINDS = {
    Code.INVALID: errors.Invalid,
    Code.TOO_LARGE: errors.Invalid,
    Code.NO_TOKEN: errors.NotAuthenticated,
    Code.EXPIRED_TOKEN: errors.NotAuthenticated,
    Code.FORBIDDEN: errors.Forbidden,
    Code.OVER_QUOTA: errors.OverQuota,
    Code.NOT_FOUND: errors.NotFound,
    Code.COUNT_CHANGED: errors.CountChanged,
    Code.ILLEGAL_STATE: errors.IllegalState,
    Code.TOO_MANY: errors.TooManyRequests,
    Code.STORE_FULL: errors.StoreFull,
    Code.UNAVAILABLE: errors.Unavailable,
    Code.INTERNAL: errors.Refused,
}
SUMMARY = Summary(by=SummaryBy.STATE, total=0, rows=[])


@pytest.mark.parametrize(("code", "kind"), KINDS.items())
async def test_each_code_has_its_error(code: Code, kind: type[errors.Refused]) -> None:
    stub = StubCentral()
    stub.always["GET /v1/whoami"] = problem(STATUS[code], code.value, "why", "where")
    async with stub.client(patience_s=0) as client:
        with pytest.raises(kind) as caught:
            await client.whoami()

    assert (caught.value.code, caught.value.field) == (code.value, "where")
    assert str(caught.value).removesuffix(" (asked http://central.test)") == "why"


@pytest.mark.parametrize("status", [408, 421, 429, 500, 502, 503, 504])
async def test_not_now_is_asked_again(status: int) -> None:
    stub = StubCentral()
    stub.next.extend([problem(status, "unavailable", "not now"), not_there(), lost()])
    stub.always["GET /v1/jobs/summary"] = ok(SUMMARY)
    async with stub.client() as client:
        assert await client.summary() == SUMMARY

    assert len(stub.got) == 4


@pytest.mark.parametrize(("action", "times"), [("replay", 1), ("reset", 2)])
async def test_to_process_files_anew_is_not_asked_twice(action: str, times: int) -> None:
    stub = StubCentral()
    stub.next.append(lost())
    stub.always["POST /v1/transformations/t/actions"] = problem(404, "not_found", "none")
    async with stub.client() as client:
        with pytest.raises(errors.Unreachable if times == 1 else errors.NotFound):
            await client.act_on_transformation("t", action, files=["a:b"])

    assert len(stub.got) == times


async def test_a_proxy_in_front_of_a_dead_central_is_no_answer() -> None:
    stub = StubCentral()
    stub.next.append(httpx.Response(502, text="<html>"))
    stub.always["GET /v1/jobs/summary"] = ok(SUMMARY)
    async with stub.client() as client:
        assert await client.summary() == SUMMARY


@pytest.mark.parametrize("content", [b"<html>hello", b'{"subject": 1}', b""])
async def test_what_is_no_central_is_said_so(content: bytes) -> None:
    stub = StubCentral()
    stub.always["GET /v1/whoami"] = httpx.Response(200, content=content)
    async with stub.client() as client:
        with pytest.raises(errors.BadAnswer, match="central.test"):
            await client.whoami()


async def test_without_a_token_the_error_says_where_one_is_looked_for() -> None:
    stub = StubCentral()
    stub.always["GET /v1/whoami"] = problem(401, "no_token", "a token is needed")
    client = stub.client(token="")
    with pytest.raises(errors.NotAuthenticated, match="PILOTAGE_TOKEN_FILE"):
        await client.whoami()


@pytest.mark.parametrize(("status", "code"), [(401, "expired_token"), (403, "forbidden")])
async def test_a_refused_token_names_the_central_that_refused_it(status: int, code: str) -> None:
    stub = StubCentral()
    stub.always["GET /v1/whoami"] = problem(status, code, "not with this token")
    async with stub.client() as client:
        with pytest.raises(
            errors.Refused, match=r"not with this token \(asked http://central.test"
        ):
            await client.whoami()


@pytest.mark.parametrize(
    ("ca_file", "said"),
    [
        ("", r"this machine does not trust the authority .*, name it in PILOTAGE_CA_FILE"),
        ("/ca.pem", r"/ca.pem in PILOTAGE_CA_FILE does not trust .*, name another in PILOTAGE_CA"),
    ],
)
async def test_an_untrusted_certificate_is_told_at_once_with_what_to_do(
    ca_file: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = StubCentral()
    why = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"
    stub.always["GET /v1/whoami"] = httpx.ConnectError(why)
    monkeypatch.setenv("PILOTAGE_CA_FILE", ca_file)
    async with stub.client() as client:
        with pytest.raises(errors.Unreachable, match=said):
            await client.whoami()

    assert stub.pace.slept == []


async def test_a_file_without_an_authority_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PILOTAGE_CA_FILE", str(tmp_path / "ca.pem"))
    async with AsyncClient("https://central.test", "t") as client:
        with pytest.raises(errors.UnreadableCredentials, match="ca.pem: PILOTAGE_CA_FILE: "):
            await client.whoami()


async def test_what_makes_something_new_each_time_is_not_repeated_after_it_was_sent() -> None:
    stub = StubCentral()
    stub.always["POST /v1/tokens"] = lost()
    async with stub.client() as client:
        with pytest.raises(errors.Unreachable):
            await client.issue_token(TokenIssue(subject="somebody"))

    assert len(stub.got) == 1


async def test_what_never_arrived_is_repeated_in_any_case() -> None:
    stub = StubCentral()
    stub.next.append(not_there())
    stub.always["POST /v1/pilots/secrets"] = ok(Secrets(secrets=[]))
    async with stub.client() as client:
        await client.secrets(SecretRequest(site="PIC"))

    assert len(stub.got) == 2


async def test_pauses_grow_and_whoever_asked_hears_of_them() -> None:
    stub = StubCentral()
    stub.next.extend([lost()] * 5)
    stub.always["GET /v1/jobs/summary"] = ok(SUMMARY)
    await stub.client().summary()

    assert stub.pace.slept == [0.1, 0.2, 0.4, 0.8, 1.6]


async def test_search_walks_all_pages() -> None:
    stub = StubCentral()
    Jobs(stub, *range(1, 2_501))
    async with stub.client() as client:
        found = [view.id async for view in client.search(JobFilter(states=(JobState.WAITING,)))]

    assert found == list(range(1, 2_501))
    assert [one.query.get("after") for one in stub.got] == [None, "1000", "2000"]


async def test_a_list_of_tokens_is_read_page_by_page() -> None:
    views = [
        TokenView(
            jti=str(number),
            subject="ada",
            community="ctao",
            groups=[],
            role=Role.USER,
            issued_at="",
            expires_at="",
            revoked=False,
        )
        for number in range(3)
    ]
    stub = StubCentral()
    stub.next.extend(
        [ok(Tokens(tokens=views[:2], after="7.0:1")), ok(Tokens(tokens=[], after="5.0:x"))]
    )
    stub.next.append(ok(Tokens(tokens=views[2:])))
    async with stub.client() as client:
        found = await client.tokens()

    assert [one.jti for one in found.tokens] == ["0", "1", "2"]
    assert [one.query.get("after") for one in stub.got] == [None, "7.0:1", "5.0:x"]
    assert {one.query.get("limit") for one in stub.got} == {"1000"}


async def test_an_action_on_a_filter_says_how_many_it_expects() -> None:
    stub = StubCentral()
    Jobs(stub, 1, 2, 3)
    stub.always["POST /v1/jobs/actions"] = ok(ActionReply(done=3, unchanged=0))
    async with stub.client() as client:
        reply = await client.kill(filter=JobFilter(owner="o"), reason="wrong input")

    assert reply.done == 3
    said = stub.got[-1].json()
    assert said.pop("key")
    assert said == {
        "action": "kill",
        "filter": {"owner": "o"},
        "expected": 3,
        "reason": "wrong input",
    }


async def test_an_action_is_repeated_with_its_key_and_the_next_one_has_another() -> None:
    stub = StubCentral()
    stub.next.extend([lost(), problem(507, "store_full", "no room"), lost()])
    stub.next.extend([problem(503, "unavailable", "not now")])
    stub.always["POST /v1/jobs/actions"] = ok(ActionReply(done=1, unchanged=0))
    async with stub.client() as client:
        with pytest.raises(errors.StoreFull):
            await client.act(ActionName.RESCHEDULE, [7], key="mine")
        await client.act(ActionName.RESCHEDULE, [7], key="mine")
        await client.reschedule([7])
        await client.job(7).kill()
    keys = [one.json()["key"] for one in stub.got]

    assert keys[:5] == ["mine"] * 5
    assert len(set(keys[5:])) == 2 and "mine" not in keys[5:]


async def test_more_ids_than_one_action_takes_go_in_several() -> None:
    stub = StubCentral()
    stub.always["POST /v1/jobs/actions"] = ok(ActionReply(done=10, unchanged=1))
    async with stub.client() as client:
        reply = await client.act(ActionName.HOLD, range(250_000))

    assert [len(one.json()["ids"]) for one in stub.got] == [100_000, 100_000, 50_000]
    assert len({one.json()["key"] for one in stub.got}) == 3
    assert (reply.done, reply.unchanged) == (30, 3)


async def test_a_log_that_breaks_off_goes_on_where_it_was() -> None:
    stub = StubCentral()
    Jobs(stub, 5).states[5] = JobState.DONE
    answers = [stream(b"one ", b"two ", lost()), stream(b"one tw", b"o three")]
    stub.always["GET /v1/jobs/5/logs/stdout"] = lambda got: answers.pop(0)(got)
    async with stub.client() as client:
        text = b"".join([piece async for piece in client.job(5).log()])

    assert text == b"one two three"


async def test_events_of_a_newer_central_are_passed_over() -> None:
    stub = StubCentral()
    Jobs(stub, 1)
    unknown = b'id: 1\ndata: {"seq":1,"at":"","kind":"job","job":1,"state":"Dreaming"}\n\n'
    known = b'id: 2\ndata: {"seq":2,"at":"","kind":"job","job":1,"state":"Done"}\n\n'
    stub.always["GET /v1/events"] = stream(unknown, known)
    heard = [event.seq async for event in stub.client().job(1).events()]

    assert heard == [2]


async def test_the_token_goes_in_the_header_and_nowhere_else() -> None:
    stub = StubCentral()
    stub.always["GET /v1/jobs/summary"] = ok(SUMMARY)
    async with stub.client(token="s3cret") as client:
        await client.summary()

    assert stub.got[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in str(stub.got[0].query)


async def test_a_request_over_quota_is_not_repeated() -> None:
    stub = StubCentral()
    stub.always["POST /v1/submissions"] = problem(403, "over_quota", "owner 'ada' has 5 of 5")
    async with stub.client() as client:
        with pytest.raises(errors.OverQuota, match="has 5 of 5"):
            await client.submit([Job(command=("true",))])

    assert len(stub.got) == 1


@pytest.mark.parametrize("first", ["refused connection", "no token"])
async def test_a_token_that_a_starting_central_makes_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PILOTAGE_DATA", str(tmp_path))
    stub = StubCentral()

    def starts() -> None:
        running = {"url": "http://127.0.0.1:8123", "pid": os.getpid()}
        (tmp_path / "central.json").write_text(json.dumps(running))
        (tmp_path / "admin.token").write_text("fresh\n")
        (tmp_path / "admin.token").chmod(0o600)

    def without_token(got: Got) -> httpx.Response:
        starts()
        return problem(401, "no_token", "this request needs a token")(got)

    stub.next.append(without_token if first == "no token" else not_there())
    stub.pace.on_sleep = starts
    stub.always["GET /v1/jobs/summary"] = ok(SUMMARY)
    async with AsyncClient(url="http://localhost:8123", http=stub, pace=stub.pace) as client:
        assert await client.summary() == SUMMARY

    sent = [(got.headers["host"], got.headers.get("authorization")) for got in stub.got]
    assert sent == [("localhost:8123", None), ("127.0.0.1:8123", "Bearer fresh")]


async def test_a_refused_token_is_not_exchanged_for_another() -> None:
    stub = StubCentral()
    stub.always["GET /v1/jobs/summary"] = problem(401, "no_token", "it is not valid")
    async with stub.client() as client:
        with pytest.raises(errors.NotAuthenticated):
            await client.summary()

    assert len(stub.got) == 1


def _logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOME", str(tmp_path))
    url = "https://central.test"
    kept = {"url": url, "token": "mine", "expires_at": 4e9, "renewal": "r"}
    file = login_file(os.environ, url)
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_text(json.dumps(kept))
    file.chmod(0o600)
    return url


async def test_a_login_whose_session_was_ended_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _logged_in(tmp_path, monkeypatch)
    stub = StubCentral()
    stub.always["GET /v1/jobs/summary"] = problem(401, "bad_token", "this token is not valid here")
    why = "this login has ended: ended by oscar; log in again"
    stub.always["POST /v1/login/renew"] = problem(401, "expired_token", why)
    async with AsyncClient(url=url, http=stub, pace=stub.pace) as client:
        with pytest.raises(errors.NotAuthenticated, match=why):
            await client.summary()

    assert stub.lines() == ["GET /v1/jobs/summary", "POST /v1/login/renew"]


async def test_a_stream_of_an_ended_login_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _logged_in(tmp_path, monkeypatch)
    stub = StubCentral()
    stub.always["GET /v1/events"] = problem(401, "bad_token", "this token is not valid here")
    why = "'alice' has been banned from this central: ask 'oscar'"
    stub.always["POST /v1/login/renew"] = problem(403, "banned", why)
    async with AsyncClient(url=url, http=stub, pace=stub.pace) as client:
        with pytest.raises(errors.PersonBanned, match=why):
            async for _ in client.events():
                pass

    assert stub.lines() == ["GET /v1/events", "POST /v1/login/renew"]


async def test_a_login_survives_new_keys_of_the_central(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _logged_in(tmp_path, monkeypatch)
    stub = StubCentral()
    stub.next.append(problem(401, "bad_token", "this token is not valid here"))
    stub.always["GET /v1/jobs/summary"] = ok(SUMMARY)
    fresh = LoginTokens(
        token="fresh",
        expires_in_s=1_800.0,
        renewal="r2",
        session="s",
        session_ends_at="",
        provider="iam",
        subject="alice",
        name="",
        community="ctao",
        groups=(),
        role=Role.USER,
    )
    stub.always["POST /v1/login/renew"] = ok(fresh)
    async with AsyncClient(url=url, http=stub, pace=stub.pace) as client:
        assert await client.summary() == SUMMARY

    sent = [got.headers.get("authorization") for got in stub.got]
    assert sent == ["Bearer mine", None, "Bearer fresh"]


async def test_a_login_that_cannot_be_renewed_says_how_to_log_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _logged_in(tmp_path, monkeypatch)
    stub = StubCentral()
    for line in ("GET /v1/jobs/summary", "POST /v1/login/renew"):
        stub.always[line] = problem(401, "bad_token", "this token is not valid here")
    async with AsyncClient(url=url, http=stub, pace=stub.pace) as client:
        with pytest.raises(errors.NotAuthenticated, match=f"log in again: `pilotage login {url}`"):
            await client.summary()
    assert len(stub.got) == 2

    async with AsyncClient(url=url, token="t", http=stub, pace=stub.pace) as client:
        with pytest.raises(errors.NotAuthenticated, match=r"here \(asked https://central\.test\)$"):
            await client.summary()
