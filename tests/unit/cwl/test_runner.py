"""The command line of `pilotage-cwl-runner`: mistakes are told in a line."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.cli.cwl.runner import main


def test_a_document_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere.cwl"]) == 1
    said = capsys.readouterr().err
    assert "pilotage-cwl-runner: Not found: 'nowhere.cwl'" in said
    assert "Traceback" not in said


def test_a_central_and_this_machine_are_not_both_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--local", "--url", "http://here", "a.cwl"])
    assert "give either --local or --url" in capsys.readouterr().err


NO_RUN = """\
cwlVersion: v1.2
class: Workflow
inputs: []
outputs: []
steps:
  never: {in: [], out: [], run: {class: Operation, inputs: [], outputs: []}}
"""
RUN = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs: []
outputs: {said: stdout}
stdout: said.txt
"""
EXPRESSION = """\
cwlVersion: v1.2
class: ExpressionTool
requirements: {InlineJavascriptRequirement: {}}
inputs: []
outputs: {said: File}
expression: '${return {said: {class: "File", basename: "NAME", contents: "x"}};}'
"""
TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
requirements: {InlineJavascriptRequirement: {}}
baseCommand: [sh, -c, 'mkdir d; echo x > d/x']
inputs: []
outputs:
  said:
    type: Directory
    outputBinding: {glob: d, outputEval: '${self[0].basename = "NAME"; return self[0];}'}
"""
BAD_REQUIREMENTS = "cwl:requirements: [{class: ResourceRequirement, coresMin: 1}]"


@pytest.mark.parametrize(
    ("document", "inputs", "code"),
    [
        (RUN, "{}", 0),
        (NO_RUN, "{}", 1),
        (RUN.replace("v1.2", "v1.0"), BAD_REQUIREMENTS, 1),
        (RUN.replace("echo", "'false'"), "{}", 1),
    ],
)
def test_no_temporary_folder_is_left(
    document: str, inputs: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = tempfile.mkdtemp

    def noting(*args: Any, **named: Any) -> str:
        made.append(real(*args, **named))
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", noting)
    (tmp_path / "here.cwl").write_text(document)
    (tmp_path / "in.yml").write_text(inputs)
    words = [f"--outdir={tmp_path}/out", str(tmp_path / "here.cwl"), str(tmp_path / "in.yml")]

    assert main(words) == code

    assert made
    assert [one for one in made if Path(one).exists()] == []


@pytest.mark.parametrize(("program", "tries", "code"), [(75, 4, 0), (75, 5, 1), (3, 2, 1)])
def test_a_temporary_failure_is_retried_here_too(
    program: int, tries: int, code: int, tmp_path: Path
) -> None:
    tried = tmp_path / "tried"
    tried.touch()
    tool = f"echo >> {tried}; test $(wc -l < {tried}) -ge {tries} || exit {program}"
    (tmp_path / "tool.sh").write_text(tool)
    document = RUN.replace("echo", f"[sh, {tmp_path}/tool.sh]\ntemporaryFailCodes: [75]")
    (tmp_path / "here.cwl").write_text(document)

    assert main([f"--outdir={tmp_path}/out", str(tmp_path / "here.cwl")]) == code

    assert len(tried.read_text()) == (1 if program == 3 else 4)


@pytest.mark.parametrize("document", [EXPRESSION, TOOL], ids=["expression", "tool"])
@pytest.mark.parametrize("name", ["../there", "../../there", "a/b", "/there", ".."])
def test_no_output_is_put_outside_its_folder(
    document: str, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, out = tmp_path / "a.cwl", tmp_path / "one" / "two" / "out"
    file.write_text(document.replace("NAME", name))

    assert main(["--local", f"--outdir={out}", str(file)]) == 1

    assert f"basename: found {name!r}, expected a name without /" in caplog.text
    assert not [one for one in tmp_path.rglob("*") if one.is_file() and one != file]


def test_an_output_keeps_the_name_that_an_expression_gives_it(tmp_path: Path) -> None:
    (tmp_path / "a.cwl").write_text(EXPRESSION.replace("NAME", "..here"))

    assert main(["--local", f"--outdir={tmp_path / 'out'}", str(tmp_path / "a.cwl")]) == 0

    assert (tmp_path / "out" / "..here").read_text() == "x"
