"""What happens on the four sites, one thing after another, and what was seen meanwhile."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pilotage.central.client import Client
from pilotage.central.operate.demo.local_central import LocalCentral
from pilotage.proto.api.explanations import Explanation
from pilotage.proto.api.jobs import JobView
from pilotage.proto.api.sites import HostView, SiteView
from pilotage.proto.job_states import FINAL, JobState

from .sites import BLACK_HOLE, PLEDGES, RealSites
from .work import Work

LOOK_S = 0.5
REFUSES_S = 20.0  # at most: it takes pilots again as soon as the central has seen that it does not
KILL_PILOT_AT, DIES_AT = 0.15, 0.3  # parts of the jobs that are done


@dataclass(frozen=True)
class Sample:
    """One look at all of it."""

    at_s: float
    states: dict[JobState, int]  # of all jobs
    held: dict[str, int | None]  # pilots by site, as the central knows; None: it does not
    queued: dict[str, int | None]
    alive: dict[str, int]  # processes of pilots by site
    slurm: int  # batch jobs that wait and run there, by its own word
    troubles: dict[str, str]


@dataclass
class Outcome:
    """What was seen, and when what happened."""

    samples: list[Sample] = field(default_factory=list[Sample])
    happened: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    explained: dict[str, Explanation] = field(default_factory=dict[str, Explanation])
    told: dict[str, SiteView] = field(default_factory=dict[str, SiteView])  # then, by the central
    holes: list[HostView] = field(default_factory=list[HostView])  # at CSCS, by the central
    took_s: float = 0.0
    calm_s: float = 0.0  # until the first site failed: pledges say who has how much
    jobs: list[JobView] = field(default_factory=list[JobView])

    def shares(self) -> dict[str, float]:
        """Return which part of all pilots each site had while all sites were well."""
        held = dict.fromkeys(PLEDGES, 0)
        for sample in self.samples:
            if sample.at_s < self.calm_s:
                for site, pilots in sample.held.items():
                    held[site] += pilots or 0
        return {site: pilots / max(1, sum(held.values())) for site, pilots in held.items()}

    def share_error(self) -> float:
        """Return by how much the part of a site differs from that of its pledge, at most."""
        shares, pledged = self.shares(), sum(PLEDGES.values())
        return max(abs(shares[site] - pledge / pledged) for site, pledge in PLEDGES.items())


Tell = Callable[[str], None]
Look = Callable[[Sample], None]


@dataclass
class Story:
    """The faults come as the work goes on. `tell` hears of each, `look` sees every sample."""

    sites: RealSites
    central: LocalCentral
    client: Client
    work: Work
    tell: Tell = print
    look: Look = lambda _: None
    outcome: Outcome = field(default_factory=Outcome)

    def run(self, within_s: float) -> Outcome:
        """Return when all jobs that fit have ended, or when the time is over."""
        outcome, began = self.outcome, time.monotonic()
        until, wanted = began + within_s, len(self.work.fits)
        pilot_killed, refused_at, is_refusing = False, 0.0, False
        while time.monotonic() < until:
            sample = self._sample(time.monotonic() - began)
            outcome.samples.append(sample)
            self.look(sample)
            ended = sum(sample.states.get(one, 0) for one in FINAL)
            if ended >= wanted:
                break
            done = sample.states.get(JobState.DONE, 0) / wanted
            if not pilot_killed and done > KILL_PILOT_AT:
                pilot_killed = self.sites.kill_pilot("HOME")
                self._note(sample.at_s, "kill -9 of a pilot at HOME")
            if not refused_at and done > DIES_AT:
                outcome.calm_s, refused_at, is_refusing = sample.at_s, sample.at_s, True
                self._ask()
                self.sites.refuse(True)
                self._note(sample.at_s, "CSCS takes no more pilots")
                self.sites.kill_pool()
                self._note(sample.at_s, "PIC dies: kill -9 of HTCondor and all that it runs")
            was_seen = sample.troubles["CSCS"].startswith("submit: ")
            if is_refusing and (was_seen or sample.at_s > refused_at + REFUSES_S):
                is_refusing = False
                self.sites.refuse(False)
                self._note(sample.at_s, "CSCS takes pilots again")
            time.sleep(LOOK_S)
        outcome.took_s = time.monotonic() - began
        outcome.jobs = list(self.client.search())
        return outcome

    def empty(self, within_s: float) -> None:
        """Look on until the last pilot has gone, which nobody tells it to, or the time is over."""
        began = time.monotonic() - self.outcome.took_s
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            sample = self._sample(time.monotonic() - began)
            self.look(sample)
            if not any(sample.alive.values()):
                break
            time.sleep(LOOK_S)

    def _note(self, at_s: float, what: str) -> None:
        self.outcome.happened.append((at_s, what))
        self.tell(f"{at_s:5.1f} s  {what}")

    def _ask(self) -> None:
        """Ask how pilots are shared, and why the jobs wait that fit nowhere: all sites are well."""
        self.outcome.holes = list(self.client.site("CSCS").hosts)
        self.outcome.told = {one.site: one for one in self.client.sites().sites}
        for kind, ids in self.work.nowhere.items():
            self.outcome.explained[kind] = self.client.explain(ids[0])

    def _sample(self, at_s: float) -> Sample:
        elements = {one.site: one for one in self.client.elements().elements}
        states: dict[JobState, int] = {}
        for row in self.client.summary().rows:
            for state, count in row.counts.items():
                states[state] = states.get(state, 0) + count
        return Sample(
            at_s=at_s,
            states=states,
            held={site: elements[site].pilots for site in PLEDGES},
            queued={site: elements[site].queued for site in PLEDGES},
            alive={site: len(pids) for site, pids in self.sites.pilots().items()},
            slurm=self.sites.slurm.held(),
            troubles={site: elements[site].trouble for site in PLEDGES},
        )


def report(outcome: Outcome, work: Work) -> list[str]:
    """Return what came out, in lines for people."""
    jobs = {one.id: one for one in outcome.jobs}
    fitting = [jobs[job] for job in work.fits]
    done = [one for one in fitting if one.state is JobState.DONE]
    by_site = {site: sum(one.site == site for one in done) for site in PLEDGES}
    shares = outcome.shares()
    pledged = sum(PLEDGES.values())
    lines = [
        f"{len(done)} of {len(fitting)} jobs that fit are Done after {outcome.took_s:.0f} s: "
        + ", ".join(f"{count} at {site}" for site, count in by_site.items()),
        f"{sum(one.failures for one in fitting)} attempts failed on {BLACK_HOLE}, "
        f"{sum(one.losses for one in fitting)} were lost with their pilots; all ran again",
        *(
            f"host {one.host} of CSCS is {one.state}: {one.jobs} jobs of {one.owners} owners "
            f"failed there at once: {one.reason}"
            for one in outcome.holes
        ),
        "pilots while all sites were well: "
        + ", ".join(
            f"{site} {100 * shares[site]:.0f} % (pledge {100 * PLEDGES[site] / pledged:.0f} %)"
            for site in PLEDGES
        ),
    ]
    for kind, told in outcome.explained.items():
        why = "; ".join(f"{one.clause}: wanted {one.wanted}" for one in told.obstacles)
        lines.append(f"{kind}: {len(work.nowhere[kind])} waiting: {why or 'nothing excludes it'}")
        lines += [f"  {note}" for note in told.notes]
    return lines
