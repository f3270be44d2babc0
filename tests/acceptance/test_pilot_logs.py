"""What real pilots log is read at the central, also what one had not told when it was killed."""

import json
from pathlib import Path

from pilotage.central.operate.demo.local_central import end
from pilotage.central.operate.local_pilots import PilotPlan, start

from .canaries import check_secrets
from .running import eventually, running_central

LOOK_S = 30.0  # five for a pilot to look, and some for a busy machine


def test_a_killed_pilots_last_lines_are_told_by_its_next_life(tmp_path: Path) -> None:
    with running_central(tmp_path) as central:

        def told(*words: str) -> list[dict[str, object]]:
            shown = central.type("pilot", "logs", "--json", *words)
            return [json.loads(line) for line in shown.splitlines()]

        pilot = central.pilot()
        job = int(central.type("submit", "--", "sh", "-c", "exit 3").split()[1].rstrip(",:"))
        central.client.job(job).wait(timeout_s=LOOK_S)
        pilot.kill9()
        assert "ended" not in [one["event"] for one in told("--job", str(job))]
        plan = PilotPlan(central=central.url, secret="known by its journal", state=pilot.state)
        again = start(plan)
        try:
            lines = eventually(lambda: told("--job", str(job), "--grep", "how="), within_s=LOOK_S)
            assert [(one["event"], one["text"]) for one in lines] == [("ended", "how=exited")]
            assert {one["pilot"] for one in lines} == {pilot.id}
            by_host = told("--host", str(lines[0]["host"]), "--since", "1h")
            assert [one["event"] for one in by_host].count("pilot_started") == 2
            assert told("--site", "nowhere") == []
            check_secrets(central)
        finally:
            end(again)
        text = central.type("pilot", "logs", pilot.id, "--last", "1")
        assert f"{pilot.id}  pilot_ended  code=0" in text
