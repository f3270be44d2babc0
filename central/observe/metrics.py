"""All metrics of the central: one table, and the page of them that Prometheus reads.

prometheus-client measures and writes. A label has at most VALUES_MAX values; the rest is `other`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    Histogram,
    Metric as Family,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Second = TypeVar("Second", str, int)  # a second label
VALUES_MAX: Final = 200  # of one label, so that no installation grows without a bound
OTHER: Final = "other"
MEDIA: Final = CONTENT_TYPE_PLAIN_0_0_4
# From 0.1 ms to 10 s, for whatever somebody waits for.
SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class Metric(NamedTuple):
    """One metric: its kind, its labels if it has any, and what it means."""

    kind: str  # gauge | counter | histogram
    labels: tuple[str, ...]
    means: str
    promise: str = ""  # which of docs/promises.md it watches


# `make docs` writes this table into a page.
METRICS: Final[dict[str, Metric]] = {
    "pilotage_build_info": Metric("gauge", ("version",), "1, and the version that runs"),
    "pilotage_ready": Metric("gauge", (), "1 while requests are taken", "P7"),
    "pilotage_uptime_seconds": Metric("gauge", (), "since the start"),
    "pilotage_start_seconds": Metric("gauge", (), "what the rebuild at the start took", "P7"),
    "pilotage_leads": Metric(
        "gauge", (), "1 where the queue is kept; 0: another process does that, or nobody", "P12"
    ),
    "pilotage_term": Metric("gauge", (), "of the leader that this is", "P12"),
    "pilotage_events_total": Metric(
        "counter",
        ("event",),
        "events of the log, quiet ones too (docs/events.md)",
        "P1 P2 P3 P4 P8",
    ),
    "pilotage_pilot_events_total": Metric(
        "counter", ("event",), "events that pilots have told of (docs/pilot-events.md)"
    ),
    "pilotage_pilot_log_bytes": Metric("gauge", (), "what the logs of all pilots take, packed"),
    "pilotage_jobs": Metric("gauge", ("state",), "jobs in a state, deleted ones left out"),
    "pilotage_site_running": Metric("gauge", ("site",), "jobs that run at a site"),
    "pilotage_hosts_suspended": Metric(
        "gauge", ("site",), "hosts of a site that get no jobs: they fail there one after another"
    ),
    "pilotage_classes": Metric("gauge", (), "kinds of jobs in memory"),
    "pilotage_attempts": Metric("gauge", ("phase",), "attempts that are live, or still open"),
    "pilotage_lease_overdue_seconds": Metric(
        "gauge", (), "how long the most overdue lease is over; above 10 the promise is broken", "P6"
    ),
    "pilotage_wanted_oldest_seconds": Metric(
        "gauge",
        (),
        "how long the oldest kill, hold or reschedule waits for its pilot",
        "P9",
    ),
    "pilotage_results_undelivered": Metric(
        "gauge", (), "results that their pilots have failed to deliver so far"
    ),
    "pilotage_results_undelivered_oldest_seconds": Metric(
        "gauge", (), "since the payload of the oldest of these has ended"
    ),
    "pilotage_attempts_over_wall": Metric(
        "gauge", (), "attempts that are live 15 minutes after their wall limit was over"
    ),
    "pilotage_attempts_ended_total": Metric(
        "counter", ("how",), "attempts that ended, by how; lease_over: their pilots have not told"
    ),
    "pilotage_used_cpu_seconds_total": Metric(
        "counter", ("site",), "CPU time of attempts that ended, results or not"
    ),
    "pilotage_used_wall_seconds_total": Metric("counter", ("site",), "for how long they ran"),
    "pilotage_staged_in_bytes_total": Metric("counter", ("site",), "input that was brought"),
    "pilotage_staged_out_bytes_total": Metric(
        "counter", ("site",), "outputs, streams and checkpoints that were uploaded"
    ),
    "pilotage_attempt_memory_peak_megabytes": Metric(
        "histogram", (), "the most memory that an attempt used"
    ),
    "pilotage_attempt_scratch_peak_megabytes": Metric(
        "histogram", (), "the most disk that an attempt used"
    ),
    "pilotage_pilots": Metric("gauge", ("state",), "pilots in memory"),
    "pilotage_pilots_silent": Metric("gauge", (), "living pilots whose beats are late", "P10"),
    "pilotage_offers_parked": Metric("gauge", (), "pilots that wait for work"),
    "pilotage_others_submissions_total": Metric(
        "counter", (), "submissions that other processes have taken in, queued here"
    ),
    "pilotage_others_lag_seconds": Metric(
        "gauge", (), "of those of the last look, how long the oldest had waited for it", "P3"
    ),
    "pilotage_others_unseen_seconds": Metric(
        "gauge", (), "since the last look for them; above 5 the store is not read", "P3"
    ),
    "pilotage_failover_decisions_total": Metric(
        "counter",
        ("do",),
        "what failover has done, by steps of its rules (docs/failures.md)",
        "P13",
    ),
    "pilotage_failover_cycle_age_seconds": Metric(
        "gauge", (), "since failover has looked at all transformations", "P13"
    ),
    "pilotage_failover_mail_fails_seconds": Metric(
        "gauge", (), "for how long no report could be mailed; 0: the last one went", "P13"
    ),
    "pilotage_remnants": Metric(
        "gauge", ("storage",), "files and folders that no file names any more, until they are gone"
    ),
    "pilotage_remnant_bytes": Metric("gauge", ("storage",), "bytes of these files"),
    "pilotage_remnants_failing": Metric(
        "gauge", ("storage",), "of these, those that could not be removed yet"
    ),
    "pilotage_remnants_gone_total": Metric(
        "counter", ("storage",), "files and folders that were removed, ever"
    ),
    "pilotage_remnant_bytes_gone_total": Metric("counter", ("storage",), "bytes of these files"),
    "pilotage_bus_up": Metric("gauge", (), "1 while connected, or without a broker", "P10"),
    "pilotage_bus_messages_total": Metric(
        "counter", ("what",), "messages, by what became of them", "P10"
    ),
    "pilotage_http_requests_total": Metric("counter", ("route", "status"), "requests"),
    "pilotage_turn_seconds": Metric("histogram", (), "a turn of a pilot, synced, answered", "P5"),
    "pilotage_store_write_seconds": Metric(
        "histogram", (), "a durable write, tried every ten seconds", "P5"
    ),
    "pilotage_store_operations_total": Metric("counter", (), "writes that were committed", "P1"),
    "pilotage_store_commits_total": Metric("counter", (), "commits: each synced", "P1 P5"),
    "pilotage_disk_short": Metric("gauge", (), "1 while uploads or submissions are refused", "P11"),
    "pilotage_store_full": Metric("gauge", (), "1 while the disk is full", "P11"),
    "pilotage_store_bytes": Metric("gauge", ("file",), "size of the store and of its log"),
    "pilotage_disk_free_bytes": Metric("gauge", (), "room where the data directory is", "P11"),
    "pilotage_loop_late_seconds": Metric(
        "histogram", (), "how late the watch came round, once a second: the loop was busy", "P3 P6"
    ),
    "pilotage_certificate_expires_seconds": Metric("gauge", (), "life left of the certificate"),
    "pilotage_credential_expires_seconds": Metric(
        "gauge",
        ("site", "element"),
        "life left of the credential by which a compute element knows us; 0 or less: it is over",
    ),
    "process_resident_memory_bytes": Metric("gauge", (), "memory of the process"),
    "process_cpu_seconds_total": Metric("counter", (), "CPU time of the process"),
    "process_open_fds": Metric("gauge", (), "open files"),
    "process_max_fds": Metric("gauge", (), "how many may be open"),
}


# Else each histogram has a second metric, `_created`, which would be on no list of ours.
disable_created_metrics()  # type: ignore[no-untyped-call]


def histogram(name: str, bounds: Sequence[float] = SECONDS) -> Histogram:
    """Return a histogram of the table. A name that the table does not have is a KeyError: a bug."""
    return Histogram(name, METRICS[name].means, buckets=bounds, registry=None)


class MetricsPage:
    """The page as it comes together. A name that the table does not have is a KeyError: a bug."""

    def __init__(self, families: Iterable[Family] = ()) -> None:
        self._families = list(families)

    def put(self, name: str, value: float) -> None:
        """Put a metric without a label."""
        self._add(name, {(): value})

    def put_all(self, name: str, values: Mapping[str, float]) -> None:
        """Put a metric for each value of its label, the largest first where there are too many."""
        ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
        rest = sum(value for _, value in ordered[VALUES_MAX:])
        shown = ordered[:VALUES_MAX] + ([(OTHER, rest)] if len(ordered) > VALUES_MAX else [])
        self._add(name, {(word,): value for word, value in sorted(shown)})

    def put_pairs(
        self, name: str, values: Mapping[tuple[str, Second], float], most: int | None = None
    ) -> None:
        """Put a metric of two labels: all of it, or only the smallest values."""
        smallest = sorted(values.items(), key=lambda item: item[1])[:most]
        self._add(name, {(one, str(other)): value for (one, other), value in sorted(smallest)})

    def put_histogram(self, measured: Histogram) -> None:
        """Put what a histogram has counted."""
        self._families += measured.collect()

    def parts(self) -> Iterator["MetricsPage"]:
        """Yield each metric as a page of its own: joined, their texts are the text of the page."""
        return (MetricsPage([family]) for family in self._families)

    def collect(self) -> Iterable[Family]:
        """Return what is on the page, as prometheus-client asks for it."""
        return self._families

    def text(self) -> str:
        """Return the page in the text format of Prometheus, version 0.0.4."""
        return generate_latest(self).decode()

    def _add(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        kind, labels, means, _ = METRICS[name]
        family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(
            name, means, labels=labels
        )
        for words, value in values.items():
            assert len(words) == len(labels), name
            family.add_metric(words, value)
        self._families.append(family)
