"""Several processes on one database: two take jobs in beside the one that keeps the queue."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from joserfc import jws

from pilotage.central.cli.main import run
from pilotage.central.client import Client
from pilotage.central.client.errors import ClientError, OverQuota, Refused
from pilotage.central.identity.keys import OF_TOKENS
from pilotage.central.operate.demo.local_central import end
from pilotage.central.operate.files import RealDisk
from pilotage.central.operate.start_failures import EXIT_BROKEN
from pilotage.central.store.engine import CHUNK_MAX
from pilotage.proto.api.quotas import QuotaChange
from pilotage.proto.documents.job import DataInput, DataOutput, Job, JobData
from pilotage.proto.job_states import JobState
from tests.services import balancer, postgresql

from .beacons import Beacons
from .lossy_proxy import lossy_database
from .running import RunningCentral, eventually, running_central

LEASE_S = "15"
SOON_S = 5.0  # what takes about one on a quiet machine
KEYS = 4  # that are handed in at several places at once
SMALL = 10
MANY = 40  # submissions, from several at once


@dataclass
class Beside:
    """A process with the role api."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, patience_s: float = 30.0) -> Client:
        return Client(self.url, self.token, patience_s=patience_s)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if one["event"] == name]


@contextmanager
def beside(central: RunningCentral, name: str, store: str) -> Generator[Beside]:
    """Run one on the data directory of a central; it may have ended by itself at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    log = central.folder / f"{name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pilotage.central.cli", "serve", "--roles", "api"),
                *("--data", str(central.data), "--port", str(port), "--set", f"store.url={store}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    token = (central.data / "admin.token").read_text().strip()
    one = Beside(process, port, log, token)
    try:
        eventually(lambda: answers(one), what=f"{name}: {log}", within_s=120)
        yield one
    finally:
        end(process)


def answers(one: Beside) -> bool:
    assert one.process.poll() is None, one.log.read_text(errors="replace")[-2_000:]
    try:
        return asked(one.url, "GET", "/ready")[0] == 200
    except OSError:
        return False


def asked(
    url: str, method: str, path: str, *, token: str = "", body: bytes = b""
) -> tuple[int, Any, dict[str, str]]:
    """Return status, JSON and headers of an answer; the connection is not repeated."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, body, {**sent, "Content-Type": "application/json"})
        reply = connection.getresponse()
        said = reply.read()
        headers = {name.lower(): value for name, value in reply.getheaders()}
        return reply.status, json.loads(said) if said else None, headers
    finally:
        connection.close()


@dataclass
class Stage:
    """A database, the process that keeps the queue, two that do not, and a pilot."""

    server: postgresql.Postgresql
    store: str
    central: RunningCentral
    apis: list[Beside]
    balanced: str
    beacons: Beacons
    clients: list[Client]  # of the two
    folder: Path  # below it lie two storages: `first`, and `later` of which no file speaks yet

    def job(self, seconds: float = 0.05, *, site: str = "PIC") -> Job:
        return self.beacons.job(seconds, sites=(site,))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if postgresql.missing() or balancer.PROGRAM is None:
        pytest.skip(postgresql.missing() or "nginx (apt: nginx-light)")
    folder = tmp_path_factory.mktemp("processes")
    with ExitStack() as stack:
        data = folder / "one" / "central"
        (data / "storages").mkdir(parents=True)
        data.chmod(0o700)
        storage_file(data, folder, "first")
        server = stack.enter_context(postgresql.started())
        server.sql("CREATE SCHEMA central")
        store = server.url(schema="central")
        options = {"store.url": store, "lease.lease_s": LEASE_S, "process.roles": "dispatch,agents"}
        central = stack.enter_context(running_central(folder / "one", options))
        apis = [stack.enter_context(beside(central, name, store)) for name in ("first", "second")]
        ports = [one.port for one in apis]
        balanced = stack.enter_context(balancer.balancer(folder / "balancer", ports))
        central.pilot("PIC", cores=4, url=balanced)
        clients = [stack.enter_context(one.client()) for one in apis]
        beacons = Beacons(folder / "beacons")
        yield Stage(server, store, central, apis, balanced, beacons, clients, folder)


def storage_file(data: Path, folder: Path, name: str) -> None:
    (folder / name).mkdir()
    text = f"type: file\nurl: file://{folder / name}\n"
    (data / "storages" / f"{name}.yaml").write_text(text)


def test_what_either_takes_in_runs_within_about_a_second(stage: Stage) -> None:
    waits: list[float] = []
    clients = stage.clients
    for number in range(SMALL):
        client, other = clients[number % 2], clients[1 - number % 2]
        (job,) = client.submit([stage.job()], key=f"small {number}").ids()
        answered = time.monotonic()
        _until(other, job, lambda state: state is not JobState.WAITING)
        waits.append(time.monotonic() - answered)
        _until(other, job, lambda state: state is JobState.DONE)

    assert median(waits) < 1.5
    assert max(waits) < SOON_S


def _until(client: Client, job: int, is_right: Callable[[JobState], bool]) -> None:
    eventually(lambda: is_right(client.job(job).state()), what=f"a state of job {job}")


def test_many_from_both_at_once_are_all_queued_once(stage: Stage) -> None:
    clients = stage.clients

    def hand_in(number: int) -> list[int]:
        jobs = [stage.job(site="NOWHERE")] * 5
        return list(clients[number % 2].submit(jobs, key=f"many {number}").ids())

    with ThreadPoolExecutor(8) as threads:
        ids = [job for some in threads.map(hand_in, range(MANY)) for job in some]
    began = time.monotonic()
    leader = stage.central.client
    eventually(lambda: waiting(leader) == len(ids), what=f"{len(ids)} jobs in the queue")
    took_s = time.monotonic() - began
    killed = clients[0].kill(ids)
    eventually(lambda: waiting(leader) == 0, what="the end of all")

    assert len(set(ids)) == 5 * MANY
    assert took_s < SOON_S
    assert killed.done == len(ids)
    assert {one.state() for one in map(clients[1].job, ids[:20])} == {JobState.KILLED}


def waiting(client: Client) -> int:
    """Count the jobs that wait, as the process that leads has them in memory."""
    rows = client.summary().rows
    return sum(row.counts.get(JobState.WAITING, 0) for row in rows)


def test_a_quota_that_one_process_sets_holds_in_all(stage: Stage) -> None:
    first, second = stage.clients
    taken: list[int] = []

    def takes(client: Client) -> bool:
        try:
            key = f"quota {time.monotonic()}"
            taken.extend(client.submit([stage.job(site="NOWHERE")] * 2, key=key).ids())
        except OverQuota:
            return False
        return True

    def refuses(client: Client) -> bool:
        return not takes(client)

    (community,) = {row.community for row in first.usage().rows}
    limit = QuotaChange(kind="community", community=community, jobs=1)
    first.set_quota(limit)
    for client in (second, stage.central.client):
        eventually(partial(refuses, client), what="a refusal", within_s=SOON_S)
    first.set_quota(msgspec.structs.replace(limit, jobs=None, remove=True))
    for client in (second, stage.central.client):
        eventually(partial(takes, client), what="the end of the quota", within_s=SOON_S)
    first.kill(taken)
    eventually(lambda: waiting(stage.central.client) == 0, what="the end of all")


@pytest.mark.parametrize("jobs", [2, CHUNK_MAX + 10], ids=["small", "in chunks"])
def test_one_key_at_several_places_at_once_is_one_submission(stage: Stage, jobs: int) -> None:
    clients = [*stage.clients, stage.central.client]

    def hand_in(at: int) -> tuple[int, tuple[int, ...], bool]:
        key, place = divmod(at, len(clients))
        name = f"one key {jobs} {key}"
        done = clients[place].submit([stage.job(site="NOWHERE")] * jobs, key=name).submitted
        ids = [job for run in done.ids for job in range(run.first, run.first + run.count)]
        return key, tuple(ids), done.repeated

    with ThreadPoolExecutor(6) as threads:
        told = list(threads.map(hand_in, range(KEYS * len(clients))))
    ids = {job for _, some, _ in told for job in some}
    eventually(lambda: waiting(stage.central.client) == len(ids), what="each once in the queue")
    clients[0].kill(sorted(ids))
    eventually(lambda: waiting(stage.central.client) == 0, what="the end of all")

    assert len(ids) == KEYS * jobs
    for key in range(KEYS):
        mine = [(some, again) for one, some, again in told if one == key]
        assert len({some for some, _ in mine}) == 1, mine
        assert [again for _, again in mine].count(False) == 1, mine


def test_a_slow_bulk_and_a_strangers_open_transaction_hold_up_nobody(stage: Stage) -> None:
    first, second = stage.clients
    with _psql(stage.server) as stranger:
        assert stranger.stdin is not None
        stranger.stdin.write(b"BEGIN; CREATE TABLE central.of_a_stranger (x INT);\n")
        stranger.stdin.flush()
        eventually(lambda: "idle in transaction" in _activity(stage.server), what="the stranger")
        slow = _SlowBulk(stage.apis[0], stage.job(site="NOWHERE"), CHUNK_MAX + 20)
        slow.send_some()
        small = list(second.submit([stage.job()], key="beside a bulk").ids())
        eventually(lambda: ended(first, small), what="the small one", within_s=30)
        before = waiting(stage.central.client)
        done = slow.finish()
        eventually(
            lambda: waiting(stage.central.client) == done["count"], what="the bulk", within_s=30
        )
        still = _activity(stage.server)
    first.kill(list(range(done["ids"][0]["first"], done["ids"][0]["first"] + done["count"])))
    eventually(lambda: waiting(stage.central.client) == 0, what="the end of all")

    assert before == 0
    assert done["count"] == CHUNK_MAX + 20
    assert "idle in transaction" in still  # to the end: nobody has waited for it


def ended(client: Client, jobs: Sequence[int]) -> bool:
    return all(client.job(job).state() is JobState.DONE for job in jobs)


class _SlowBulk:
    """A submission whose lines come in two parts."""

    def __init__(self, to: Beside, job: Job, count: int) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(to.url).netloc, timeout=60)
        self._line = json.dumps({"command": list(job.command), "needs": [{"sites": ["NOWHERE"]}]})
        self._count, self._sent = count, 0
        self._connection.putrequest("POST", "/v1/submissions")
        self._connection.putheader("Authorization", f"Bearer {to.token}")
        self._connection.putheader("Content-Type", "application/x-ndjson")
        self._connection.putheader("Transfer-Encoding", "chunked")
        self._connection.endheaders()
        self._put(json.dumps({"key": "slow bulk"}))

    def _put(self, line: str) -> None:
        data = line.encode() + b"\n"
        self._connection.send(b"%x\r\n%b\r\n" % (len(data), data))

    def send_some(self) -> None:
        """Send more than one chunk of the store's, so that it is begun there."""
        while self._sent < self._count - 1:
            self._put(self._line)
            self._sent += 1

    def finish(self) -> dict[str, Any]:
        self._put(self._line)
        self._connection.send(b"0\r\n\r\n")
        reply = self._connection.getresponse()
        said = reply.read()
        self._connection.close()
        assert reply.status == 200, said
        found: dict[str, Any] = json.loads(said)
        return found


def test_jobs_with_data_are_taken_in_and_a_storage_that_comes_later_is_known_soon(
    stage: Stage,
) -> None:
    first, second = stage.clients
    (made,) = first.submit([_writes("a", "first")], key="to the first").ids()
    eventually(lambda: ended(first, [made]), what="the first output")
    with pytest.raises(Refused, match="unknown storage 'later'; known storages: first"):
        second.submit([_writes("b", "later")], key="too early")
    storage_file(stage.central.data, stage.folder, "later")
    leader = stage.central.client  # it tells pilots where to write
    eventually(lambda: len(leader.storages().storages) == 2, what="the later storage, there")
    came: list[int] = []

    def is_taken() -> bool:
        try:
            came.extend(second.submit([_writes("b", "later")], key="to the later").ids())
        except Refused:
            return False
        return True

    eventually(is_taken, what="the later storage, here")
    eventually(lambda: ended(second, came), what="the second output")
    reads = Job(
        command=("sh", "-c", 'cat "$@"', "read", "{inputs}"),
        data=JobData(inputs=(DataInput(did="users:a"), DataInput(did="users:b"))),
    )
    (read,) = second.submit([reads], key="both").ids()
    eventually(lambda: ended(first, [read]), what="who reads both")

    assert b"".join(first.job(read).log()) == b"of a\nof b\n"
    for name, files in (("first", ["a"]), ("later", ["b"])):
        found = (stage.folder / name).rglob("*")
        assert [one.name for one in found if one.is_file()] == files


def _writes(name: str, storage: str) -> Job:
    out = DataOutput(pattern=name, name="{file}", storages=(storage,))
    return Job(command=("sh", "-c", f"echo of {name} > {name}"), data=JobData(outputs=(out,)))


@contextmanager
def _psql(server: postgresql.Postgresql) -> Generator[subprocess.Popen[bytes]]:
    command = ["psql", "-X", "-q", "-h", str(server.folder), "-U", "pilotage", "-d", "postgres"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def _activity(server: postgresql.Postgresql) -> str:
    return server.sql("SELECT state FROM pg_stat_activity WHERE application_name = 'psql'")


def test_a_person_and_their_token_are_known_to_all_at_once_and_a_revoked_one_soon(
    stage: Stage,
) -> None:
    first, second = stage.apis
    wanted = {"subject": "bob", "community": "local", "groups": ["users"], "role": "user"}
    _, issued, _ = asked(
        first.url, "POST", "/v1/tokens", token=first.token, body=json.dumps(wanted).encode()
    )
    assert "token" in issued, issued
    token = issued["token"]
    with Client(first.url, token) as bob, Client(second.url, token) as too:
        (job,) = bob.submit([stage.job(site="NOWHERE")], key="bob's").ids()
        seen = too.job(job).state()
        killed = too.kill([job]).done  # the leader's, who may have heard of neither
    status, _, _ = asked(
        first.url, "DELETE", f"/v1/tokens/{issued['view']['jti']}", token=first.token
    )
    began = time.monotonic()
    for url in (second.url, stage.central.url):
        eventually(lambda: asked(url, "GET", "/v1/whoami", token=token)[0] == 401, what=url)  # noqa: B023
    took_s = time.monotonic() - began

    assert (seen, killed, status) == (JobState.WAITING, 1, 204)
    assert took_s < SOON_S


def test_a_rotation_of_keys_fails_no_request_at_any_process(stage: Stage) -> None:
    token, data = stage.apis[0].token, stage.central.data
    urls = [stage.central.url, *(one.url for one in stage.apis)]
    tokens = [token]

    def issued_everywhere() -> set[str]:
        """Have each process issue a token and read all; return the keys of the new ones."""
        made = [_issued(url, token) for url in urls]
        tokens.extend(made)
        for url in urls:
            for one in tokens[:1] + tokens[-3:]:
                assert asked(url, "GET", "/v1/whoami", token=one)[0] == 200
        return {jws.extract_compact(one.encode()).headers()["kid"] for one in made}

    (old,) = issued_everywhere()
    assert run(["admin", "signing-keys", "--data", str(data), "--rotate"]) == 0
    for url in urls:
        eventually(lambda: len(_kids(url)) == 2, what="the new key", within_s=SOON_S)  # noqa: B023
    new, _ = _kids(urls[0])
    before = issued_everywhere()
    _let_pass(data / "signing-keys.json", OF_TOKENS.ahead_s)
    eventually(lambda: issued_everywhere() == {new}, what="its first tokens", within_s=SOON_S)

    assert before == {old}
    assert _kids(urls[1]) == _kids(urls[2]) == [new, old]


def _issued(url: str, token: str) -> str:
    wanted = json.dumps({"subject": "eve", "community": "local", "role": "user"}).encode()
    status, issued, _ = asked(url, "POST", "/v1/tokens", token=token, body=wanted)
    assert status == 200, issued
    return str(issued["token"])


def _kids(url: str) -> list[str]:
    return [one["kid"] for one in asked(url, "GET", "/.well-known/jwks.json")[1]["keys"]]


def _let_pass(file: Path, seconds: float) -> None:
    """Make the keys older, as if that time had passed since a rotation."""
    found = json.loads(file.read_text())
    for one in found["keys"]:
        one["made_at"] -= seconds
    RealDisk().write_secret(file, json.dumps(found).encode())


def test_a_commit_whose_answer_is_lost_is_the_same_submission_at_the_next_try(
    stage: Stage, tmp_path: Path
) -> None:
    (tmp_path / "db").mkdir()
    with lossy_database(tmp_path / "db", stage.server.folder) as wire:
        store = stage.store.replace(str(stage.server.folder), str(tmp_path / "db"))
        with beside(stage.central, "third", store) as third:
            with third.client() as client:  # owner and class are known there afterwards
                client.submit([stage.job()], key="before").ids()
            wire.lose = b"COMMIT\0"
            with pytest.raises(ClientError), third.client(patience_s=0.5) as client:
                client.submit([stage.job()], key="lost")
            code = third.process.wait(30)
    client = stage.clients[0]
    again = client.submit([stage.job()], key="lost").submitted
    job = again.ids[0].first
    eventually(lambda: ended(client, [job]), what="the job of the lost answer")

    assert len(wire.lost) == 1 and code == EXIT_BROKEN
    assert again.repeated and again.count == 1
    assert len(stage.beacons.of(job)) == 1


def test_pilots_that_come_by_a_load_balancer_find_the_leader(stage: Stage) -> None:
    pilot = stage.central.pilots[0]
    refused = asked(stage.apis[0].url, "POST", "/v1/beat", body=b"{}")

    assert [one["leader"] for one in pilot.events("goes_to")] == [stage.central.url]
    assert refused[0] == 421 and refused[1]["leader"] == stage.central.url
    assert refused[2]["connection"] == "close"


def test_while_nobody_leads_jobs_are_taken_in_and_the_rest_is_told_to_wait(stage: Stage) -> None:
    first, second = stage.clients
    stage.central.kill9()
    (job,) = first.submit([stage.job()], key="without a leader").ids()
    state = second.job(job).state()
    eventually(
        lambda: asked(stage.apis[0].url, "GET", "/v1/pilots", token=stage.apis[0].token)[0] == 503,
        what="no leader",
    )
    status, said, headers = asked(
        stage.apis[0].url, "GET", "/v1/jobs/summary", token=stage.apis[0].token
    )
    alive = [asked(one.url, "GET", "/health") for one in stage.apis]
    stage.central.restart()
    eventually(lambda: ended(second, [job]), what="the job that came meanwhile", within_s=120)
    again = first.summary().total

    assert state is JobState.WAITING
    assert (status, said["code"], headers["retry-after"]) == (503, "unavailable", "1")
    assert [(code, word["status"]) for code, word, _ in alive] == [(200, "api")] * 2
    assert again > 0


def test_an_ordinary_load_balancer_in_front_is_all_that_people_need(stage: Stage) -> None:
    with Client(stage.balanced, stage.apis[0].token) as client:
        (job,) = client.submit([stage.job()], key="balanced").ids()
        eventually(lambda: ended(client, [job]), what="its end")
        shown = client.explain(job)
        (seen,) = [one for one in client.pilots() if one.site == "PIC"]
        stage.apis[1].process.kill()
        stage.apis[1].process.wait()
        more = [
            id for key in range(SMALL) for id in client.submit([stage.job()], key=f"b{key}").ids()
        ]
        eventually(lambda: ended(client, more), what="the end of those after a death")

    assert shown.job == job
    assert seen.id == stage.central.pilots[0].id
    assert len(set(more)) == SMALL
