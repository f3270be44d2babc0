"""Names and metadata of outputs: parameters first, what only an attempt knows later."""

import json

import pytest

from pilotage.central.catalogue import placeholders
from pilotage.central.catalogue.publications import NotPublished, files_of
from pilotage.central.errors import Refused
from pilotage.central.jobs.definition.rendering import fill, uses_in
from pilotage.proto.documents.job import DataInput, DataOutput, DataValue, Job, JobData
from pilotage.proto.storages import Published

LATER = placeholders.later(7, 2, "out/run1.simtel.zst")

# What stands in a name, what parameters make of it, what an attempt makes of that.
NAMES = {
    "plain": ("plain", "plain"),
    "{run}": ("5", "5"),
    "{job}/{file}": ("{job}/{file}", "7/out/run1.simtel.zst"),
    "{who}-{stem}{suffix}": ("{{a}}-{stem}{suffix}", "{a}-run1.simtel.zst"),
    "{{run}}-{epoch}": ("{{run}}-{epoch}", "{run}-2"),
    "{{{run}}}": ("{{5}}", "{5}"),
}


@pytest.mark.parametrize("name", NAMES)
def test_braces_of_a_name_are_filled_in_two_steps(name: str) -> None:
    data = JobData(outputs=(DataOutput(pattern="*", name=name, dataset=f"a:{name}"),))
    (out,) = placeholders.fill(data, {"run": 5, "who": "{a}", "job": 99}).outputs
    filled, finished = NAMES[name]

    assert (out.name, out.dataset) == (filled, f"a:{filled}")
    assert placeholders.finished(out.name, LATER) == finished


def test_a_value_that_is_one_parameter_alone_keeps_its_type() -> None:
    metadata: dict[str, DataValue] = {
        "run": "{run}",
        "text": "r{run}",
        "job": "{job}",
        "fixed": 3,
        "s": "{s}",
    }
    data = JobData(
        inputs=(DataInput(query={"run": "{run}", "x": {"in": ["{run}", 3, "a{s}"]}}),),
        outputs=(DataOutput(pattern="*", metadata=metadata),),
    )
    filled = placeholders.fill(data, {"run": 5, "s": "{"})

    assert filled.inputs[0].query == {"run": 5, "x": {"in": [5, 3, "a{"]}}
    assert filled.outputs[0].metadata == {
        "run": 5,
        "text": "r5",
        "job": "{job}",
        "fixed": 3,
        "s": "{{",
    }


def test_a_template_uses_the_parameters_of_its_data() -> None:
    data = JobData(
        inputs=(DataInput(did="a:{x}", to="{to}"),),
        outputs=(DataOutput(pattern="{p}", name="{file}-{n}", metadata={"k": "{job}{m}"}),),
    )
    job = Job(command=("cat", "{inputs}", "{c}"), data=data)

    assert set(uses_in(job)) == {"x", "to", "p", "n", "m", "c"}
    filled = fill(job, dict.fromkeys(("x", "to", "p", "n", "m", "c"), 1))
    assert filled.command == ("cat", "{inputs}", "1")
    assert filled.data is not None and filled.data.outputs[0].name == "{file}-1"


@pytest.mark.parametrize("name", ["{file", "file}", "{file!r}", "{file:>9}", "{0}", "{}"])
def test_bad_braces_in_a_template_are_refused(name: str) -> None:
    job = Job(command=("true",), data=JobData(outputs=(DataOutput(pattern="*", name=name),)))

    with pytest.raises(Refused):
        uses_in(job)


@pytest.mark.parametrize("name", ["{run}", "{file", "{file!r}", "{task}"])
def test_only_later_names_may_be_left(name: str) -> None:
    assert placeholders.wrong_braces(name)
    assert not placeholders.wrong_braces("{job}{epoch}{file}{stem}{suffix}{{x}}")


# -- what is published --------------------------------------------------------------------------


def published(name: str = "a", **fields: object) -> Published:
    given: dict[str, object] = {
        "rule": 0,
        "storage": "web",
        "path": f"ctao/7/2/{name}",
        "size_bytes": 3,
        "adler32": "00000001",
        "sha256": "0" * 64,
    }
    return Published(name=name, **{**given, **fields})  # type: ignore[arg-type]


def files(data: JobData, *some: Published) -> list[object]:
    made = files_of(data, some, folder="ctao/7/2", group="sim", owner_id=1, job=7, epoch=2)
    return [(str(one.did), dict(one.metadata), [str(d) for d in one.datasets]) for one in made]


def test_a_file_gets_its_name_and_what_job_and_payload_say_of_it() -> None:
    metadata: dict[str, DataValue] = {"particle": "gamma", "run": 1, "of": "{job}"}
    data = JobData(
        outputs=(
            DataOutput(pattern="*", metadata=metadata, dataset="sim:set-{job}"),
            DataOutput(pattern="x", scope="sim.raw", name="{stem}"),
            DataOutput(pattern="y", did="other:file"),
        )
    )

    assert files(
        data,
        published("d/a.h5", metadata='{"run": 5, "good": true}'),
        published("b.h5", rule=1),
        published("c", rule=2, metadata='{"run": 5}'),
    ) == [
        (
            "sim:7/d/a.h5",
            {"particle": "gamma", "run": 5, "of": "7", "good": True},
            ["sim:set-7"],
        ),
        ("sim.raw:b", {}, []),
        ("other:file", {}, []),
    ]


BAD = {
    "a place of others": published(path="ctao/8/1/a"),
    "a place outside": published(path="ctao/7/2/../../../etc"),
    "a rule that is not there": published(rule=9),
    "metadata that are a list": published(metadata="[1]"),
    "metadata that are nested": published(metadata='{"a": [1]}'),
    "a key that means something else": published(metadata='{"dataset": "x"}'),
    "a value that is too long": published(metadata=json.dumps({"a": "x" * 600})),
    "a storage that is none": published(storage="../x"),
    "a name that is none": published("a b"),
    "too many keys": published(metadata=json.dumps({f"k{i}": 1 for i in range(99)})),
}


@pytest.mark.parametrize("which", BAD)
def test_what_no_honest_pilot_says_is_not_published(which: str) -> None:
    data = JobData(outputs=(DataOutput(pattern="*"),))

    with pytest.raises(NotPublished, match=BAD[which].name):
        files(data, BAD[which])
