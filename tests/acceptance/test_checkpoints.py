"""A real payload that counts goes on from attempt to attempt, however each of them ends."""

import signal
from pathlib import Path

from pilotage.proto.documents.job import Job, JobLimits, Need, OutputPattern
from pilotage.proto.job_states import JobState

from .running import RunningCentral, eventually, running_central

# The first fails, the second writes without end, the third takes for ever, the fourth is done.
PAYLOAD = """
mkdir -p state
count=$(( $(cat state/count 2>/dev/null || echo 0) + 1 ))
echo $count > state/count
case $count in
1) exit 7 ;;
2) yes; sleep 600 ;;
3) sleep 600 ;;
4) ls state > names; echo "$count steps" > result ;;
esac
"""


def a_counting_job() -> Job:
    return Job(
        command=("sh", "-c", PAYLOAD),
        checkpoint="state",
        retries=2,
        limits=JobLimits(streams_mb=1),
        outputs=(OutputPattern(pattern="result"), OutputPattern(pattern="names")),
        needs=(Need(wall_s=600),),
    )


def ends(central: RunningCentral, job: int) -> list[str]:
    return [one.how for one in central.client.detail(job).attempts]


def test_a_count_survives_a_failure_a_limit_and_the_end_of_a_pilot(tmp_path: Path) -> None:
    with running_central(tmp_path / "central") as central:
        first = central.pilot("PIC")
        (job,) = central.client.submit([a_counting_job()]).ids()

        def third_runs() -> bool:
            view = central.client.detail(job).view
            return (view.epoch, view.state) == (3, JobState.RUNNING)

        eventually(third_runs, what="the third attempt")
        central.pilot("CSCS")
        first.process.send_signal(signal.SIGTERM)
        eventually(lambda: first.events("draining"), what="the drain")
        first.process.send_signal(signal.SIGTERM)
        view = central.client.job(job).wait(timeout_s=60)
        detail = central.client.detail(job)
        central.client.job(job).download("result", tmp_path)
        central.client.job(job).download("names", tmp_path)

        assert view.state is JobState.DONE
        assert ends(central, job) == ["exited", "streams", "drained", "exited"]
        assert [one.checkpoint_bytes > 0 for one in detail.attempts] == [True, True, True, False]
        assert [one.site for one in detail.attempts] == ["PIC", "PIC", "PIC", "CSCS"]
        assert [one.usage["bytes_in"] > 0 for one in detail.attempts] == [False, True, True, True]
        assert (tmp_path / "result").read_text() == "4 steps\n"
        assert (tmp_path / "names").read_text() == "count\n", "and nothing of the rest"
        assert view.failures == 2, "the end of a pilot costs no retry"


# Warned after a second, it ends by itself; the next attempt ends well.
STRETCHES = """
mkdir -p state
[ -e state/saved ] && { echo whole; exit 0; }
trap 'touch state/saved; exit 3' USR1
sleep 30 &
wait
"""


def test_a_warned_payload_that_saves_its_work_and_ends_costs_no_retry(tmp_path: Path) -> None:
    job = Job(
        command=("sh", "-c", STRETCHES),
        checkpoint="state",
        limits=JobLimits(warning_s=599),
        needs=(Need(wall_s=600),),
    )
    with running_central(tmp_path / "central") as central:
        central.pilot("PIC")
        (handle,) = central.client.submit([job]).handles()
        view = handle.wait(timeout_s=60)
        told = handle.history().occurrences

        assert (view.state, view.failures, view.losses) == (JobState.DONE, 0, 0)
        assert ends(central, handle.id) == ["checkpointed", "exited"]
        (warning,) = (one for one in told if one.event == "progress")
        assert warning.detail.startswith("warned: USR1, ")
        assert (warning.epoch, warning.source) == (1, "pilot")
        (end,) = (one for one in told if one.event == "checkpointed")
        assert "ended with exit code 3" in end.detail
