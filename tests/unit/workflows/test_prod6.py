"""The production graph of prod6 at its whole size, in memory: each file once, as planned."""

from collections import Counter

from pilotage.central.workflows.flow import WorkflowFile, WorkflowRun, WorkflowTask
from pilotage.central.workflows.plan import plan
from pilotage.central.workflows.rendering import metadata_of
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.documents.workflow import Step, Workflow

from ...tidy.tree import ROOT

# Which splits the program gives its files in turn, as examples/prod6/standin.py does.
SPLITS = {"simulate-gamma-diffuse": ("train_en", "train_cl", "test"),
          "simulate-proton": ("train_cl", "test")}  # fmt: skip


def made_by(workflow: Workflow, step: Step, task: WorkflowTask) -> dict[str, list[WorkflowFile]]:
    """Return the files that a task would make."""
    found: dict[str, list[WorkflowFile]] = {}
    for port, output in step.outputs.items():
        if output.value:
            continue
        per_input = sum(map(len, task.files.values()))
        count = per_input if output.files == "per_input" else output.files
        found[port] = []
        for n in range(count):
            splits = SPLITS.get(task.step, ("test",))
            split = splits[(2 * task.number + n) % len(splits)]
            said = {"runNumber": task.number, "nsb": (1, 5)[n % 2], "split": split}
            own = {key: said[key] for key in output.sets}
            metadata = metadata_of(workflow, step, output, task, own, handed_down=task.common)
            name = f"{task.step}/{task.number}/{port}{n}"
            found[port].append(WorkflowFile(name, name, 1, metadata, task.step, port, task.number))
    return found


def test_as_many_jobs_run_as_were_planned_and_each_file_is_used_once() -> None:
    workflow = read_workflow(ROOT / "examples" / "prod6" / "prod6.yaml").workflow
    flow = WorkflowRun(workflow)
    ready, tasks = flow.begin(), Counter[str]()
    used, raw = Counter[tuple[str, str]](), list[str]()
    while ready:
        task = ready.pop()
        tasks[task.step] += 1
        used.update((task.step, file.path) for each in task.files.values() for file in each)
        files = made_by(workflow, workflow.steps[task.step], task)
        raw += [file.path for file in files.get("r1", ())]
        ready += flow.done(task, files, {"files": 1} if task.step == "irf" else {})

    assert flow.is_complete()
    assert not flow.left()
    assert len(raw) == 2_000
    assert set(used.values()) == {1}
    in_dl1 = {path for step, path in used if step.startswith("dl1-")}
    assert in_dl1 == set(raw)
    planned = {one.step: one.tasks.count for one in plan(workflow).steps}
    assert sum(tasks.values()) == sum(filter(None, planned.values())) == 1_506
    assert tasks == planned
