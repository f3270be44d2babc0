"""Parameters of job files: lists, products and tables; inputs that differ from job to job."""

from pathlib import Path

import pytest

from pilotage.central.cli.jobs.own_inputs import with_own_inputs
from pilotage.central.client.documents.job_files import parse_job_file
from pilotage.central.client.errors import BadJobFile
from pilotage.central.client.submissions.job_shapes import ParameterSet

TEMPLATE = "template: {command: [fit, '{a}']}\n"


def parameters(text: str, folder: Path = Path()) -> tuple[ParameterSet, ...]:
    return parse_job_file(f"{TEMPLATE}parameters: {text}\n", "f.yaml", folder).parameters


def test_a_mapping_gives_all_combinations_and_the_last_name_varies_fastest() -> None:
    assert parameters("{a: [1, x], b: [true-ish, 2.5]}") == (
        {"a": 1, "b": "true-ish"},
        {"a": 1, "b": 2.5},
        {"a": "x", "b": "true-ish"},
        {"a": "x", "b": 2.5},
    )


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{a: 1-7:3}", [1, 4, 7]),
        ("{a: {from: 1, to: 3}}", [1, 2, 3]),
        ("{a: {from: 0, to: 0.3, step: 0.1}}", [0.0, 0.1, 0.2, 0.3]),
        ("{a: {from: 0.1, to: 0.25, step: 0.1}}", [0.1, 0.2]),
        ("{a: {from: -1, to: -1}}", [-1]),
    ],
)
def test_numbers_have_steps(text: str, values: list[object]) -> None:
    assert [one["a"] for one in parameters(text)] == values


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "a,b\n1,0.10\n,x y\n"),
        ("p.tsv", "\ufeffa\tb\n1\t0.10\n\tx y\n"),
        ("p.csv", 'a, b\r\n1,0.10\r\n"","x y"\r\n\r\n'),
    ],
)
def test_a_table_has_a_job_in_each_line_with_its_values_as_written(
    name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, newline="")

    assert parameters(name, tmp_path) == ({"a": "1", "b": "0.10"}, {"a": "", "b": "x y"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("7", "f.yaml:2: parameters: expected a list of mappings, a mapping of names"),
        ("[]", "expected a list of mappings"),
        ("{}", "expected a list of mappings"),
        ("{a: []}", "parameters.a: expected a list of values"),
        ("{a: 5}", "parameters.a: expected a list of values"),
        ("{a: [yes]}", r"parameters.a\[0\]: expected text or a number"),
        ("{a: {from: 1, to: x}}", "parameters.a.to: found 'x', expected a number"),
        ("{a: {from: 1, to: .inf}}", "parameters.a.to: found inf, expected a number"),
        ("{a: {from: 2, to: 1}}", "parameters.a: expected from <= to"),
        ("{a: {from: 1, to: 2, step: 0}}", "parameters.a: expected from <= to"),
        ("{a: {from: 0, to: 1, step: 1.0e-9}}", "found 1000000001 values, expected at most"),
        ("{a: 1-1000, b: 1-1001}", "found 1001000 combinations, expected at most 1000000"),
        ("{a: 1-5:0}", "parameters.a: expected N, A-B"),
        ("none.csv", "none.csv: No such file"),
    ],
)
def test_wrong_parameters_are_named(text: str, why: str) -> None:
    with pytest.raises(BadJobFile, match=why):
        parameters(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected a line of names"),
        ("a\n", "expected a line of names"),
        ("a,b\n1\n", "p.csv:2: found 1 values, expected 2: a, b"),
        ("1,2\n3,4\n", "p.csv:1: found '1': the first line must have the names"),
        ("a,a\n3,4\n", "p.csv:1: a name comes twice"),
        ('a\n"x\n', "wrong table"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(text)

    with pytest.raises(BadJobFile, match=why):
        parameters("p.csv", tmp_path)


FILES = """\
template:
  command: [cat, "in-{a}.txt"]
  inputs: [all.txt, {path: "in-{a}.txt", name: "given-{a}"}]
parameters: {a: [1, 2]}
"""


def test_inputs_may_differ_from_job_to_job(tmp_path: Path) -> None:
    for name in ("all.txt", "in-1.txt", "in-2.txt"):
        (tmp_path / name).touch()

    read = with_own_inputs(parse_job_file(FILES, "f.yaml", tmp_path))

    assert read.template is None
    assert [one.job.command for one in read.jobs] == [("cat", "in-1.txt"), ("cat", "in-2.txt")]
    assert [[(file.path.name, file.name) for file in one.files] for one in read.jobs] == [
        [("all.txt", ""), ("in-1.txt", "given-1")],
        [("all.txt", ""), ("in-2.txt", "given-2")],
    ]
    wrong = read.wrong("jobs[1].command[1]", "too long")
    assert wrong is not None and "f.yaml:2: template.command[1]: too long" in str(wrong)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("{a: [1, 2]}", "{a: [1, 3]}", "f.yaml:3: .*there is no file .*in-3.txt"),
        ('in-{a}.txt", name', 'in-{b}.txt", name', "'b' is no parameter"),
    ],
)
def test_a_missing_input_of_one_job_is_named(old: str, new: str, why: str, tmp_path: Path) -> None:
    for name in ("all.txt", "in-1.txt", "in-2.txt"):
        (tmp_path / name).touch()

    with pytest.raises(BadJobFile, match=why):
        with_own_inputs(parse_job_file(FILES.replace(old, new), "f.yaml", tmp_path))
