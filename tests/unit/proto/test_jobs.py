"""What the types of requests refuse: numbers no store holds, words with a line end."""

import json
import re

import msgspec
import pytest

from pilotage.proto.api import jobs
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.api.quotas import QuotaChange
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.decoding.patterns import whole
from pilotage.proto.documents.job import Job
from pilotage.proto.ids import ID_MAX

REFUSED = {
    "a filter's id": (jobs.JobFilter, {"ids": [ID_MAX + 1]}),
    "a filter's id below zero": (jobs.JobFilter, {"ids": [-1]}),
    "a filter's submission": (jobs.JobFilter, {"submission": 2**63}),
    "an action's id": (jobs.Action, {"action": "kill", "ids": [10**30]}),
    "a type with a line end": (Job, {"command": ["x"], "type": "a\n"}),
    "a needed site with a line end": (Job, {"command": ["x"], "needs": [{"sites": ["a\n"]}]}),
    "a hash with a line end": (
        Job,
        {"command": ["x"], "inputs": [{"name": "a", "sha256": "0" * 64 + "\n", "size_bytes": 1}]},
    ),
    "a pilot's site with a line end": (SecretRequest, {"site": "ab\n"}),
    "a pilot's element with a line end": (SecretRequest, {"site": "a", "element": "b\n"}),
    "a community that is no word of topics": (
        SecretRequest,
        {"site": "a", "community": "c/+/#"},
    ),
    "a quota's name with NUL": (
        QuotaChange,
        {"kind": "owner", "community": "c", "name": "a\0"},
    ),
    "a quota's name with a line end": (
        QuotaChange,
        {"kind": "owner", "community": "c", "name": "a\nb"},
    ),
    "a quota's community with a line end": (QuotaChange, {"kind": "community", "community": "c\n"}),
    "a community with a line end": (SecretRequest, {"site": "a", "community": "c\n"}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_by_its_type(what: str) -> None:
    kind, given = REFUSED[what]

    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(given), type=kind)


def test_the_largest_id_and_no_community_are_taken() -> None:
    assert msgspec.convert({"submission": ID_MAX}, jobs.JobFilter).submission == ID_MAX
    assert msgspec.convert({"site": "a"}, SecretRequest).community == ""
    assert msgspec.convert({"site": "a", "community": ""}, SecretRequest).community == ""


def test_no_pattern_of_a_request_lets_a_line_end_through() -> None:
    _, parts = msgspec.json.schema_components(
        [Job, jobs.Action, SecretRequest, TokenIssue, QuotaChange]
    )
    patterns = set(re.findall(r'"pattern": "(.*?)"[,}]', json.dumps(parts)))

    assert len(patterns) >= 3
    assert all(json.loads(f'"{pattern}"').endswith(whole("")[1:]) for pattern in patterns)
