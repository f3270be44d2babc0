"""Steps with `pilotage:Transformation`: what they become, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cwltool")

from pilotage.central.cwl.hints import HintMistake
from pilotage.central.cwl.loaded import load, load_again, load_with_inputs
from pilotage.central.cwl.transformations import Built, built, has_transformations
from pilotage.pilot.cwl.tool_job import filled, unpacked
from pilotage.proto.documents.transformation import Grouping
from pilotage.proto.documents.workflow import Source, Step

FIRST = """\
cwlVersion: v1.2
class: Workflow
inputs: {run: {type: int, default: 1}, script: {type: File, default: {class: File, path: s.sh}}}
outputs: []
steps:
  make:
    run:
      class: CommandLineTool
      inputs:
        script: {type: File, inputBinding: {position: 1}}
        run: {type: int, inputBinding: {position: 2, prefix: --run=, separate: false}}
      outputs: {out: {type: File, outputBinding: {glob: run-$(inputs.run).txt}}}
      baseCommand: sh
      requirements: {ResourceRequirement: {coresMin: 2, ramMin: 1000}}
    in: {script: script, run: run}
    out: [out]
    hints:
      pilotage:Transformation:
        tasks: 1000
        input: {port: run}
        output: {out: {name: "run-{task}.txt", dataset: "users:runs", metadata: {type: made}}}
      dirac:Scheduling: {sites: PIC, priority: 8}
"""
SECOND = """\
  use:
    run:
      class: CommandLineTool
      inputs: {files: PORT, other: {type: string, inputBinding: {position: 9}}}
      outputs: {out: {type: "File?", outputBinding: {glob: "GLOB"}}}
      baseCommand: cat
      arguments: ['ARGUMENT']
    in: {files: SOURCE, other: {default: x}}
    out: [out]
    hints: {pilotage:Transformation: HINT}
"""
EXPRESSION = """\
  use:
    run:
      class: ExpressionTool
      requirements: {InlineJavascriptRequirement: {}}
      inputs: {files: File}
      outputs: []
      expression: "$({})"
    in: {files: make/out}
    out: []
    hints: {pilotage:Transformation: {input: {port: files}}}
"""
LIST = "{type: 'File[]', inputBinding: {position: 1}}"
ONE = "{type: File, inputBinding: {position: 1}}"
LINK = "{source: [make/out], linkMerge: merge_flattened}"


def second(
    port: str = LIST,
    source: str = LINK,
    hint: str = "{input: {port: files, grouping: 5}}",
    argument: str = "-v",
    glob: str = "*.txt",
) -> str:
    text = SECOND.replace("PORT", port).replace("SOURCE", source).replace("HINT", hint)
    return FIRST + text.replace("ARGUMENT", argument).replace("GLOB", glob)


def made(tmp_path: Path, text: str) -> Built:
    (tmp_path / "s.sh").write_text("echo")
    (tmp_path / "flow.cwl").write_text(text)
    found = load_with_inputs(tmp_path / "flow.cwl", None)
    return built(load_again(found), "flow", inputs=found.inputs, files=found.files)


def argv(step: Step, task: str, *files: str) -> list[str]:
    """Return the command that a node builds, with paths without their folders."""
    words = [one.replace("{{", "{").replace("}}", "}") for one in step.job.command]
    at = words.index("--")
    assert words[at + 1] == "{task}"
    spec = filled(unpacked(words[2:at]), task, files)
    staged = {one["path"]: one["source"] for one in spec["stage"]}
    assert set(staged.values()) == set(spec["sources"])
    assert len(staged) == len(spec["stage"])
    return [Path(one).name if one in staged else one for one in spec["argv"]]


def test_steps_have_tasks_files_and_places_in_the_catalogue(tmp_path: Path) -> None:
    found = made(tmp_path, second(hint="{input: {port: files, query: {run: 3}, partial: never}}"))

    make, use = found.workflow.steps["make"], found.workflow.steps["use"]
    assert (make.tasks, make.inputs, make.grouping) == (1000, {}, None)
    assert argv(make, "17") == ["sh", "s.sh", "--run=17"]
    assert (make.job.priority, make.job.needs[0].sites) == (8, ("PIC",))
    assert (make.job.needs[0].cores_min, make.job.needs[0].memory_mb) == (2, 1049)
    out = make.outputs["out"]
    assert (out.name, out.dataset, out.metadata) == ("run-{task}.txt", "users:runs",
                                                     {"type": "made"})  # fmt: skip
    assert out.required
    assert not use.outputs["out"].required
    assert use.inputs["files"].sources == (Source(step="make", port="out"),)
    assert use.inputs["files"].where == {"run": 3}
    assert use.grouping == Grouping(size=1, partial="never")
    assert found.files["given/1/s.sh"] == str(tmp_path / "s.sh")


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (LIST, ["a b.txt", 'c".gz', "x"]),
        (
            "{type: 'File[]', inputBinding: {prefix: -i, position: 1}}",
            ["-i", "a b.txt", 'c".gz', "x"],
        ),
        (
            "{type: {type: array, items: File, inputBinding: {prefix: -i}}, "
            "inputBinding: {position: 1}}",
            ["-i", "a b.txt", "-i", 'c".gz', "x"],
        ),
        ("{type: 'File[]'}", ["x"]),
    ],
)
def test_the_words_of_a_file_are_repeated_for_each(
    tmp_path: Path, port: str, words: list[str]
) -> None:
    use = made(tmp_path, second(port)).workflow.steps["use"]

    assert argv(use, "1", "files/a b.txt", 'files/c".gz') == ["cat", "-v", *words]
    many = argv(use, "1", *[f"files/{i}/same" for i in range(50)])
    assert many.count("same") == (0 if words == ["x"] else 50)


def test_parts_of_the_name_of_one_file_are_known(tmp_path: Path) -> None:
    text = second(ONE, "make/out", "{input: {port: files}}", "$(inputs.files.nameroot).new", "x")
    use = made(tmp_path, text).workflow.steps["use"]

    assert argv(use, "1", "files/a.b.txt") == ["cat", "a.b.new", "a.b.txt", "x"]
    with pytest.raises(ValueError, match="found 2 files, expected one"):
        argv(use, "1", "files/a", "files/b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (second(argument="$(inputs.files[0].size)"), r"found '\$\(inputs.files\[0\].size\)'"),
        (second(argument="$(inputs.files.length)"), "expected references such as"),
        (second(argument='$(inputs["files"].length)'), "expected references such as"),
        (second(argument="$(inputs)"), "expected references such as"),
        (second(argument="x$(inputs.files)"), "expected references such as"),
        (second(argument="$(1 + 1)"), "expected references such as"),
        (second(argument="${return 1;}"), "expected references such as"),
        (second(argument="$(inputs.files[0].basename)"), "no repetition of the same words"),
        (second("{type: 'File[]', inputBinding: {itemSeparator: ','}}"), "no repetition"),
        (second("{type: 'File[]', secondaryFiles: .idx}"), "secondaryFiles"),
        (second("{type: Directory}", "{default: null}"), "its type has Directory, expected File"),
        (second("{type: string}", "{default: a}"), "its type has string, expected File"),
        (second(hint="{}"), "step use: expected `tasks`, or `input`"),
        (second(hint="{input: {port: filez}}"), "use/.*input: found the port 'filez', .*files"),
        (second(hint="{input: {port: other}, tasks: 5}"), "input port files gets files of step"),
        (second(hint="{input: {port: files}, output: {o: {}}}"), "found the port 'o'"),
        (second(hint="{input: {port: files, grouping: 0}}"), r"input.grouping: .*found 0"),
        (second(hint="{input: {port: files, grouping: {rul: x}}}"), r"grouping.rul: .*rule"),
        (second(hint="{tasks: -1}"), r"tasks: .*found -1"),
        (second(hint="{tasks: 99999999999999999999}"), r"tasks: "),
        (second(hint="{task: 1}"), r"task: .*tasks"),
        (second(source="{default: []}"), "expected a `query`, or files of an earlier step"),
        (second().replace("run:\n", "when: $(true)\n    run:\n"), "when: it has no meaning"),
        (second().replace("pilotage:Transformation: {", "pilotage:Xx: {"), "no pilotage:Transf"),
        (FIRST + EXPRESSION, "only a CommandLineTool"),
        (second(hint="{input: {port: files}, output: {out: {storages: [a b]}}}"), "storages"),
        (second().replace("{default: x}", "{default: x, valueFrom: $(self)}"), "valueFrom"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_once_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(HintMistake, match=said):
        made(tmp_path, text)


def test_a_document_is_checked_without_its_inputs(tmp_path: Path) -> None:
    file = tmp_path / "flow.cwl"
    file.write_text(second().replace(", default: {class: File, path: s.sh}", ""))
    process: Any = load(file)[0]

    assert has_transformations(process)
    assert built(process, "flow").workflow.steps["use"].job.command[-1] == "{inputs}"
