"""The alarms: each rule is about metrics that exist and has its section in the operator's guide."""

import json
import re

import pytest
import yaml

from pilotage.central.observe.events import EVENTS
from pilotage.central.observe.metrics import METRICS
from pilotage.proto.job_states import JobState
from tests.docs.promql import NeverMatches, labels_of
from tests.tidy import tree

RULES = yaml.safe_load(tree.text("deploy/monitoring/alerts.yml"))["groups"][0]["rules"]
DASHBOARD = json.loads(tree.text("deploy/monitoring/dashboard.json"))
GUIDE = tree.text("docs/operations/alarms.md")
COLUMNS = {"up": ()} | {
    name + end: (*metric.labels, *(("le",) if end == "_bucket" else ()))
    for name, metric in METRICS.items()
    for end in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}


def test_each_rule_has_its_section_and_each_section_its_rule() -> None:
    sections = re.findall(r"^## (\w+)$", GUIDE, re.MULTILINE)

    assert sections == [rule["alert"] for rule in RULES]
    for rule in RULES:
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (file, anchor) == ("docs/operations/alarms.md", rule["alert"].lower())
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")


def test_rules_and_panels_name_metrics_events_and_states_that_exist() -> None:
    rules = [rule["expr"] for rule in RULES]
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert len(panels) > 15
    for expression in rules + panels:
        named = set(re.findall(r"\b(?:pilotage|process)_\w+", expression))
        plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
        events = {
            event
            for found in re.findall(r'event=~?"([^"]+)"', expression)
            for event in found.split("|")
        }
        states = {
            state
            for found in re.findall(r'state=~?"([^"]+)"', expression)
            for state in found.split("|")
        }

        assert plain <= set(METRICS), expression
        assert events <= set(EVENTS), expression
        assert states <= {state.value for state in JobState}, expression


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_the_sides_of_each_operator_in_a_rule_have_series_in_common(rule: dict[str, str]) -> None:
    assert labels_of(rule["expr"], COLUMNS) is not None


def test_the_sides_of_each_operator_on_a_panel_have_series_in_common() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            assert labels_of(target["expr"], COLUMNS) is not None, panel["title"]


@pytest.mark.parametrize(
    "silent",
    [
        'pilotage_events_total{event="requeued"} > 0.2 * pilotage_events_total{event="matched"}',
        'pilotage_ready == 1 and pilotage_jobs{state="Waiting"}',
        "pilotage_ready == 1 and sum(pilotage_jobs)",
        "rate(pilotage_turn_seconds_bucket[5m]) > rate(pilotage_turn_seconds_count[5m])",
    ],
)
def test_a_rule_that_could_never_ring_is_noticed(silent: str) -> None:
    with pytest.raises(NeverMatches):
        labels_of(silent, COLUMNS)


@pytest.mark.parametrize(
    "rings",
    [
        'pilotage_jobs{state="Done"} > ignoring(state) pilotage_jobs{state="Failed"}',
        "pilotage_ready == on(instance) sum by (instance) (pilotage_jobs)",
        "sum(pilotage_jobs) == 0 and sum(pilotage_pilots) > 0",
    ],
)
def test_a_rule_that_can_ring_is_let_be(rings: str) -> None:
    assert labels_of(rings, COLUMNS) is not None


def test_each_metric_of_a_promise_is_watched_or_on_a_page() -> None:
    watched = " ".join(rule["expr"] for rule in RULES)
    promised = [name for name, metric in METRICS.items() if metric.promise]
    of_use_only = {
        "pilotage_term",
        "pilotage_start_seconds",
        "pilotage_bus_messages_total",
        "pilotage_store_operations_total",
        "pilotage_store_commits_total",
    }

    assert {name for name in promised if name not in watched} <= of_use_only


def test_each_promise_has_a_metric() -> None:
    promises = set(re.findall(r"^\*\*(P\d+) ", tree.text("docs/promises.md"), re.MULTILINE))
    watched = {word for metric in METRICS.values() for word in metric.promise.split()}

    assert len(promises) >= 12
    assert watched == promises
