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

from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from tests.acceptance.running import ROOT, RunningCentral, eventually, running_central
from tests.services import postgresql
from tests.tidy import tree

PAGE: Final = "docs/operations/postgresql.md"
SCRIPT: Final = ROOT / "deploy" / "systemd" / "pilotage-backup-postgresql"
URL: Final = "postgresql://pilotage@db.example.org/pilotage"
# A sweep of before must remove nothing after the restore: somebody may have had back its bytes.
IN_FLIGHT: Final = (
    "INSERT INTO sweep SELECT 1, 'pic', 'ctao', min(owner_id), 'users', 5, NULL FROM owner",
    "INSERT INTO remnant (remnant_id, storage, path, community, owner_id, group_name, bytes, since,"
    " due_from, state, sweep_id) VALUES (1, 'pic', 'ctao/1', 'ctao', 1, 'users', 7, 5, 5,"
    " 'Sweeping', 1)",
    "INSERT INTO remnant_count (storage, community, waiting, waiting_bytes)"
    " VALUES ('pic', 'ctao', 1, 7)",
    "UPDATE counter SET next = 2 WHERE name IN ('sweep', 'remnant')",
    "UPDATE store SET made_at = 5",
)
KNOWN: Final = (
    "SELECT generation FROM earlier WHERE jobs_below > 1",
    "SELECT made_at > extract(epoch FROM now()) - 600 FROM store",
    "SELECT state, sweep_id FROM remnant",
    "SELECT count(*) FROM sweep",
)


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
        server.sql(*IN_FLIGHT, database="pilotage")
        generation = server.sql("SELECT generation FROM store", database="pilotage")
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

    def restored_by(text: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", "-u", "-c", text]
        return subprocess.run(command, cwd=kept[-1], env=told, capture_output=True, text=True)

    failed: list[subprocess.CompletedProcess[str]] = []
    for wrong in ("nothing.dump", "--schema-only store.dump"):
        failed.append(restored_by(script.replace("store.dump", wrong)))
        server.sql("DROP DATABASE pilotage")
        server.sql("ALTER DATABASE pilotage_old RENAME TO pilotage")
    is_touched = any(data.iterdir())
    restored = restored_by(script)
    had_key, has_key = ((one / "attempt-key").exists() for one in (kept[-1] / "data", data))
    known = server.sql(*KNOWN, database="pilotage").splitlines()
    with running_central(tmp_path / "one", {"store.url": store}) as central:
        state = central.client.job(before).state()
        (fresh,) = central.client.submit([Job(command=("true",))], key="fresh").ids()

    assert len(kept) == 2
    assert [one.returncode for one in failed] == [1, 3]
    assert "no submission was restored" in failed[1].stderr
    assert not is_touched  # by what stands after the step that failed
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert (had_key, has_key) == (True, False)  # tokens of the lost time open nothing
    assert known == [generation.strip(), "t", "Sweeping|", "0"]
    assert state is JobState.DONE
    assert fresh > after + 9_000_000


def done(central: RunningCentral, key: str) -> int:
    (job,) = central.client.submit([Job(command=("true",))], key=key).ids()
    eventually(lambda: central.client.job(job).state() is JobState.DONE, what=key)
    return int(job)
