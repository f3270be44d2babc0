"""A database that was set back, or is another one, is begun on by no process in any role."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from pilotage.central.client.errors import ClientError
from pilotage.central.operate import high_water
from pilotage.central.operate.datadir import STORE_FILE
from pilotage.central.operate.demo.local_central import NotRunning, end
from pilotage.central.operate.start_failures import EXIT_BROKEN, EXIT_WRONG
from pilotage.proto.documents.job import Job
from tests.services import postgresql

from .running import RunningCentral, eventually, running_central
from .test_api_processes import beside

ROLES = ("api", "dispatch,agents")
ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pilotage'"
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


@pytest.fixture
def server() -> Iterator[postgresql.Postgresql]:
    if postgresql.missing():
        pytest.skip(postgresql.missing())
    with postgresql.started() as running:
        yield running


def test_no_process_begins_on_a_database_that_was_set_back(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    server.sql("CREATE DATABASE used", "CREATE DATABASE empty")
    store, empty = (server.url(name, "public") for name in ("used", "empty"))
    with running_central(tmp_path / "one", {"store.url": store}) as central:
        with beside(central, "before", store) as before, before.client(0.5) as client:
            (job,) = client.submit([Job(command=("true",))], key="one").ids()
            eventually(lambda: marked(central) > job, what="the mark of its ids")
            end(central.process)
            server.sql(ENDED, "UPDATE counter SET next = 1 WHERE name = 'job'", database="used")
            with suppress(ClientError):
                client.submit([Job(command=("true",))], key="two")
            code = before.process.wait(30)
        below = [refused(central, roles, store) for roles in ROLES]
        nothing = [refused(central, roles, empty) for roles in ROLES]

    assert code == EXIT_BROKEN  # its connections had ended, so that it is started anew
    assert all(f"its next job would be 1, but {job + 1} was reached before" in one for one in below)
    assert all("It is empty: restore the backup first" in one for one in nothing)
    assert server.sql(TABLES, database="empty").strip() == "0"  # pg_restore finds it as it was


def test_one_that_was_killed_at_once_does_not_begin_on_a_database_that_lost_it(
    tmp_path: Path, server: postgresql.Postgresql
) -> None:
    server.sql("CREATE DATABASE used", "CREATE DATABASE empty")
    store, empty = (server.url(name, "public") for name in ("used", "empty"))
    with running_central(tmp_path / "one", {"store.url": store}) as central:
        central.client.submit([Job(command=("true",))])
        central.kill9()
        said = [refused(central, roles, empty) for roles in ROLES]

    assert all("It is empty: restore the backup first" in one for one in said)


@pytest.mark.parametrize("lives", [1, 2])
def test_one_that_was_killed_at_once_does_not_begin_on_a_file_that_lost_it(
    tmp_path: Path, lives: int
) -> None:
    with running_central(tmp_path / "one") as central:
        for _ in range(lives - 1):
            central.restart()
        central.client.submit([Job(command=("true",))])
        central.kill9()
        (central.data / f"{STORE_FILE}-wal").unlink()
        with pytest.raises(NotRunning, match="it was set back: its next attempt would be"):
            central.restart()


def test_a_file_that_was_lost_whole_with_its_mark_is_not_begun_anew(tmp_path: Path) -> None:
    with running_central(tmp_path / "one") as central:
        central.client.submit([Job(command=("true",))])
        central.kill9()
        for lost in (STORE_FILE, f"{STORE_FILE}-wal", high_water.FILE):
            (central.data / lost).unlink()
        (central.data / STORE_FILE).touch()
        with pytest.raises(NotRunning, match="is not in the store"):
            central.restart()


def refused(central: RunningCentral, roles: str, store: str) -> str:
    """Return what a process says that does not start."""
    words = ("--data", str(central.data), "--port", "0", "--set", f"store.url={store}")
    said = central.type("serve", "--roles", roles, *words, code=EXIT_WRONG)
    last = said.splitlines()[-1]
    assert last.startswith("pilotage serve: postgresql://"), said
    assert "it was set back" in last
    return last


def marked(central: RunningCentral) -> int:
    """Return how far the ids of jobs had come when that was kept last."""
    file = central.data / high_water.FILE
    return int(msgspec.json.decode(file.read_bytes())["job"]) if file.exists() else 0
