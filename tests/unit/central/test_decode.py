"""What is wrong with a body, said so that one finds the place."""

from typing import Any

import msgspec
import pytest

from pilotage.central.decode import decode
from pilotage.central.errors import Refused
from pilotage.proto import messages
from pilotage.proto.api import jobs as api
from pilotage.proto.documents.job import Job
from pilotage.proto.problems import Code


class Jobs(msgspec.Struct, forbid_unknown_fields=True):
    jobs: list[Job]


#    class, body                                               code, field, what the message says
TABLE: list[tuple[type[Any], str, Code, str, str]] = [
    (
        Jobs,
        '{"jobs":[{"command":["a"]},{"command":["a"],"needs":[{"cores_min":"x"}]}]}',
        Code.INVALID,
        "$.jobs[1].needs[0].cores_min",
        'expected a whole number from 1 to 4096, got text, found "x"',
    ),
    (
        Jobs,
        '{"jobs":[{"command":["a"],"needs":[{"cores_min":0}]}]}',
        Code.INVALID,
        "$.jobs[0].needs[0].cores_min",
        "expected a whole number from 1 to 4096, found 0",
    ),
    (
        Jobs,
        '{"jobs":[{"command":["a"],"needs":[{"cores_mn":1}]}]}',
        Code.INVALID,
        "$.jobs[0].needs[0].cores_mn",
        "did you mean 'cores_min'?",
    ),
    (
        Jobs,
        '{"jobs":[{"command":["a"],"preference":{"xyz":1}}]}',
        Code.INVALID,
        "$.jobs[0].preference.xyz",
        "known: sites, for_s",
    ),
    (Jobs, '{"jobs":[{}]}', Code.INVALID, "$.jobs[0].command", "is required and missing"),
    (Jobs, '{"job":[]}', Code.INVALID, "$.job", "did you mean 'jobs'?"),
    (Jobs, "[]", Code.INVALID, "$", "expected a mapping, got a list"),
    (
        Jobs,
        '{"jobs":[{"command":["a"],"outputs":["*.txt"]}]}',
        Code.INVALID,
        "$.jobs[0].outputs[0]",
        "expected a mapping with pattern, required, got text",
    ),
    (Jobs, '{"jobs":', Code.MALFORMED, "$", "is not JSON"),
    (Jobs, "", Code.MALFORMED, "$", "is not JSON"),
    (Jobs, "\x00", Code.MALFORMED, "$", "is not JSON"),
    (api.Action, '{"action":"kil"}', Code.INVALID, "$.action", "one of kill hold release"),
    (messages.Turn, '{"gen":1}', Code.INVALID, "$.gen", "expected text, got a whole number"),
    (
        Jobs,
        '{"jobs":[{"command":["a"],"needs":[{"glibc_min":2.30}]}]}',
        Code.INVALID,
        "$.jobs[0].needs[0].glibc_min",
        'expected text, got a number: write it in quotes, "2.30"',
    ),
    (
        Jobs,
        '{"jobs":[{"command":["a"],"environment":{"A":"1","B":"2","C":3,"D":"4"}}]}',
        Code.INVALID,
        "$.jobs[0].environment.C",
        'write it in quotes, "3"',
    ),
    (
        Jobs,
        '{"jobs":[{"command":["a"],"environment":{"A":"1","b.c":{}}}]}',
        Code.INVALID,
        '$.jobs[0].environment["b.c"]',
        "expected text, got a mapping, found {}",
    ),
    (  # a mapping that ends in the middle, or has a key twice, is told as a whole
        Jobs,
        '{"jobs":[{"command":["a"],"environment":{"A":1,',
        Code.INVALID,
        "$.jobs[0].environment[...]",
        "expected text, got a whole number",
    ),
    (
        Jobs,
        '{"jobs":[{"command":["a"],"environment":{"A":1},"environment":[]}]}',
        Code.INVALID,
        "$.jobs[0].environment[...]",
        "expected text, got a whole number",
    ),
    (messages.Usage, '{"wall_s":1e999}', Code.INVALID, "$.wall_s", "out of range"),
]


@pytest.mark.parametrize(("kind", "body", "code", "field", "says"), TABLE)
def test_an_error_names_field_value_and_what_is_right(
    kind: type[Any], body: str, code: Code, field: str, says: str
) -> None:
    with pytest.raises(Refused) as refused:
        decode(body.encode(), kind)

    assert (refused.value.code, refused.value.field) == (code, field)
    assert says in refused.value.message


def test_a_part_of_a_body_is_named_by_its_place_in_the_whole() -> None:
    with pytest.raises(Refused) as refused:
        decode(b'{"comand":["a"]}', Job, where="$.jobs[3]")

    assert refused.value.field == "$.jobs[3].comand"


def test_deep_nesting_is_an_error_of_the_sender() -> None:
    with pytest.raises(Refused) as refused:
        decode(b'{"zzz":' + b"[" * 100_000, messages.Turn)

    assert refused.value.code is Code.MALFORMED


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(Refused) as refused:
        decode(b'{"gen":[' + b"1," * 100_000 + b"1]}", messages.Turn)

    assert len(refused.value.message) < 200


def test_a_pilot_may_be_newer_than_we_are() -> None:
    body = b'{"job":1,"epoch":1,"attempt_id":1,"n":1,"what":"ended","how":"vanished","new":1}'

    assert decode(body, messages.Report).how is messages.How.OTHER
