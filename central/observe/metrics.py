"""All metrics of the central: their table, and the page that Prometheus reads.

prometheus-client measures and writes. A label shows at most VALUES_MAX values; the others are added
up as `other`.
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
VALUES_MAX: Final = 200  # values of one label, so that the page stays bounded
OTHER: Final = "other"
MEDIA: Final = CONTENT_TYPE_PLAIN_0_0_4
# Buckets from 0.1 ms to 10 s, for all waiting times.
SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class Metric(NamedTuple):
    """One metric: its kind, labels and meaning."""

    kind: str  # gauge | counter | histogram
    labels: tuple[str, ...]
    means: str
    promise: str = ""  # the promises of docs/promises.md that it watches


# `make docs` writes this table into a page.
METRICS: Final[dict[str, Metric]] = {
    "pilotage_build_info": Metric("gauge", ("version",), "1, with the running version"),
    "pilotage_ready": Metric("gauge", (), "1 while the central takes requests", "P7"),
    "pilotage_uptime_seconds": Metric("gauge", (), "since the start"),
    "pilotage_start_seconds": Metric("gauge", (), "duration of the rebuild at the start", "P7"),
    "pilotage_leads": Metric("gauge", (), "1 for the leader, which keeps the queue; else 0", "P12"),
    "pilotage_term": Metric("gauge", (), "term of this leader", "P12"),
    "pilotage_events_total": Metric(
        "counter",
        ("event",),
        "log events, including debug ones (docs/events.md)",
        "P1 P2 P3 P4 P8",
    ),
    "pilotage_pilot_events_total": Metric(
        "counter", ("event",), "events that pilots reported (docs/pilot-events.md)"
    ),
    "pilotage_pilot_log_bytes": Metric("gauge", (), "compressed size of all pilot logs"),
    "pilotage_jobs": Metric("gauge", ("state",), "jobs, without deleted ones"),
    "pilotage_site_running": Metric("gauge", ("site",), "running jobs"),
    "pilotage_hosts_suspended": Metric(
        "gauge", ("site",), "hosts without new jobs, because job after job failed there"
    ),
    "pilotage_classes": Metric("gauge", (), "classes of jobs in memory"),
    "pilotage_attempts": Metric("gauge", ("phase",), "live or open attempts"),
    "pilotage_lease_overdue_seconds": Metric(
        "gauge", (), "age of the most overdue lease; above 10 breaks the promise", "P6"
    ),
    "pilotage_wanted_oldest_seconds": Metric(
        "gauge",
        (),
        "age of the oldest kill, hold or reschedule that waits for its pilot",
        "P9",
    ),
    "pilotage_results_undelivered": Metric(
        "gauge", (), "results that pilots could not deliver so far"
    ),
    "pilotage_results_undelivered_oldest_seconds": Metric(
        "gauge", (), "age of the oldest of these results"
    ),
    "pilotage_attempts_over_wall": Metric(
        "gauge", (), "attempts that live 15 minutes after their wall limit"
    ),
    "pilotage_attempts_ended_total": Metric(
        "counter", ("how",), "ended attempts; `lease_over`: without a report from the pilot"
    ),
    "pilotage_used_cpu_seconds_total": Metric(
        "counter", ("site",), "CPU time of ended attempts, with or without result"
    ),
    "pilotage_used_wall_seconds_total": Metric("counter", ("site",), "wall time of these attempts"),
    "pilotage_staged_in_bytes_total": Metric("counter", ("site",), "fetched inputs"),
    "pilotage_staged_out_bytes_total": Metric(
        "counter", ("site",), "uploaded outputs, streams and checkpoints"
    ),
    "pilotage_attempt_memory_peak_megabytes": Metric("histogram", (), "peak memory of attempts"),
    "pilotage_attempt_scratch_peak_megabytes": Metric("histogram", (), "peak disk use of attempts"),
    "pilotage_pilots": Metric("gauge", ("state",), "pilots in memory"),
    "pilotage_pilots_silent": Metric("gauge", (), "live pilots with late heartbeats", "P10"),
    "pilotage_offers_parked": Metric("gauge", (), "pilots that wait for work"),
    "pilotage_others_submissions_total": Metric(
        "counter", (), "submissions from other processes, queued here"
    ),
    "pilotage_others_lag_seconds": Metric(
        "gauge", (), "longest wait of submissions from other processes at the last poll", "P3"
    ),
    "pilotage_others_unseen_seconds": Metric(
        "gauge", (), "time since that poll; above 5 s polling has stopped", "P3"
    ),
    "pilotage_failover_decisions_total": Metric(
        "counter",
        ("do",),
        "decisions of failover, by rule steps (docs/failures.md)",
        "P13",
    ),
    "pilotage_failover_cycle_age_seconds": Metric(
        "gauge", (), "since failover last checked all transformations", "P13"
    ),
    "pilotage_failover_mail_fails_seconds": Metric(
        "gauge", (), "time without a successful mail; 0: the last one succeeded", "P13"
    ),
    "pilotage_remnants": Metric(
        "gauge", ("storage",), "files and folders that no catalogue entry needs"
    ),
    "pilotage_remnant_bytes": Metric("gauge", ("storage",), "bytes of these files"),
    "pilotage_remnants_failing": Metric(
        "gauge", ("storage",), "of these, those whose removal has failed so far"
    ),
    "pilotage_remnants_gone_total": Metric("counter", ("storage",), "removed files and folders"),
    "pilotage_remnant_bytes_gone_total": Metric("counter", ("storage",), "bytes of these files"),
    "pilotage_bus_up": Metric("gauge", (), "1 while connected, or without a broker", "P10"),
    "pilotage_bus_messages_total": Metric("counter", ("what",), "messages by outcome", "P10"),
    "pilotage_http_requests_total": Metric("counter", ("route", "status"), "requests"),
    "pilotage_turn_seconds": Metric(
        "histogram", (), "a turn of a pilot, synced and answered", "P5"
    ),
    "pilotage_store_write_seconds": Metric(
        "histogram", (), "a durable test write, every ten seconds", "P5"
    ),
    "pilotage_store_operations_total": Metric("counter", (), "committed writes", "P1"),
    "pilotage_store_commits_total": Metric("counter", (), "commits, each synced", "P1 P5"),
    "pilotage_disk_short": Metric("gauge", (), "1 while uploads or submissions are refused", "P11"),
    "pilotage_store_full": Metric("gauge", (), "1 while the disk is full", "P11"),
    "pilotage_store_bytes": Metric("gauge", ("file",), "size of the store and its log"),
    "pilotage_disk_free_bytes": Metric("gauge", (), "free space of the data directory", "P11"),
    "pilotage_loop_late_seconds": Metric(
        "histogram", (), "delay of a check every second, when the loop is busy", "P3 P6"
    ),
    "pilotage_certificate_expires_seconds": Metric(
        "gauge", (), "remaining life of the certificate"
    ),
    "pilotage_credential_expires_seconds": Metric(
        "gauge",
        ("site", "element"),
        "remaining life of the credential for a compute element; ≤0: expired",
    ),
    "pilotage_rucio_poll_age_seconds": Metric(
        "gauge", ("rucio",), "since the last good poll of the input polled longest ago"
    ),
    "pilotage_outbox_entries": Metric(
        "gauge", ("rucio", "state"), "outputs in the outbox; Clash: the server cannot take them"
    ),
    "pilotage_outbox_oldest_seconds": Metric(
        "gauge", ("rucio",), "age of the oldest output that waits for a server"
    ),
    "process_resident_memory_bytes": Metric("gauge", (), "memory of the process"),
    "process_cpu_seconds_total": Metric("counter", (), "CPU time of the process"),
    "process_open_fds": Metric("gauge", (), "open files"),
    "process_max_fds": Metric("gauge", (), "limit of open files"),
}


# Otherwise each histogram adds a metric `_created`, which our table does not have.
disable_created_metrics()  # type: ignore[no-untyped-call]


def histogram(name: str, bounds: Sequence[float] = SECONDS) -> Histogram:
    """Return a histogram of the table. Raises KeyError if the table lacks it, which is a bug."""
    return Histogram(name, METRICS[name].means, buckets=bounds, registry=None)


class MetricsPage:
    """The page under construction. Raises KeyError if the table lacks a name, which is a bug."""

    def __init__(self, families: Iterable[Family] = ()) -> None:
        self._families = list(families)

    def put(self, name: str, value: float) -> None:
        """Add a metric without a label."""
        self._add(name, {(): value})

    def put_all(self, name: str, values: Mapping[str, float]) -> None:
        """Add a metric with one label. Only the VALUES_MAX largest values are shown by name."""
        ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
        rest = sum(value for _, value in ordered[VALUES_MAX:])
        shown = ordered[:VALUES_MAX] + ([(OTHER, rest)] if len(ordered) > VALUES_MAX else [])
        self._add(name, {(word,): value for word, value in sorted(shown)})

    def put_pairs(
        self, name: str, values: Mapping[tuple[str, Second], float], most: int | None = None
    ) -> None:
        """Add a metric with two labels: all values, or only the `most` smallest ones."""
        smallest = sorted(values.items(), key=lambda item: item[1])[:most]
        self._add(name, {(one, str(other)): value for (one, other), value in sorted(smallest)})

    def put_histogram(self, measured: Histogram) -> None:
        """Add the counts of a histogram."""
        self._families += measured.collect()

    def parts(self) -> Iterator["MetricsPage"]:
        """Yield one page for each metric. Their joined texts equal the text of this page."""
        return (MetricsPage([family]) for family in self._families)

    def collect(self) -> Iterable[Family]:
        """Return the metrics of the page, in the form that prometheus-client needs."""
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
