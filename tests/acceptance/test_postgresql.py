"""A central on PostgreSQL: its own death and the database's lose nothing that was acknowledged."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from pilotage.central.client import Client
from pilotage.central.client.errors import ClientError
from pilotage.central.operate import high_water
from pilotage.central.operate.demo.local_central import NotRunning, end
from pilotage.central.operate.start_failures import EXIT_BROKEN
from pilotage.proto.job_states import JobState
from tests.services import postgresql

from .beacons import Beacons
from .running import RunningCentral, eventually, running_central

JOBS = 6


@pytest.fixture
def server() -> Iterator[postgresql.Postgresql]:
    if postgresql.missing():
        pytest.skip(postgresql.missing())
    with postgresql.started() as running:
        yield running


def test_neither_its_death_nor_that_of_its_database_loses_a_job(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    server.sql("CREATE SCHEMA central")
    settings = {"store.url": server.url(schema="central"), "lease.lease_s": "15"}
    with running_central(tmp_path / "one", settings) as central:
        beacons = Beacons(tmp_path / "beacons")
        central.pilot("PIC", cores=2)
        first = _submit(central, beacons, "first")
        eventually(lambda: done(central, first) > 0, what="the first Done")
        central.kill9()
        central.restart()
        assert _submit(central, beacons, "first") == first
        second = _submit(central, beacons, "second")
        server.stop(signal.SIGQUIT)
        with suppress(ClientError), hasty(central) as client:  # the central ends before it answers
            client.submit([beacons.job(0.2)] * JOBS, key="third")
        gone = central.process.wait(60)
        server.start()
        central.restart()

        third = _submit(central, beacons, "third")
        jobs = [*first, *second, *third]
        eventually(lambda: done(central, jobs) == len(jobs), what="the end of all jobs")
        found = examined(central, server.url(schema="central"))
        server.sql("UPDATE central.zone SET jobs = jobs + 1 WHERE state = 'Done'")
        spoilt = examined(central, server.url(schema="central"), code=1)
        attempts = server.sql(
            "SELECT count(*), count(DISTINCT job_id) FROM central.attempt WHERE event = 'succeeded'"
        )

        eventually(lambda: marked(central) > 2, what="the mark of its ids")
        central.kill9()
        server.sql("UPDATE central.counter SET next = 2 WHERE name = 'attempt'")
        with pytest.raises(NotRunning, match="it was set back: its next attempt would be 2, but"):
            central.restart()
        server.sql("UPDATE central.counter SET next = next + 10000000")
        server.sql("UPDATE central.store SET generation = repeat('f', 32)")
        central.restart()
        end(central.process)
        with (
            pytest.raises(NotRunning, match="has no keys, and the store has tokens"),
            running_central(tmp_path / "without", settings),
        ):
            pytest.fail("it began with new keys")

    assert gone == EXIT_BROKEN
    assert not (central.data / "store.sqlite").exists()
    assert attempts.strip() == f"{len(jobs)}|{len(jobs)}"
    assert f"{len(jobs)} jobs, schema" in found
    assert "synchronous_commit=on, no replica" in found
    assert "its counters agree with the rows" in found
    assert f"Done: says {len(jobs) + 1}, the rows say {len(jobs)}" in spoilt


def examined(central: RunningCentral, url: str, *, code: int = 0) -> str:
    """Return what doctor says of a central and its database."""
    file = central.data / "pilotage.yaml"
    file.write_text(f"store:\n  url: {url}\n")
    words = ("--data", str(central.data), "--config", str(file), "--store")
    return central.type("doctor", *words, code=code)


def marked(central: RunningCentral) -> int:
    """Return how far the ids of attempts had come when that was kept last."""
    file = central.data / high_water.FILE
    return int(msgspec.json.decode(file.read_bytes())["attempt"]) if file.exists() else 0


def hasty(central: RunningCentral) -> Client:
    token = (central.data / "admin.token").read_text().strip()
    return Client(central.url, token, patience_s=1.0)


def _submit(central: RunningCentral, beacons: Beacons, key: str) -> list[int]:
    return list(central.client.submit([beacons.job(0.2)] * JOBS, key=key).ids())


def done(central: RunningCentral, jobs: list[int]) -> int:
    return sum(central.client.job(job).state() is JobState.DONE for job in jobs)


def test_an_installation_moves_there_with_its_jobs(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    server.sql("CREATE SCHEMA central")
    url = server.url(schema="central")
    folder, beacons = tmp_path / "one", Beacons(tmp_path / "beacons")
    with running_central(folder) as central:
        jobs = _submit(central, beacons, "before")
        running = central.type("admin", "copy-store", url, code=3)
    with running_central(folder / "other") as central:
        central.kill9()  # only its command line is of use
        data = str(folder / "central")
        said = central.type("admin", "copy-store", url, "--data", data)
    with running_central(folder, {"store.url": url}) as central:
        central.pilot("PIC", cores=2)
        again = _submit(central, beacons, "before")
        eventually(lambda: done(central, jobs) == len(jobs), what="the end of all jobs")

    assert "another central runs on" in running
    assert "rows, compared" in said
    assert again == jobs
