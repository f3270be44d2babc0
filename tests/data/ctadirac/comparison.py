"""Compares workflows with the facts of CTADIRAC: queries, metadata, and jobs of each step."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pilotage.central.transformations.task_jobs import Template
from pilotage.central.workflows.translation import PORT_KEY, title_of, to_transformations
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.documents.workflow import Step, Workflow

Facts = Mapping[str, Any]
MODEL: Final = "cta-prod-get-file-by-query"


def differences(workflow: Workflow, facts: Facts, dataset: Facts) -> list[str]:
    """Return the differences of all steps, empty if there are none.

    `facts` has those of each step by ID; `dataset` is the query of every dataset.
    """
    documents = to_transformations(workflow)
    numbers = sorted(facts, key=int)
    if len(numbers) != len(workflow.steps):
        return [f"{len(workflow.steps)} steps, not {len(numbers)}"]
    found: list[str] = []
    outputs: dict[str, dict[str, Any]] = {}
    for number, (name, step) in zip(numbers, workflow.steps.items(), strict=True):
        document, theirs = documents[name], facts[number]
        query = _query(workflow, document, outputs, dataset)
        job = _job(document, query)
        outputs[title_of(workflow, name)] = _output(step, job, query)
        pairs = _pairs(step, document, job, query, outputs[title_of(workflow, name)], theirs)
        found += [
            f"{name}: {what}: {ours!r}, not {others!r}"
            for what, ours, others in pairs
            if ours != others
        ]
    return found


def _pairs(
    step: Step,
    document: Transformation,
    job: Job,
    query: dict[str, Any],
    output: dict[str, Any],
    theirs: Facts,
) -> Iterator[tuple[str, Any, Any]]:
    """Yield names of facts, with ours and theirs."""
    wanted = _plain(theirs["query"])
    yield "query", _like(query, wanted), wanted
    if theirs["output"]:  # a job grid has none
        wanted = _plain(theirs["output"])
        yield "output", _like(output, wanted), wanted
    yield "group size", document.grouping.size, theirs["group"]
    yield "cores", job.needs[0].cores_min, theirs.get("cores", 1)
    yield "sites", ", ".join(job.needs[0].sites), theirs.get("Destination", "")
    yield "wall time", job.needs[0].wall_s, theirs.get("CPUTime", Need().wall_s)
    if not _is_simulation(theirs):  # those have a pattern for each condition
        patterns = [one.removeprefix("./") for one in theirs["patterns"]]
        yield "patterns", [one.pattern for one in step.outputs.values()], patterns
    yield "tags", job.needs[0].tags, " & ".join(map(str.strip, theirs["Tag"].split(",")))
    yield "NSHOW", job.environment.get("NSHOW"), theirs.get("ExecutionEnv", {}).get("NSHOW")
    yield "programs", _programs(job), _their_programs(theirs)
    models = [one.query for one in document.inputs if one.use == "shared"]
    asked = [words[1:] for words in theirs["steps"] if words[0] == MODEL]
    yield (
        "models",
        [dict(sorted((key, str(value)) for key, value in one.items())) for one in models],
        [dict(sorted(pair.split("=", 1) for pair in words)) for words in asked],
    )


def _is_simulation(theirs: Facts) -> bool:
    return theirs["type"] in ("mcsimulation", "simpipe", "simtelprocessing")


def _like(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return our metadata without facts that CTADIRAC's queries leave out.

    It registers a run number, and `merged: 0` for folders without another value, beside them.
    """
    left_out = {PORT_KEY: None, "runNumber": None, "model_version": None, "merged": 0}
    return {
        key: value
        for key, value in ours.items()
        if key in theirs or key not in left_out or left_out[key] not in (None, value)
    }


def _query(
    workflow: Workflow,
    document: Transformation,
    outputs: Mapping[str, dict[str, Any]],
    dataset: Facts,
) -> dict[str, Any]:
    """Return the metadata of the input files, as the queries of all steps say."""
    for one in document.inputs:
        if one.use == "once":
            before = outputs[one.from_] if one.from_ else {}
            own = {key: value for key, value in one.query.items() if key != "dataset"}
            if "dataset" in one.query:
                before = _plain(dataset)
            return {**before, **_plain(own)}
    return {}


def _job(document: Transformation, files: Mapping[str, Any]) -> Job:
    """Return the job of a group whose files have this metadata."""
    alike = {key: _first(value) for key, value in files.items() if value is not None}
    template = Template(document, "ctao:out")
    return template.job(transformation_id=1, number=1, metadata=alike)


def _output(step: Step, job: Job, files: Mapping[str, Any]) -> dict[str, Any]:
    assert job.data is not None
    found: dict[str, Any] = dict(job.data.outputs[0].metadata)
    for key, values in next(iter(step.outputs.values())).sets.items():
        found[key] = {"in": list(values)} if values else None
    for key, value in files.items():  # groups keep several values apart
        if isinstance(value, dict) and key in found and found[key] in value["in"]:
            found[key] = value
    return found


def _plain(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query with `{"=": value}` as a value."""
    return {
        key: value["="] if isinstance(value, dict) and "=" in value else value
        for key, value in query.items()
    }


def _first(value: Any) -> Any:
    return value["in"][0] if isinstance(value, dict) else value


def _programs(job: Job) -> list[list[str]]:
    """Return the set-up, and the programs that a job runs."""
    _, _, package, version, category, compiler, *words = job.command
    check = job.environment.get("CTA_CHECK")
    set_up = ["-p", package, "-v", version, "-a", category, "-g", compiler]
    return [set_up, words, *([[check]] if check else [])]


def _their_programs(theirs: Facts) -> list[list[str]]:
    first, *rest = ([word.replace("@{JOB_ID}", "1") for word in one] for one in theirs["steps"])
    return [first[1:], *(one for one in rest if one[0] != MODEL)]
