"""Backup and restore on PostgreSQL, by the unit's script and as the page tells."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pilotage.proto.job import Job
from pilotage.proto.job_states import JobState
from tests.acceptance.running import ROOT, RunningCentral, eventually, running_central
from tests.services import postgresql
from tests.tidy import tree

PAGE: Final = "docs/operations/postgresql.md"
SCRIPT: Final = ROOT / "deploy" / "systemd" / "pilotage-backup-postgresql"
URL: Final = "postgresql://pilotage@db.example.org/pilotage"


@pytest.fixture
def server() -> Iterator[postgresql.Postgresql]:
    if postgresql.missing() or shutil.which("rsync") is None:
        pytest.skip(postgresql.missing() or "rsync (apt: rsync)")
    with postgresql.started() as one:
        one.sql("CREATE DATABASE pilotage")
        yield one


def restore_of_the_page() -> str:
    _, section = tree.text(PAGE).split("\n## Restore\n")
    found = re.search(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_what_the_timer_keeps_is_restored_as_the_page_says(
    server: postgresql.Postgresql, tmp_path: Path
) -> None:
    backups = tmp_path / "backups"
    (backups / "of somebody else").mkdir(parents=True)
    store = server.url("pilotage", "public")
    database = f"postgresql://pilotage@/pilotage?host={server.folder}"
    with running_central(tmp_path / "one", {"store.url": store}) as central:
        central.pilot()
        data = central.data
        before = done(central, "before")
        for _ in range(3):
            subprocess.run([SCRIPT, database, data, backups, "2"], check=True, timeout=60)
        after = done(central, "after")
    kept = sorted(one for one in backups.iterdir() if one.name != "of somebody else")
    shutil.rmtree(data)
    data.mkdir(mode=0o700)
    script = restore_of_the_page()
    for old, new in (
        (URL, f"'{database}'"),
        ("/srv/pilotage", str(data)),
        (" --config /etc/pilotage/pilotage.yaml", ""),
        ("pilotage doctor", f"{sys.executable} -m pilotage.central.cli doctor"),
    ):
        assert old in script
        script = script.replace(old, new)
    told = {
        **os.environ,
        "PGHOST": str(server.folder),
        "PGUSER": "pilotage",
        "PYTHONPATH": str(ROOT),
        "PILOTAGE_STORE__URL": store,
    }
    restored = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=kept[-1], env=told, capture_output=True, text=True
    )
    with running_central(tmp_path / "one", {"store.url": store}) as central:
        state = central.client.job(before).state()
        (fresh,) = central.client.submit([Job(command=("true",))], key="fresh").ids()

    assert len(kept) == 2
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert state is JobState.DONE
    assert fresh > after + 9_000_000


def done(central: RunningCentral, key: str) -> int:
    (job,) = central.client.submit([Job(command=("true",))], key=key).ids()
    eventually(lambda: central.client.job(job).state() is JobState.DONE, what=key)
    return int(job)
