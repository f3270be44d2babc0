"""The page of metrics: its form, its bounds, and that the alarms name what exists."""

import re

import pytest

from pilotage.central.observe.counting_log import CountingLog
from pilotage.central.observe.events import EVENTS, no_log
from pilotage.central.observe.metrics import METRICS, OTHER, VALUES_MAX, MetricsPage, histogram

LINE = re.compile(r'[a-z_]+(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")?\})? -?[0-9.e+-]+')


def lines(page: MetricsPage) -> list[str]:
    return [line for line in page.text().splitlines() if not line.startswith("#")]


def test_each_line_has_the_form_that_is_read() -> None:
    page, turns = MetricsPage(), histogram("pilotage_turn_seconds", (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        turns.observe(value)
    page.put("pilotage_ready", True)
    page.put_all("pilotage_jobs", {'od"d\n': 3, "Done": 2.5})
    page.put_pairs("pilotage_http_requests_total", {("/v1/turn", 200): 7})
    page.put("pilotage_store_commits_total", 12_000_000)
    page.put_histogram(turns)

    assert lines(page) == [
        "pilotage_ready 1.0",
        'pilotage_jobs{state="Done"} 2.5',
        r'pilotage_jobs{state="od\"d\n"} 3.0',
        'pilotage_http_requests_total{route="/v1/turn",status="200"} 7.0',
        "pilotage_store_commits_total 1.2e+07",
        'pilotage_turn_seconds_bucket{le="0.1"} 2.0',
        'pilotage_turn_seconds_bucket{le="1.0"} 3.0',
        'pilotage_turn_seconds_bucket{le="+Inf"} 4.0',
        "pilotage_turn_seconds_count 4.0",
        "pilotage_turn_seconds_sum 7.65",
    ]
    assert page.text().count("# TYPE pilotage_jobs gauge\n") == 1
    assert page.text().count("# TYPE pilotage_store_commits_total counter\n") == 1
    assert "".join(part.text() for part in page.parts()) == page.text()


def test_no_label_has_more_values_than_its_bound() -> None:
    page = MetricsPage()
    page.put_all("pilotage_site_running", {f"site{i}": i for i in range(VALUES_MAX + 50)})
    shown = lines(page)

    assert len(shown) == VALUES_MAX + 1
    assert f'{{site="{OTHER}"}} {sum(range(50))}.0' in "".join(shown)


def test_of_two_labels_the_smallest_values_are_shown() -> None:
    page = MetricsPage()
    left_s = {("PIC", f"ce{i}"): float(i - 1) for i in range(VALUES_MAX + 50)}
    page.put_pairs("pilotage_credential_expires_seconds", left_s, most=VALUES_MAX)
    shown = lines(page)

    assert len(shown) == VALUES_MAX
    assert 'pilotage_credential_expires_seconds{element="ce0",site="PIC"} -1.0' in shown
    assert f'element="ce{VALUES_MAX}"' not in "".join(shown)


def test_a_metric_that_the_table_does_not_have_is_a_bug() -> None:
    with pytest.raises(KeyError):
        MetricsPage().put("pilotage_surprise", 1)


def test_each_event_is_counted_from_the_start() -> None:
    log = CountingLog(no_log)
    log("bus_up", url="mqtt://x")

    assert set(log.counts) == set(EVENTS)
    assert log.counts["bus_up"] == 1


@pytest.mark.parametrize("name", METRICS)
def test_names_are_as_prometheus_wants_them(name: str) -> None:
    metric = METRICS[name]

    assert re.fullmatch(r"(pilotage|process)_[a-z_]+", name)
    assert (metric.kind == "counter") == name.endswith("_total")
    assert metric.means
