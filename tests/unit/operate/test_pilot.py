"""How a pilot on this machine is started."""

from pathlib import Path

from pilotage.central.operate.pilot import PilotPlan, argv


def test_only_a_pilot_that_shall_removes_its_state() -> None:
    secret = Path("secret")
    kept, gone = argv(PilotPlan(), secret), argv(PilotPlan(remove_state=True), secret)

    assert "--remove-state" not in kept
    assert gone[-1] == "--remove-state"
