"""A real central lets go of what is over, while it works; series and accounts stay."""

from pathlib import Path

from pilotage.central.client import Client
from pilotage.proto.api.accounts import AccountsBy
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState

from .running import eventually, running_central

SOON = {
    "retention.round_s": "1",
    "retention.done_days": "0.00002",  # two seconds
    "retention.failed_days": "0",
}


def test_done_jobs_go_failed_ones_stay_and_the_books_know_both(tmp_path: Path) -> None:
    with running_central(tmp_path / "one", SOON) as central:
        client = central.client
        central.pilot("PIC", cores=2)
        need = (Need(wall_s=600),)
        client.submit([Job(command=("true",), needs=need)] * 6)
        (failed,) = client.submit([Job(command=("false",), needs=need)]).ids()
        eventually(lambda: central.events("pruned"), what="the first to go")
        eventually(lambda: client.summary().total == 1, what="the end of what is done")

        assert {job.id for job in client.search()} == {failed}
        assert client.detail(failed).view.state is JobState.FAILED
        said = central.type("doctor", "--data", str(central.data), "--store")
        assert not [line for line in said.splitlines() if line.startswith("fault")]

        central.restart()
        assert client.summary().total == 1
        assert _counted(client) == {"PIC": (6, 1)}
        assert "PIC" in central.type("accounts", "--by", "site")
        assert "running" in central.type("series", "--step-s", "10")


def _counted(client: Client) -> dict[str, tuple[int, int]]:
    lines = client.accounts(by=AccountsBy.SITE).lines
    return {line.key: (line.done, line.failed) for line in lines}
