"""From `curl …/pilot.sh` to a job's result, as an operator hands pilots to a batch system."""

import json
import subprocess
from pathlib import Path

import httpx

from pilotage import Job, JobState

from .running import running_central

# What a payload can see of others: their command lines and environments, its own, and the code.
LOOK = """
env
cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n'
ls "$1"/*/ | sed 's/^/code: /'
"""


def test_a_fetched_script_becomes_a_pilot_that_runs_jobs_and_leaves_nothing(tmp_path: Path) -> None:
    with running_central(tmp_path / "one") as central:
        node, tmp = tmp_path / "one" / "node", tmp_path / "one" / "tmp"
        node.mkdir()
        tmp.mkdir()
        script = httpx.get(f"{central.url}/pilot.sh").raise_for_status()
        (node / "pilot.sh").write_bytes(script.content)
        central.type("pilot", "secret", "--site", "PIC", "--save", str(tmp_path / "secrets"))
        (secret,) = (tmp_path / "secrets").iterdir()
        job = Job(command=("/bin/sh", "-c", LOOK, "look", str(tmp)))
        (number,) = central.client.submit([job]).ids()

        options = [
            "--secret-file",
            str(secret),
            "--idle-s",
            "1",
            "--cores",
            "1",
            "--benchmark-s",
            "0",
        ]
        with (tmp_path / "one" / "pilot.log").open("wb") as log:
            pilot = subprocess.Popen(
                ["sh", "pilot.sh", *options],
                cwd=node,
                env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            kept = secret.read_text().strip()
            done = central.client.job(number).wait(60)
            seen = b"".join(central.client.job(number).log()).decode()
            code = pilot.wait(60)
        finally:
            pilot.kill()
            pilot.wait()

        said = (tmp_path / "one" / "pilot.log").read_text()
        assert (done.state, code) == (JobState.DONE, 0), said
        assert "PILOTAGE_JOB" in seen
        assert len(kept) > 16 and kept not in seen
        (began,) = (line for line in said.splitlines() if '"pilot_started"' in line)
        if json.loads(began)["isolation"] == "bubblewrap":  # the others cannot hide a folder
            assert "code: pilot.pyz" not in seen
        assert list(tmp.iterdir()) == []
