"""Hints of DIRAC: what they say about jobs, and how mistakes in them are told."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cwltool")

from cwltool.load_tool import load_tool

from pilotage.central.cwl.documents import loading
from pilotage.central.cwl.hints import note_hints
from pilotage.central.cwl.lfns import name_of, with_scope
from pilotage.central.cwl.loaded import BadDocument, load, load_with_inputs
from pilotage.central.cwl.tools import Store

TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
inputs: []
outputs:
  out: {type: File, outputBinding: {glob: out.txt}}
  folder: {type: Directory, outputBinding: {glob: .}}
  pair: {type: File, outputBinding: {glob: pair}, secondaryFiles: .idx}
baseCommand: "true"
hints:
"""
NESTED = """\
cwlVersion: v1.2
class: Workflow
requirements: {SubworkflowFeatureRequirement: {}}
inputs: []
outputs: {far: {type: File, outputSource: below/near}}
hints:
  dirac:Scheduling: {sites: A, priority: 3}
  dirac:ExecutionHooks: {output_paths: {far: "lfn:/far"}}
steps:
  below:
    run:
      class: Workflow
      inputs: []
      outputs: {near: {type: File, outputSource: make/out}}
      steps:
        make:
          run:
            class: CommandLineTool
            inputs: []
            outputs: {out: {type: stdout}}
            baseCommand: echo
            hints: {dirac:Scheduling: {priority: 9}}
          in: {}
          out: [out]
          hints: {dirac:Scheduling: {sites: [B, C], platform: el9}}
    in: {}
    out: [near]
"""
EXPRESSION = """\
cwlVersion: v1.2
class: ExpressionTool
inputs: []
outputs: {out: File}
expression: "$({})"
hints: {dirac:ExecutionHooks: {output_paths: {out: "lfn:/a"}}}
requirements: {InlineJavascriptRequirement: {}}
"""


def checked(tmp_path: Path, hint: str) -> list[str]:
    """Return the warnings about a hint of a tool."""
    file = tmp_path / "tool.cwl"
    file.write_text(f"{TOOL}  {hint}\n")
    return load(file)[1]


def test_a_hint_nearer_to_the_tool_wins_and_workflows_speak_of_their_outputs(
    tmp_path: Path,
) -> None:
    (tmp_path / "nested.cwl").write_text(NESTED)
    process: Any = load_tool(str(tmp_path / "nested.cwl"), loading())
    hints = note_hints(process)

    tool = process.steps[0].embedded_tool.steps[0].embedded_tool
    assert tool.placement == {"sites": ("B", "C"), "platform": "el9", "priority": 9}
    assert tool.stores == {"out": Store("/far")}
    assert hints.platforms == [("below/make/dirac:Scheduling.platform", "el9")]
    assert hints.warnings == []


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("dirac:Scheduling: {priority: 11}", r"tool.cwl:\d+: .*priority: .*0 to 10.*found 11"),
        ("dirac:Scheduling: {priority: high}", r'Scheduling.priority: .*found "high"'),
        ("dirac:Scheduling: {sites: 5}", r"Scheduling.sites: .*list.*found 5"),
        ("dirac:Scheduling: {sites: ['a b']}", r"Scheduling.sites\[0\]: "),
        ("dirac:Scheduling: {site: PIC}", r"Scheduling.site: .*sites"),
        ("dirac:ExecutionHooks: {output_sandbox: [ouT]}", r"output_sandbox: .*'ouT'.*out"),
        ("dirac:ExecutionHooks: {output_paths: {x: 'lfn:/a'}}", r"output_paths: .*'x'.*out"),
        ("dirac:ExecutionHooks: {output_paths: {out: /a}}", r"paths.out: found '/a', .*lfn:/a/b"),
        ("dirac:ExecutionHooks: {output_paths: {out: 'lfn:/a//b'}}", "no // in the name"),
        ("dirac:ExecutionHooks: {output_paths: {out: 5}}", r"output_paths.*expected text"),
        (f"dirac:ExecutionHooks: {{output_paths: {{out: 'lfn:/{'a' * 999}'}}}}", "most 400"),
        ("dirac:ExecutionHooks: {output_paths: {folder: 'lfn:/a'}}", "folder: its type has Dir"),
        ("dirac:ExecutionHooks: {output_paths: {pair: 'lfn:/a'}}", "pair: it has secondary"),
        (
            "dirac:ExecutionHooks: {output_paths: {out: 'lfn:/a'}, output_sandbox: out}",
            "output_sandbox too",
        ),
        ("dirac:ExecutionHooks: {input_query: {a: 1}}", "input_query: .*Transformation"),
        ("dirac:ExecutionHooks: {input_data: ['lfn:/a']}", "input_data: .*lfn:"),
        ("dirac:ExecutionHooks: {group_size: 5}", "group_size: .*Transformation"),
        ("dirac:ExecutionHooks: {output_see: A}", "output_see"),
    ],
)
def test_a_wrong_hint_is_told_with_its_field(tmp_path: Path, hint: str, said: str) -> None:
    with pytest.raises(BadDocument, match=said):
        checked(tmp_path, hint)


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("dirac:ExecutionHooks: {hook_plugin: Mine}", "hook_plugin: 'Mine' has no meaning"),
        ("dirac:ExecutionHooks: {configuration: {a: 1}}", "configuration: it has no meaning"),
        ("dirac:ExecutionHooks: {output_se: A}", "output_se: it has no meaning without"),
        ("dirac:Schedulling: {sites: A}", "dirac:Schedulling: this hint has no meaning"),
        ("- {class: 'dirac:ExecutionHooks', configuration: {a: 1}}", "configuration: it has"),
    ],
)
def test_what_has_no_meaning_is_named(tmp_path: Path, hint: str, said: str) -> None:
    (warning,) = checked(tmp_path, hint)

    assert said in warning


def test_hints_of_others_and_known_ones_give_no_warning(tmp_path: Path) -> None:
    assert checked(tmp_path, "other:Thing: {sites: 5}") == []
    assert checked(tmp_path, "dirac:Scheduling: {sites: any, platform: null}") == []
    assert checked(tmp_path, "dirac:ExecutionHooks: {hook_plugin: QueryBasedPlugin}") == []


def test_an_expression_stores_no_files(tmp_path: Path) -> None:
    (tmp_path / "tool.cwl").write_text(EXPRESSION)

    with pytest.raises(BadDocument, match="comes from an expression"):
        load(tmp_path / "tool.cwl")


def test_names_in_the_catalogue_get_a_scope_if_they_have_none() -> None:
    assert name_of("lfn:/a/b") == name_of("LFN:a/b") == name_of("lfn:///a/b") == "/a/b"
    assert name_of("lfn:cta:a/b") == with_scope("/a/b", "cta") == "cta:a/b"
    assert with_scope("cta:a/b", "other") == "cta:a/b"
    for wrong in ("/a/b", "lfn:", "lfn:/", "lfn:/a//b"):
        with pytest.raises(ValueError, match="expected"):
            name_of(wrong)


READS = """\
cwlVersion: v1.2
class: CommandLineTool
inputs: {file: File}
outputs: []
baseCommand: "true"
"""


def test_a_missing_input_is_sent_from_the_current_folder_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, job = tmp_path / "here", tmp_path / "jobs" / "job.yaml"
    for folder in (here, job.parent):
        folder.mkdir()
    tool = tmp_path / "tool.cwl"
    tool.write_text(READS)
    job.write_text("file: {class: File, path: sub/data.txt}\n")
    monkeypatch.chdir(here)

    with pytest.raises(BadDocument, match="sub/data.txt: there is no such File"):
        load_with_inputs(tool, job)
    (here / "sub").mkdir()
    (here / "sub" / "data.txt").write_text("data")
    found = load_with_inputs(tool, job)
    assert list(found.files.values()) == [str(here / "sub" / "data.txt")]
    assert "is sent" in found.warnings[0]
