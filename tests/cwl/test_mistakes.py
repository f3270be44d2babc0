"""Mistakes in documents are told all at once, in plain words."""

import json
from pathlib import Path

import pytest

from pilotage.central.cli.cwl.runner import main
from pilotage.central.cli.main import run
from pilotage.central.cwl.loaded import BadDocument, load, load_with_inputs
from pilotage.central.cwl.local_progress import read_record
from pilotage.central.cwl.mistakes import plain

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [echo]
inputs:
  text: string
  n: int
  f: File
outputs: {out: stdout}
"""
WRONG_FIELDS = """\
cwlVersion: v1.2
class: CommandLineTool
baseComand: [echo]
inputs:
  text:
    type: strin
    inputBindng: {position: 1}
outputs:
  out: {typ: stdout}
"""
WRONG_LINKS = """\
cwlVersion: v1.2
class: Workflow
inputs:
  text: string
steps:
  one:
    run: wrong.cwl
    in: {text: text}
    out: [out]
  two:
    run: missing.cwl
    in: {text: one/nothere}
    out: [out]
outputs:
  res: {type: File, outputSource: two/other}
"""
WRONG_TYPES = """\
cwlVersion: v1.2
class: Workflow
inputs:
  text: int
steps:
  one:
    run: tool.cwl
    in: {text: text, bogus: text}
    out: [out]
  two:
    run: tool.cwl
    in: {text: one/out, n: text}
    out: [out]
outputs:
  res: {type: int, outputSource: two/out}
"""
EXPRESSION = """\
cwlVersion: v1.2
class: CommandLineTool
requirements: {InlineJavascriptRequirement: {}}
baseCommand: [echo]
arguments:
  - $(inputs.text.foo.bar)
inputs: {text: string}
outputs: []
"""
FAILING = """\
cwlVersion: v1.2
class: Workflow
inputs: []
steps:
  bad:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, "echo one >&2; echo two >&2; exit 3"]
      inputs: []
      outputs: []
    in: []
    out: []
  empty:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, "echo three >&2"]
      inputs: []
      outputs: {o: {type: File, outputBinding: {glob: nothing.txt}}}
      stderr: said.txt
    in: []
    out: [o]
outputs: []
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tool.cwl").write_text(TOOL)
    Path("wrong.cwl").write_text(WRONG_FIELDS)


def told(file: str, text: str = "") -> str:
    if text:
        Path(file).write_text(text)
    with pytest.raises(BadDocument) as raised:
        load(Path(file))
    return str(raised.value)


def told_of_inputs(inputs: object) -> str:
    file = None
    if inputs is not None:
        file = Path("inputs.json")
        file.write_text(json.dumps(inputs, indent=0))
    with pytest.raises(BadDocument) as raised:
        load_with_inputs(Path("tool.cwl"), file)
    return str(raised.value)


def test_wrong_fields_and_a_wrong_type_are_told_together() -> None:
    said = told("wrong.cwl")

    assert "wrong.cwl:3: unknown field 'baseComand': did you mean 'baseCommand'?" in said
    assert "wrong.cwl:6: field 'type': found 'strin': expected a type of CWL" in said
    assert "wrong.cwl:7: unknown field 'inputBindng': did you mean 'inputBinding'?" in said
    assert "unknown field 'typ': did you mean 'type'?" in said


def test_the_files_of_all_steps_are_checked_when_links_are_wrong() -> None:
    said = told("flow.cwl", WRONG_LINKS)

    assert "flow.cwl:12: field 'source': found 'one/nothere': expected an input of" in said
    assert "flow.cwl:11: field 'run': there is no file" in said
    assert "flow.cwl:15: field 'outputSource': found 'two/other'" in said
    assert "wrong.cwl:3: unknown field 'baseComand'" in said


def test_missing_inputs_and_wrong_types_of_several_steps_are_told_together() -> None:
    assert told("flow.cwl", WRONG_TYPES).splitlines() == [
        "flow.cwl:8: step one: 'text' takes string: found int from 'text' (line 4)",
        "flow.cwl:8: step one: field 'in' lacks inputs that the tool needs: f, n",
        "flow.cwl:12: step two: 'text' takes string: found File from 'out' (line 9)",
        "flow.cwl:12: step two: field 'in' lacks inputs that the tool needs: f",
        "flow.cwl:15: 'res' takes int: found File from 'out' (line 13)",
        "warning: flow.cwl:8: tool.cwl has no input 'bogus': it has text, f, n",
    ]


@pytest.mark.parametrize("inputs", [None, {}])
def test_all_missing_inputs_are_told_without_a_usage_text(
    inputs: object, capfd: pytest.CaptureFixture[str]
) -> None:
    assert told_of_inputs(inputs).splitlines() == [
        f"tool.cwl:{line}: input {name!r} ({kind}) is missing: give it in the inputs"
        for line, name, kind in ((5, "text", "string"), (6, "n", "int"), (7, "f", "File"))
    ]
    assert "usage" not in "".join(capfd.readouterr())


def test_all_wrong_inputs_are_told_with_their_lines() -> None:
    assert told_of_inputs({"text": 5, "n": "abc"}).splitlines() == [
        "inputs.json:2: input 'text': expected string, found 5",
        "inputs.json:3: input 'n': expected int, found 'abc'",
        "tool.cwl:7: input 'f' (File) is missing: give it in the inputs",
    ]


def test_the_runner_tells_missing_inputs_too(capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["--quiet", "tool.cwl"])
    said = capfd.readouterr().err

    assert code == 1
    assert "input 'n' (int) is missing" in said
    assert "usage" not in said


def test_a_wrong_expression_is_told_in_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    Path("expression.cwl").write_text(EXPRESSION)

    code = main(["--quiet", "expression.cwl", "--text=hi"])
    said = capfd.readouterr().err

    assert code == 1
    assert said.splitlines() == [
        "expression.cwl:6: a wrong expression: TypeError: cannot read property 'bar' of undefined "
        "in the expression $(inputs.text.foo.bar)"
    ]


def test_a_failed_tool_shows_its_step_exit_code_and_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("failing.cwl").write_text(FAILING)

    code = main(["--quiet", "--cachedir=kept", "failing.cwl"])
    said = capfd.readouterr().err

    assert code == 1
    assert "step bad: exit code 3\nthe end of its standard error:\n  one\n  two\n" in said
    assert (
        "step empty: output 'o': the tool made no file that fits nothing.txt (exit code 0)\n"
        "the end of its standard error:\n  three\n"
    ) in said
    assert read_record(Path("kept"))["bad"] == {"made": 1, "done": 0, "failed": 1, "reused": 0}


def test_texts_that_are_not_known_stay_without_the_places_of_sent_documents() -> None:
    text = "../../../pilotage-cwl/doc/a.cwl:5:3: Something that nobody knows"

    assert plain(text) == "a.cwl:5: Something that nobody knows"
    assert plain("file:///pilotage-cwl/doc/b.cwl was not sent") == "b.cwl was not sent"


def test_the_graph_shows_the_progress_of_a_run_on_this_machine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("failing.cwl").write_text(FAILING)

    code = run(["prod", "submit", "failing.cwl", "--local"])
    told = capsys.readouterr().err
    shown = run(["prod", "graph", "failing.cwl", "--run", "failing.run"])
    lines = capsys.readouterr().out.splitlines()

    assert (code, shown) == (1, 0)
    assert "step bad: 0 done, 1 failed" in told
    assert [line.split()[0] for line in lines] == ["bad", "empty"]
    assert all(line.endswith("0/1 done, 1 failed") for line in lines)


def test_the_graph_refuses_the_folder_of_another_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("failing.cwl").write_text(FAILING)
    run(["prod", "submit", "failing.cwl", "--local"])
    capsys.readouterr()

    code = run(["prod", "graph", "tool.cwl", "--run", "failing.run"])

    assert code == 2
    assert "is a run of another document: its steps are bad, empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [([], "reuse: tools take the results of equal"), (["--no-reuse"], "reuse: off (--no-reuse)")],
)
def test_a_dry_run_says_whether_results_are_reused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("failing.cwl").write_text(FAILING)

    assert run(["prod", "submit", "failing.cwl", "--dry-run", *options]) == 0
    assert said in capsys.readouterr().out


BEGINNING = "cwlVersion: v1.2\nclass: CommandLineTool\n"
REST = "inputs: []\noutputs: []\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "a.cwl: expected a CWL document: a mapping with `cwlVersion` and `class`"),
        (f"class: CommandLineTool\n{REST}", "a.cwl: field 'cwlVersion': expected v1.0, v1.1 or"),
        (f"cwlVersion: v9\nclass: CommandLineTool\n{REST}", "a.cwl: field 'cwlVersion': expected"),
        (f"cwlVersion: v1.2\nclass: Tool\n{REST}", "a.cwl:2: field 'class': unknown class 'Tool'"),
        (
            f"{BEGINNING}{REST}baseCommand: {{a: 5}}\n",
            "a.cwl:5: field 'baseCommand': expected null or string or array of <string>, found a "
            "mapping",
        ),
        (f"{BEGINNING}{REST}baseCommand: [echo\n", "a.cwl:6: wrong YAML: expected"),
    ],
)
def test_a_document_of_another_form_is_told_with_its_field(text: str, said: str) -> None:
    assert told("a.cwl", text).startswith(said)


def test_a_scatter_without_its_requirement_names_the_step_and_the_other_mistakes() -> None:
    text = WRONG_TYPES.replace("  one:\n", "  one:\n    scatter: text\n")

    said = told("flow.cwl", text)

    assert "step one: it needs ScatterFeatureRequirement in the `requirements`" in said
    assert "step two: field 'in' lacks inputs that the tool needs: f" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1\n", "given.yaml: expected inputs as a mapping, such as `name: value`"),
        ("", "the file of inputs is empty: expected `name: value`, or {}"),
        (None, "given.yaml: No such file or directory"),
        ("text: a\nn: 1\nf: {class: File, path: no.txt}", "no.txt: there is no such File"),
    ],
)
def test_a_file_of_inputs_of_another_form_is_told(
    text: str | None, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given = Path("given.yaml")
    if text is not None:
        given.write_text(text)
    with pytest.raises(BadDocument) as raised:
        load_with_inputs(Path("tool.cwl"), given)

    assert str(raised.value).endswith(said)
    assert main(["--quiet", "tool.cwl", str(given)]) == 1
    assert said in capfd.readouterr().err


def test_a_run_without_inputs_leaves_no_folder_and_prints_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["prod", "submit", "tool.cwl", "--local"]) == 1
    assert not Path("tool.run").exists()
    assert not capsys.readouterr().out


def test_a_failed_run_says_how_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    Path("failing.cwl").write_text(FAILING)
    run(["prod", "submit", "failing.cwl", "--local"])

    told = capsys.readouterr().err

    assert "the same command with --resume" in told
    assert "output files" not in told
