"""Somebody reads the journal of a pilot and speaks for it with a plain HTTP client."""

import json
import shutil
from pathlib import Path
from typing import Any

import httpx

from pilotage import Job, JobState
from pilotage.pilot.journal import FileJournal
from pilotage.proto.pilot_states import PilotState

from .running import RunningCentral, RunningPilot, eventually, running_central

OPTIONS = {"lease.lease_s": "6", "token.pilot_s": "20"}
ENDED = 10  # exit code of a pilot whose session is over
# The first attempt would run for ever; what is started again ends at once.
PAYLOAD = 'if [ "$PILOTAGE_EPOCH" = 1 ]; then exec sleep 600; fi; echo "epoch $PILOTAGE_EPOCH"'


def stolen(pilot: RunningPilot, folder: Path) -> dict[str, Any]:
    """Return what the journal says at a moment when no use of the secret is open."""

    def look() -> dict[str, Any] | None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(pilot.state / "journal", folder)
        identity = FileJournal(folder).identity()
        kept: dict[str, Any] = json.loads(identity or b"{}")
        return None if kept.get("renewal_nonce") else kept

    return eventually(look, what="a journal without an open use") or {}


def say(central: RunningCentral, path: str, body: object, token: str = "") -> httpx.Response:
    head = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{central.url}{path}", json=body, headers=head)


def test_a_pilot_whose_secret_is_stolen_ends_and_its_job_runs_elsewhere(tmp_path: Path) -> None:
    with running_central(tmp_path / "one", OPTIONS) as central:
        victim = central.pilot("PIC", cores=1)
        (job,) = central.client.submit([Job(command=("/bin/sh", "-c", PAYLOAD))]).ids()
        eventually(
            lambda: central.client.job(job).detail().view.state is JobState.RUNNING,
            what="the start",
        )
        kept = stolen(victim, tmp_path / "copy")
        use = {"pilot": kept["pilot"], "renewal_secret": kept["renewal_secret"], "nonce": "thief"}
        thief = say(central, "/v1/pilots/token", use)
        opens = {
            "pilot": kept["pilot"],
            "renewal_secret": thief.json()["renewal_secret"],
            "nonce": "thief-2",
            "renewal_nonce": "thief-3",
            "session": kept["session"] + 1,
            "protocol": "1.1",
        }
        opened = say(central, "/v1/pilots/hello", opens)
        code = victim.process.wait(60)
        again = say(central, "/v1/pilots/token", use)
        forged = {
            "gen": central.client.health().gen,
            "session": kept["session"] + 1,
            "reports": [
                {"job": job, "epoch": 1, "attempt_id": 1, "n": 99, "what": "ended",
                 "how": "exited", "exit_code": 0}
            ],
        }  # fmt: skip
        report = say(central, "/v1/report", forged, opened.json()["token"])
        central.pilot("CSCS", cores=1)
        done = central.client.job(job).wait(60)
        seen = b"".join(central.client.job(job).log())
        found = central.events("secret_replayed")
        metrics = httpx.get(
            f"{central.url}/metrics",
            headers={
                "authorization": f"Bearer {(central.data / 'admin.token').read_text().strip()}"
            },
        ).text
        shown = central.type("pilot", "show", kept["pilot"])
        (row,) = [one for one in central.client.pilots() if one.id == kept["pilot"]]

    assert (thief.status_code, opened.status_code) == (200, 200)
    assert [one.json()["code"] for one in (again, report)] == ["old_session"] * 2
    assert code == ENDED
    assert (done.state, seen) == (JobState.DONE, b"epoch 2\n")
    assert [one["pilot"] for one in found] == [kept["pilot"]]
    assert 'pilotage_events_total{event="secret_replayed"} 1' in metrics
    assert row.state is PilotState.FAILED and "was used by two" in shown
