"""How large a job may be, known before its parameters are in place."""

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.jobs.definition.rendering import TemplateEntry, fill, uses_in
from pilotage.central.jobs.definition.sizes import (
    FILLED_BYTES_MAX,
    PROGRAM_BYTES_MAX,
    WORD_BYTES_MAX,
    FilledSizes,
    check_command,
    check_size,
)
from pilotage.proto.documents.job import Job


def refusal(template: Job, given: TemplateEntry) -> Refused | None:
    """Return what is said of one entry, None where it is taken."""
    sizes = FilledSizes(template, uses_in(template))
    body = msgspec.json.encode(given)
    if len(body) <= sizes.fits_max:
        return None
    try:
        sizes.check(body, given, "parameters[7]")
    except Refused as why:
        return why
    return None


@pytest.mark.parametrize("count", [1, 3, 1_200])
def test_a_job_is_taken_up_to_the_limit_and_not_beyond(count: int) -> None:
    template = Job(command=("{x}" * count,))
    free = FILLED_BYTES_MAX - len(msgspec.json.encode(Job(command=("",))))
    most = "a" * (free // count)

    assert refusal(template, {"x": most}) is None
    assert len(msgspec.json.encode(fill(template, {"x": most}))) <= FILLED_BYTES_MAX
    assert refusal(template, {"x": most + "a"}) is not None


def test_the_refusal_names_the_field_the_value_and_the_limit() -> None:
    template = Job(command=("{x}" * 1_200, "{y}"))
    why = refusal(template, {"x": "a" * 900_000, "y": 1})

    assert why is not None
    assert why.field == "parameters[7].x"
    assert "is used 1200 times in the template" in why.message
    assert "'aaaaa" in why.message and len(why.message) < 300
    assert str(FILLED_BYTES_MAX) in why.message


@pytest.mark.parametrize("value", ["\n" * 600_000, "é" * 600_000, '"' * 600_000])
def test_a_value_counts_with_the_bytes_that_it_has_in_the_message(value: str) -> None:
    assert refusal(Job(command=("{x}",)), {"x": value}) is not None


def test_numbers_count_as_they_are_filled_in() -> None:
    template = Job(command=("{x}" * 50_000,))  # 1e15 has four characters, 1000000000000000.0 more

    assert refusal(template, {"x": 7}) is None
    assert refusal(template, msgspec.json.decode(b'{"x": 1e15, "y": "%b"}' % (b"a" * 20))) is None
    assert refusal(template, {"x": 1e15, "z": "a" * 1_000}) is None
    assert refusal(template, {"x": 1.2345678901234567e-300}) is not None


def test_a_job_that_is_too_large_as_it_was_sent_is_refused() -> None:
    check_size(b"x" * FILLED_BYTES_MAX, "jobs[0]")

    with pytest.raises(Refused, match="the maximum is 1048576"):
        check_size(b"x" * (FILLED_BYTES_MAX + 1), "jobs[0]")
    with pytest.raises(Refused) as refused:
        FilledSizes(Job(command=("x" * FILLED_BYTES_MAX,)), {})
    assert refused.value.field == "template"


def test_a_command_has_no_word_that_a_node_cannot_start_a_program_with() -> None:
    check_command(("é" * (PROGRAM_BYTES_MAX // 2), "x" * WORD_BYTES_MAX, ""), "jobs[0]")

    with pytest.raises(Refused) as of_program:
        check_command(("é" * (PROGRAM_BYTES_MAX // 2) + "x",), "jobs[0]")
    with pytest.raises(Refused) as of_word:
        check_command(("x", "y" * 10, "z" * (WORD_BYTES_MAX + 1)), "jobs[0]")

    assert of_program.value.field == "jobs[0].command[0]"
    assert "has 4097 bytes, found 'ééé" in of_program.value.message
    assert "the path of a program can have at most 4096" in of_program.value.message
    assert of_word.value.field == "jobs[0].command[2]"
    assert "has 131072 bytes, found 'zzz" in of_word.value.message
    assert len(of_word.value.message) < 300
