"""What the demo shows adds up: living pilots only, and every job of the killed one."""

from pilotage.central.operate.demo.display import KilledPilot, by_site
from pilotage.proto.api.jobs import JobView
from pilotage.proto.api.pilots import PilotView
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState


def view(number: int, state: JobState, site: str, pilot: str, epoch: int = 1) -> JobView:
    return JobView(
        id=number,
        submission=1,
        name="",
        type="User",
        community="ctao",
        group="dl1",
        owner="ada",
        state=state,
        site=site,
        pilot=pilot,
        epoch=epoch,
    )


def pilot(name: str, site: str, cores: int) -> PilotView:
    return PilotView(
        id=name,
        community="ctao",
        site=site,
        element="batch",
        host="h",
        state=PilotState.RUNNING,
        session=1,
        cores=cores,
    )


def test_a_dead_pilot_offers_nothing_and_its_jobs_wait_for_the_lease() -> None:
    pilots = [pilot("p1", "PIC", 4), pilot("c1", "CSCS", 6)]
    views = [
        view(1, JobState.RUNNING, "CSCS", "c1"),
        view(2, JobState.MATCHED, "CSCS", "c1"),
        view(3, JobState.RUNNING, "PIC", "p1"),
        view(4, JobState.DONE, "CSCS", "c1"),
    ]

    assert by_site(pilots, views, "c1") == [("CSCS", 0, 0, 0, 2, 1), ("PIC", 1, 4, 1, 0, 0)]
    assert by_site(pilots, views, "") == [("CSCS", 1, 6, 2, 0, 1), ("PIC", 1, 4, 1, 0, 0)]


def test_every_job_of_the_killed_pilot_is_accounted_for() -> None:
    killed = KilledPilot("c1", {1: 1, 2: 1, 3: 1})
    views = [
        view(1, JobState.DONE, "PIC", "p1", epoch=2),
        view(2, JobState.DONE, "PIC", "p1", epoch=2),
        view(3, JobState.DONE, "CSCS", "c1", epoch=1),
        view(4, JobState.DONE, "PIC", "p1", epoch=2),
    ]

    assert killed.sentence() == "kill -9 of pilot c1 with 3 jobs on it"
    assert killed.fate(views) == (
        "Of the 3 jobs on the killed pilot 2 ran elsewhere after the lease "
        "(job 1: attempt 2 at PIC), 1 had ended before."
    )
    assert KilledPilot("c1", {1: 1}).sentence().endswith("with 1 job on it")
