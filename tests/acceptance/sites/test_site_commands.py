"""What an operator types about a site, on a central with an element on its own machine."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from pilotage import Client, Job, Need
from pilotage.central.operate.demo.local_central import LocalCentral, local_central
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState

pytestmark = pytest.mark.long
WAIT_S = 120.0
T = TypeVar("T")
HOME = """\
pledge: 2
elements:
  here: {kind: local, pilots_max: 1}
  nowhere:
    kind: ssh
    options: {host: 127.0.0.1, port: 1, user: nobody, key_file: /none, known_hosts: /dev/null}
    pilots_max: 0
"""


@pytest.fixture
def central(tmp_path: Path) -> Iterator[LocalCentral]:
    sites = tmp_path / "sites"
    sites.mkdir()
    (sites / "HOME.yaml").write_text(HOME)
    settings = {"factory.every_s": "2", "factory.sites": str(sites)}
    with local_central(tmp_path / "data", settings) as started:
        yield started


def pilotage(central: LocalCentral, *words: str) -> tuple[int, str]:
    """Run the command and return its code, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pilotage.central.cli", *words, "--data", str(central.data)],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_check_names_the_step_that_fails_and_says_what_is_well(central: LocalCentral) -> None:
    code, said = pilotage(central, "site", "check", "HOME", "--timeout-s", "60")
    good, steps = pilotage(central, "site", "check", "HOME", "--element", "here", "--json")

    assert code == 1
    assert "works: pilots start, ask for jobs and end" in said
    assert "nowhere      failed at reach" in said
    assert "Connection refused" in said
    assert good == 0
    (element,) = json.loads(steps)["elements"]
    assert [one["state"] for one in element["steps"]] == ["ok"] * 8


def test_a_killed_pilot_gives_its_job_back_and_a_drained_site_gets_none(
    central: LocalCentral,
) -> None:
    with Client(data=central.data) as client:
        client.submit(Job(command=("sleep", "300"), needs=(Need(wall_s=600),)))
        running = _wait_for(lambda: [one.id for one in client.pilots() if one.attempts])
        drained, _ = pilotage(central, "site", "drain", "HOME", "--reason", "upgrade")
        killed, said = pilotage(central, "pilot", "kill", *running, "--wait", "--reason", "slow")
        _wait_for(lambda: state(client) is JobState.WAITING)
        time.sleep(5.0)  # two rounds of the factory
        pilots = list(client.pilots())
        detail = client.site("HOME")

        assert (drained, killed) == (0, 0), said
        assert [one.state for one in pilots] == [PilotState.DONE]
        assert "slow" in pilots[0].reason
        assert detail.view.draining
        assert detail.marks[0].reason == "upgrade"
        assert state(client) is JobState.WAITING

        pilotage(central, "site", "enable", "HOME")
        _wait_for(lambda: state(client) is JobState.RUNNING)
        client.kill([one.id for one in client.search()])


def state(client: Client) -> JobState:
    (job,) = client.search()
    return job.state


def _wait_for(look: Callable[[], T]) -> T:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.3)
    raise AssertionError(f"not within {WAIT_S:g} s")
