"""All goals, in one place. They hold on a quiet machine of two cores."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A bound on a figure."""

    bound: float
    unit: str
    at_least: bool  # otherwise: at most

    @property
    def text(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:,.10g}"

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def _least(bound: float, unit: str) -> Goal:
    return Goal(bound, unit, at_least=True)


def _most(bound: float, unit: str) -> Goal:
    return Goal(bound, unit, at_least=False)


GOALS: dict[tuple[str, str], Goal] = {
    ("submit", "parametric, 100 000 in one call"): _least(200_000, "jobs/s"),
    ("submit", "distinct, 1 000 a call"): _least(50_000, "jobs/s"),
    ("submit", "neighbour's single commit, p99"): _most(15, "ms"),
    ("latency", "namespaces, p50"): _most(8, "ms"),
    ("latency", "namespaces, p99"): _most(20, "ms"),
    ("noop", "plain rung"): _least(475, "jobs/s"),
    ("noop", "central's CPU, plain rung"): _most(200, "µs/job"),
    ("surface", "outputs of 10 kB, whole command"): _least(2_000, "files/s"),
    ("surface", "graph of 100000 jobs, submitted"): _most(3, "s"),
    ("surface", "parent ended → child matched, p99"): _most(20, "ms"),
    ("surface", "Executor.map, short calls"): _least(300, "calls/s"),
    ("surface", "Executor.submit, of HyperQueue's rate"): _least(100, "%"),
    ("status", "summary request, p99"): _most(5, "ms"),
    ("status", "status request, p99"): _most(50, "ms"),
    ("status", "filtered search, p99"): _most(50, "ms"),
    ("status", "pilotage summary, whole command"): _most(300, "ms"),
    ("status", "pilotage status, whole command"): _most(300, "ms"),
    ("identity", "own token from memory, beyond a bare lookup"): _most(1, "µs"),
    ("identity", "token of a provider, ES256, first seen"): _most(1, "ms"),
    ("identity", "token of a provider, RS256, first seen"): _most(1, "ms"),
    ("data", "one stream, get with Adler-32: davs, of curl"): _least(80, "%"),
    ("data", "one stream, get: davs, of curl and sha256sum"): _least(100, "%"),
    ("data", "one stream, put: davs, of curl"): _least(80, "%"),
    ("data", "files of 1 MB: data get, of xrdcp --cksum"): _least(70, "%"),
    ("data", "objects of 1 MB: data get, of aws s3 cp"): _least(100, "%"),
    ("data", "a staged file, CPU of pilot and guard"): _most(15, "ms/file"),
    ("data", "outbox to Rucio"): _least(50, "files/s"),
    ("catalogue", "registered"): _least(10_000, "files/s"),
    ("catalogue", "12-key query, first after a start"): _most(100, "ms"),
    ("catalogue", "12-key query, pages one after another, p99"): _most(100, "ms"),
    ("catalogue", "12-key query of one run, p99"): _most(100, "ms"),
    ("catalogue", "changes since, 1 000 files, p99"): _most(20, "ms"),
    ("cleaning", "from the request to Cleaned"): _most(10, "s"),
    ("cleaning", "neighbour's requests, p99"): _most(50, "ms"),
    ("cleaning-postgresql", "from the request to Cleaned"): _most(10, "s"),
    ("cleaning-postgresql", "neighbour's requests, p99"): _most(50, "ms"),
    ("cwl", "scatter, until all jobs are stored"): _most(5, "s"),
    ("cwl", "an element, beyond a plain job"): _most(0.5, "ms"),
    ("transformations", "100000 tasks of 10 files"): _most(60, "s"),
    ("transformations", "10000 tasks"): _most(10, "s"),
    ("transformations", "status of one with 10^6 files, p99"): _most(200, "ms"),
    ("transformations", "1000 active ones, idle"): _most(2, "% of a core"),
    ("matcher", "LHCb, 5 000 pilots"): _least(100_000, "matches/s"),
    ("matcher", "LHCb, one match() call, p99"): _most(40, "µs"),
    ("matcher", "10^6 jobs, 10 000 classes, all clauses"): _least(50_000, "matches/s"),
    ("matcher", "10^5 jobs of distinct needs"): _least(20_000, "matches/s"),
    ("matcher", "10^7 jobs, 1 000 classes"): _least(100_000, "matches/s"),
    ("matcher", "10^7 jobs, whole process"): _most(400, "MB"),
    ("matcher", "memory of a waiting job"): _most(20, "B"),
    ("matcher", "add to existing classes"): _least(1_000_000, "jobs/s"),
    ("matcher", "make new classes"): _least(20_000, "classes/s"),
    ("matcher", "new job → one of 20 000 parked offers"): _most(20, "µs"),
    ("matcher", "explain a job against 20 000 offers"): _most(20, "ms"),
    ("matcher", "rebuild of 10^6 from (class, job) pairs"): _most(1, "s"),
    ("matcher", "longest operation, 10^6 jobs of LHCb"): _most(5, "ms"),
    ("matcher", "longest operation, one class of 10^6"): _most(5, "ms"),
    ("matcher", "longest operation, classes come and go"): _most(5, "ms"),
    ("dispatch", "one job a request"): _least(7_000, "jobs/s"),
    ("dispatch", "one job a request, p99"): _most(20, "ms"),
    ("dispatch", "one job a request, central's CPU"): _most(140, "µs/job"),
    ("dispatch", "32 a request, scattered"): _least(20_000, "jobs/s"),
    ("dispatch", "32 a request, scattered, p99"): _most(25, "ms"),
    ("dispatch", "32 a request, row order"): _least(50_000, "jobs/s"),
    ("dispatch", "32 a request, row order, p99"): _most(25, "ms"),
    ("dispatch", "one job a request, TLS"): _least(85, "% of plain"),
    ("dispatch", "one job a request, beside bulks, p99"): _most(25, "ms"),
    ("dispatch", "resident, 10^6 queued"): _most(200, "MB"),
    ("life", "batches of 32, scattered"): _least(10_000, "jobs/s"),
    ("life", "batches of 32, scattered, central's CPU"): _most(90, "µs/job"),
    ("life", "batches of 32, row order, central's CPU"): _most(50, "µs/job"),
    ("life", "one at a time, scattered"): _least(4_000, "jobs/s"),
    ("life", "one at a time, scattered, central's CPU"): _most(240, "µs/job"),
    ("life", "batches of 32, TLS"): _least(85, "% of plain"),
    ("life", "one at a time, TLS"): _least(85, "% of plain"),
    ("rebuild", "first match, 1000000 waiting"): _most(3, "s"),
    ("dispatch-postgresql", "one job a request"): _least(3_000, "jobs/s"),
    ("dispatch-postgresql", "32 a request, scattered"): _least(12_000, "jobs/s"),
    ("dispatch-postgresql", "one job a request, to the loop"): _least(1, "times"),
    ("dispatch-postgresql", "32 a request, to the loop"): _least(3, "times"),
    ("life-postgresql", "batches of 32, scattered"): _least(5_000, "jobs/s"),
    ("life-postgresql", "batches of 32, scattered, central's CPU"): _most(120, "µs/job"),
    ("rebuild-postgresql", "first match, 1000000 waiting"): _most(8, "s"),
    ("rebuild-postgresql", "first match of a hot standby, 1000000 waiting"): _most(8, "s"),
    ("dispatch-postgresql", "one job a request, beside two apis, p99"): _most(120, "% of alone"),
    ("day", "central at real pace"): _most(3, "% of a core"),
    ("factory", "plan, 1000 elements, 10000 classes"): _most(200, "ms"),
    ("factory", "fill, 5500 slots"): _least(200, "pilots/s"),
    ("factory", "limits passed"): _most(0, "times"),
    ("factory", "slots left empty"): _most(0, "slots"),
    ("factory", "idle Slurm, start to first payload"): _most(2, "s"),
    ("factory", "by pilots, of the time by sbatch"): _most(50, "%"),
    ("heartbeats", "central"): _most(50, "% of a core"),
    ("heartbeats", "loop lag, p99"): _most(10, "ms"),
    ("heartbeats", "leases that ended"): _most(0, "attempts"),
    ("heartbeats", "beats not answered"): _most(0, "beats"),
    **{
        ("pilot", f"{begin}{name}"): goal
        for begin in ("", "Python 3.9, ")
        for name, goal in (
            ("namespaces: CPU of pilot and guard", _most(5, "ms/job")),
            ("unshare: CPU of pilot and guard", _most(5, "ms/job")),
            ("plain: CPU of pilot and guard", _most(3, "ms/job")),
            ("namespaces: share of the bare loop", _least(60, "%")),
            ("pilot, resident", _most(40, "MB")),
            ("guard, resident", _most(12, "MB")),
            ("start to first ask", _most(0.5, "s")),
        )
    },
    ("soak", "memory, slope"): _most(1, "%/h"),
    ("soak", "open files, slope"): _most(1, "files/h"),
}
