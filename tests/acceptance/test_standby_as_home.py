"""The first address of a pilot is a process that waits to lead: its results arrive all the same.

One pilot is of today. The other is of release 0.1, which sends files to its first address and
nowhere else, whatever that answers.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.central.operate.local_pilots import write_secret
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.documents.job import Input, Job, Need, OutputPattern
from pilotage.proto.job_states import JobState
from tests.data import release
from tests.services import postgresql
from tests.side_by_side import REGISTER

from .running import ROOT, eventually, guard_of
from .standbys import Member, each, the_leader
from .takeovers import NO_BUS

RELEASE = ROOT / "tests/data/release-0.1"
DONE_S = 60.0  # it takes 3 s: this has room for a slow machine


@pytest.fixture
def server() -> Iterator[postgresql.Postgresql]:
    if missing := postgresql.missing():
        pytest.skip(missing)
    with postgresql.started("shared_buffers=16MB") as running:
        running.sql("CREATE SCHEMA central")
        yield running


def _pilot(bundle: Path, home: str, secret: str, state: Path, stack: ExitStack) -> None:
    state.mkdir(mode=0o700)
    words = [sys.executable, "-I", "-S", str(bundle), "run", f"--central={home}", "--cores=1"]
    words += [f"--state-dir={state}", f"--secret-file={write_secret(state, secret)}"]
    with (state / "pilot.log").open("ab") as log:
        process = subprocess.Popen(
            [*words, "--memory-mb=500", f"--tags={state.name}"], stdout=log, stderr=log, cwd=state
        )

    def bury() -> None:
        guard = guard_of(process.pid)
        process.kill()
        process.wait()
        eventually(lambda: not guard or not Path(f"/proc/{guard}").exists(), what="its end")

    stack.callback(bury)


def test_results_of_pilots_of_both_releases_arrive_if_their_home_is_a_standby(
    tmp_path: Path, server: postgresql.Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(REGISTER, raising=False)
    settings = {**NO_BUS, "store.url": server.url(schema="central")}
    members: list[Member] = []
    with ExitStack() as stack:
        for name in ("one", "two"):
            members.append(Member(tmp_path, tmp_path / "central", settings, name))
            stack.callback(members[-1].end)
            the_leader(members)
        home = members[1]
        assert not home.leads
        for member in members:  # whoever has no answer of the leader asks either
            with member.client() as client:
                assert client.health().leader == members[0].url
        bundles = {"now": pilot_bundle(), "old": release.unpack_pilot(RELEASE, tmp_path)}
        try:
            with home.client() as client:  # it goes to the leader as well
                made = client.secrets(SecretRequest(site="PIC", count=len(bundles))).secrets
                (tmp_path / "input").write_bytes(b"what it reads")
                (given,) = client.upload([tmp_path / "input"])
                jobs = [next(client.submit(_job(name, given)).ids()) for name in bundles]
                for one, (name, bundle) in zip(made, bundles.items(), strict=True):
                    _pilot(bundle, home.url, one.secret, tmp_path / name, stack)
                for job in jobs:
                    assert client.job(job).wait(DONE_S).state is JobState.DONE
                    got = client.download(job, "result", tmp_path / f"of {job}")
                    assert got.read_bytes() == b"what it reads"
        except BaseException:
            print("\n".join(each(members)))
            for log in tmp_path.glob("*/pilot.log"):
                print(f"--- {log}\n{log.read_text()[-3_000:]}")
            raise


def _job(name: str, given: Input) -> Job:
    return Job(
        command=("sh", "-c", "cat input > result"),
        inputs=(given,),
        outputs=(OutputPattern(pattern="result"),),
        needs=(Need(tags=name),),
    )
