"""How a pilot on this machine is started."""

from pathlib import Path

from pilotage.central.operate.local_pilots import PilotPlan, argv


def test_only_a_pilot_that_shall_removes_its_state() -> None:
    secret = Path("secret")
    kept, gone = argv(PilotPlan(), secret), argv(PilotPlan(remove_state=True), secret)

    assert "--remove-state" not in kept
    assert gone[-1] == "--remove-state"


def test_what_is_declared_becomes_options() -> None:
    plan = PilotPlan(
        central="https://a",
        told={
            "tags": ("a", "b"),
            "gpus": 2,
            "hs23_per_core": 11.5,
            "overcommit": True,
            "gpu_vendor": "",
        },
    )
    words = argv(plan, Path("secret"))

    assert "--overcommit" in words
    assert {"--central=https://a", "--tags=a,b", "--gpus=2", "--hs23-per-core=11.5"} <= {*words}
    assert not [word for word in words if word.startswith(("--gpu-vendor", "--secret="))]
