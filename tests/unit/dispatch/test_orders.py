"""An order's bytes are what the job, filled in and encoded, would be."""

import msgspec
import pytest

from pilotage.central.dispatch.turns.run_orders import BODIES_BYTES_MAX, Orders, room
from pilotage.central.jobs.definition.rendering import body_of, job_of
from pilotage.central.jobs.record_types import JobBody
from pilotage.proto.documents.job import Job
from pilotage.proto.messages import Body

WHOLE = {
    "command": ["run", "--n={n}", "{{literal}}", "{name}{n}", "é{name}\u2028"],
    "environment": {"SEED": "{n}", "{n}": "as it is"},
    "outputs": [{"pattern": "{name}-*.h5"}],
    "name": "job {n}",
    "success_codes": [0, 3],
    "retry_codes": [75],
}
PLAIN = {"command": ["true"], "environment": {"A": "b"}}
MARKED = {"command": ["run", "\ue000n\ue001", "{n}"]}

CASES: list[tuple[object, object]] = [
    (WHOLE, {"n": 7, "name": "it"}),
    (WHOLE, {"n": 1.5, "name": 'quote " and \\ and \n, é'}),
    (WHOLE, {"n": -3, "name": "{n}"}),
    (PLAIN, {}),
    (PLAIN, {"unused": 1}),
    (MARKED, {"n": "x"}),
    (None, WHOLE),
    (None, PLAIN),
]


def stored(template: object, body: object) -> JobBody:
    job = None if template is None else msgspec.json.encode(msgspec.convert(template, Job))
    return JobBody(job_id=1, template=job, body=msgspec.json.encode(body))


@pytest.mark.parametrize(("template", "given"), CASES)
def test_an_order_is_the_job_with_its_parameters_in_place(template: object, given: object) -> None:
    body, orders = stored(template, given), Orders()
    job = job_of(body.template, body.body)
    for owner in ("somebody", "else é", "somebody"):
        order = orders.order(1, body, owner)

        assert msgspec.json.decode(order.body, type=Body) == body_of(job, owner)
        assert order.success_codes == job.success_codes
        assert order.retry_codes == job.retry_codes


def test_forms_are_kept_up_to_a_bound_and_made_again() -> None:
    orders = Orders(bytes_max=3_000)
    for number in (*range(10), *range(10)):
        body = stored({"command": ["run", str(number), "{n}"]}, {"n": 1})

        found = msgspec.json.decode(orders.order(1, body, "somebody").body, type=Body)
        assert found.command == ("run", str(number), "1")
    assert len(orders) <= 3


def test_an_answer_has_room_for_many_small_jobs_and_few_large_ones() -> None:
    small = stored(WHOLE, {"n": 1, "name": "x"})
    large = stored(None, {"command": ["x" * 1_000_000]})

    assert room([small] * 256) == 256
    assert room([large] * 256) == BODIES_BYTES_MAX // len(large.body)
    assert room([None, large, None]) == 3


NAMED = {
    "command": ["run", "--seed=%j", "{n}"],
    "environment": {"OUT": "out_%j"},
    "outputs": [{"pattern": "*_%j.txt"}],
    "stdout_file": "%j.out",
    "name": "job %j",
    "id_placeholder": "%j",
}


@pytest.mark.parametrize("template", [None, NAMED])
def test_an_order_has_the_id_of_its_job_in_place_of_the_placeholder(template: object) -> None:
    body = stored(template, NAMED if template is None else {"n": 3})

    order = msgspec.json.decode(Orders().order(4711, body, "somebody").body, type=Body)

    assert order.command == ("run", "--seed=4711", "{n}" if template is None else "3")
    assert order.environment == {"OUT": "out_4711"}
    assert order.outputs[0].pattern == "*_4711.txt"
    assert (order.stdout_file, order.stderr_file, order.name) == ("4711.out", "", "job 4711")


def test_letters_stay_in_a_job_without_a_placeholder() -> None:
    body = stored(None, {"command": ["date", "+%j"]})

    order = msgspec.json.decode(Orders().order(4711, body, "somebody").body, type=Body)

    assert order.command == ("date", "+%j")
