"""Parametric jobs: values of sequences, and their places."""

import time

import pytest

from .reading import mistakes, read


def arguments(text: str, argument: str = "%s") -> list[str]:
    found = read(f'Executable = "x"; Arguments = "{argument}"; {text}')
    return [" ".join(one.job.command[1:]) for one in found.jobs]


#    attributes                                                         values
SEQUENCES = [
    ("Parameters = 3", ["1", "1", "1"]),
    ('Parameters = "2"; ParameterStep = 2', ["1", "3"]),
    ("Parameters = 3; ParameterStart = 0.; ParameterStep = 0.1", ["0.0", "0.1", "0.2"]),
    ("Parameters = 3; ParameterStart = 1; ParameterStep = 0.5", ["1.0", "1.5", "2.0"]),
    ("Parameters = 3; ParameterStart = 2; ParameterFactor = 1.5", ["2.0", "3.0", "4.5"]),
    ('Parameters = {"a b", c, 7}', ["a b", "c", "7"]),
    ("parameters = 2; PARAMETERSTART = 100; parameterStep = -1", ["100", "99"]),
]


@pytest.mark.parametrize(("text", "right"), SEQUENCES)
def test_a_sequence_has_these_values(text: str, right: list[str]) -> None:
    assert arguments(text) == right


def test_the_number_has_as_many_digits_as_the_last_one() -> None:
    assert arguments("Parameters = 11; ParameterStart = 100; ParameterStep = -1", "%n")[::5] == [
        "00",
        "05",
        "10",
    ]
    assert arguments("Parameters = 10", "%n") == [str(one) for one in range(10)]


def test_several_sequences_go_together() -> None:
    text = """Parameters = 2; Parameters.RUN = {"a", "b"};
        ParameterStart.X = 5; ParameterStep.X = 1; JobName = "%n-%(RUN)s";"""

    assert arguments(text, "%(RUN)s %(X)s %s") == ["a 5 1", "b 6 1"]
    assert [one.job.name for one in read(f'Executable = "x"; {text}').jobs] == ["0-a", "1-b"]


def test_a_value_that_looks_like_a_place_stays_as_it_is() -> None:
    assert arguments('Parameters = {"%n", "%(X)s"}') == ["%n", "%(X)s"]


def test_a_list_takes_the_place_of_a_value_or_an_item() -> None:
    lists = 'Parameters = {{"/a/b", "/a/c"}, {"/a/d"}}'

    for data in ("%s", '"%s"', "{%s}", '{"%s"}'):
        jobs = read(f'Executable = "x"; InputData = {data}; {lists}').jobs
        dids = [[one.did for one in job.job.data.inputs] for job in jobs if job.job.data]
        assert dids == [["users:a/b", "users:a/c"], ["users:a/d"]]


def test_needs_and_files_may_differ() -> None:
    text = """Executable = "x"; Parameters = {1, 2}; NumberOfProcessors = "%s"; Site = "S%s";
        InputSandbox = {"in%s.txt", "all.txt"}; OutputSandbox = {"out%n", "std.out"};"""
    first, second = read(text).jobs

    assert [one.job.needs[0].cores_min for one in (first, second)] == [1, 2]
    assert [one.job.needs[0].sites for one in (first, second)] == [("S1",), ("S2",)]
    assert [one.text for one in second.sandbox] == ["in2.txt", "all.txt"]
    assert second.job.outputs[0].pattern == "out1"
    assert second.job.stdout_file == "std.out"


WRONG = [
    ("Parameters = 0", "Parameters: found 0 values, expected 1 to 100000"),
    ("Parameters = 100001", "Parameters: found 100001 values, expected 1 to 100000"),
    ("Parameters = x", "Parameters: expected a number of jobs or a list of values"),
    ("Parameters.RUN = {1, 2}", "Parameters.RUN without Parameters: there is one job for each"),
    ("ParameterStart = 1", "ParameterStart without Parameters"),
    ("Parameters = 2; Parameters.X = {1}", "Parameters.X has 1 values, but Parameters has 2"),
    ("Parameters = 2; Parameters.X = 2", "Parameters.X: expected a list"),
    ("Parameters = 2; ParameterStep = a", "ParameterStep: expected a number, as in 3 or 0.5"),
    ("Parameters = {1}; ParameterStep = 2", "ParameterStep has no effect on a list"),
    ("Parameters = 9999; ParameterFactor = 10", "its 9999 values become too large"),
    ("Parameters = 2; JobName = \"%(Y)s\"", "%(Y)s has no sequence: there is %s"),
    ('Parameters = {{"a", "b"}}; JobName = "x%s"', "%s is a list here"),
    ('JobName = "%(Y)s"', "%(Y)s has no sequence: add `Parameters = N;` and Parameters.Y"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), WRONG)
def test_mistakes_in_sequences_are_named(text: str, why: str) -> None:
    found = mistakes(f'Executable = "x"; {text}')

    assert len(found) == 1
    assert why in found[0]


def test_a_mistake_of_many_jobs_is_named_once() -> None:
    (line,) = mistakes('Executable = "x"; Parameters = 1000; Site = "a b%s";'.replace("%s", ""))

    assert "Site: found 'a b'" in line


def test_many_jobs_are_made_quickly() -> None:
    begun = time.process_time()
    found = read('Executable = "x"; Arguments = "%s"; Parameters = 100000; ParameterStep = 1')

    assert len(found.jobs) == 100_000
    assert found.jobs[-1].job.command == ("x", "100000")
    assert time.process_time() - begun < 30
