"""Two communities in one factory: each has its own pilots, and its share of them."""

import signal
from collections import Counter
from pathlib import Path

from pilotage import Client, Job, Need
from pilotage.central.operate.demo.local_central import local_central
from pilotage.proto.api.sites import SiteActionName
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import LIVING
from tests.acceptance.running import eventually

JOBS = {"lst": 6, "ctao": 12, "nobody": 1}
HOME = """\
communities: {ctao: 2, lst: 1, lts: 1}
elements:
  here: {kind: local, pilots_max: 3, submit_max: 3, pilot: {benchmark_s: 0, isolation: session}}
"""
SETTINGS = {"factory.every_s": "0.5", "community.name": "ctao", "community.others": "[lst]"}


def test_no_pilot_runs_jobs_of_another_community_and_shares_are_kept(tmp_path: Path) -> None:
    sites = tmp_path / "sites"
    sites.mkdir()
    (sites / "OTHER.yaml").write_text("communities: {ctao: much}\nelements: {}\n")
    settings = {**SETTINGS, "factory.sites": str(sites)}
    job = Job(command=("sleep", "0.1"), needs=(Need(wall_s=600),))
    with local_central(tmp_path / "data", settings) as central, Client(data=central.data) as admin:
        of: dict[int, str] = {}
        for name, count in JOBS.items():
            wanted = TokenIssue(subject="ada", community=name, groups=("users",), valid_s=3_600)
            with Client(central.url, admin.issue_token(wanted).token) as client:
                of |= dict.fromkeys(client.submit([job] * count).ids(), name)
        (sites / "HOME.yaml").write_text(HOME)  # all of them wait by now
        central.process.send_signal(signal.SIGHUP)
        done = {job for job, name in of.items() if name != "nobody"}
        eventually(lambda: {one.id for one in admin.search() if one.state is JobState.DONE} == done)
        pilots = {one.id: one.community for one in admin.pilots()}
        ran = {job: admin.detail(job).attempts for job in of}
        site = admin.sites().sites[0]
        lost = admin.explain(max(of))
        admin.act_on_site("HOME", SiteActionName.DRAIN)
        eventually(lambda: not [*admin.pilots(states=LIVING)], what="the end of the pilots")

    assert all(pilots[one.pilot] == of[job] for job, tries in ran.items() for one in tries)
    assert Counter(pilots.values()) == {"ctao": 2, "lst": 1}
    shares = {one.community: (one.share_wanted, one.pilots) for one in site.communities}
    assert shares == {"ctao": (2 / 3, 2), "lst": (1 / 3, 1)}
    assert "did you mean 'lst'" in site.trouble
    assert any("not of 'nobody'" in note for note in lost.notes), lost
