"""Job files: what people may write, and what they are told when it is wrong."""

from pathlib import Path

import pytest

from pilotage.central.client.documents.job_files import JobFile, parse_job_file, read_job_file
from pilotage.central.client.errors import BadJobFile
from pilotage.proto.documents.job import JobLimits

# What is wrong in a file, and what is said: line, then words.
WRONG = {
    "an unknown key": (
        "command: [a]\nprioritty: 7\n",
        "f.yaml:2: unknown key 'prioritty': did you mean 'priority'?",
    ),
    "an unknown key inside": (
        "command: [a]\nneeds:\n  - memory_mb: 5\n  - wal_s: 3\n",
        "f.yaml:4: needs[1]: unknown key 'wal_s': did you mean 'wall_s'?",
    ),
    "an unknown key in one need": (
        "command: [a]\nneeds:\n  sitez: [PIC]\n",
        "f.yaml:3: needs[0]: unknown key 'sitez': did you mean 'sites'?",
    ),
    "a key in the wrong place": (
        "command: [a]\nmemory_mb: 5\n",
        "f.yaml:2: unknown key 'memory_mb' here: it belongs in `needs` (`needs.memory_mb`)",
    ),
    "a key without its unit in the wrong place": (
        "command: [a]\nmemory: 2000\n",
        "f.yaml:2: unknown key 'memory' here: it belongs in `needs` (`needs.memory`)",
    ),
    "a size with an unknown unit": (
        "command: [a]\nneeds: {memory_mb: 2 gigs}\n",
        "f.yaml:2: needs[0].memory_mb: found '2 gigs', expected a size such as 4GB; 4GB is 4000 MB",
    ),
    "a size that is too large": (
        "command: [a]\nneeds:\n  cores_min: 1\n  memory: 900TB\n",
        "f.yaml:4: needs[0].memory_mb: expected a whole number of MB from 0 to 100000000, found",
    ),
    "a size without a unit": (
        "command: [a]\nneeds: {memory: 4000}\n",
        "f.yaml:2: needs[0].memory: found 4000, expected a size such as 4GB; 4000 MB is 4GB",
    ),
    "a size twice": (
        "command: [a]\nneeds: {memory: 4GB, memory_mb: 4000}\n",
        "f.yaml:2: needs[0].memory: give either memory or memory_mb, not both",
    ),
    "a time with colons": (
        "command: [a]\nneeds: {wall_s: '01:00:00'}\n",
        "needs[0].wall_s: found '01:00:00', expected a time such as 2h or 1d12h; 01:00:00 is 1h",
    ),
    "a time that is too long": (
        "command: [a]\npreference: {sites: [PIC], for_s: 1000000}\n",
        "preference.for_s: expected a whole number of seconds from 0 to 604800, found 1000000",
    ),
    "a key that is like none": (
        "command: [a]\nneeds: {zzz: 1}\n",
        "f.yaml:2: needs[0]: unknown key 'zzz': known are amounts,",
    ),
    "a misspelt part": (
        "tempalte: {}\n",
        "f.yaml:1: unknown key 'tempalte': did you mean 'template'?",
    ),
    "an alias, of which a few lines make more than there is memory": (
        "command: &a [a]\nname: *a\n",
        "f.yaml:1: the anchor &a: anchors and aliases are not read, write the value out",
    ),
    "a wrong type": (
        "command: [a]\nneeds:\n  cores_min: many\n",
        "f.yaml:3: needs[0].cores_min: expected a whole number from 1 to 4096, got text",
    ),
    "a value out of range": (
        "command: [a]\nretries: 101\n",
        "f.yaml:2: retries: expected a whole number from 0 to 100",
    ),
    "a command that is a text": (
        "name: x\ncommand: echo hi\n",
        "f.yaml:2: command: expected a list",
    ),
    "no command": (
        "jobs:\n- command: [a]\n- name: b\n",
        "f.yaml:3: jobs[1]: the key `command` is missing",
    ),
    "a key twice": ("command: [a]\nname: x\nname: y\n", "f.yaml:3: the key 'name' occurs twice"),
    "braces without quotes": (
        "command: [echo, {a}]\n",
        "f.yaml:1: command[1]: quote it: '{a}' is a mapping in YAML",
    ),
    "braces without quotes in an output": (
        "command: [a]\noutputs: [{n}]\n",
        "f.yaml:2: outputs[0]: quote it: '{n}' is a mapping in YAML",
    ),
    "no YAML": ("command: [a\n", "f.yaml:2: did not find expected"),
    "nothing": ("", "f.yaml: it is empty: a job file has"),
    "a word": ("hello", "f.yaml:1: a job file has"),
    "an empty list": ("jobs: []\n", "f.yaml:1: jobs: it is empty, expected a list of jobs"),
    "an empty list alone": ("[]\n", "f.yaml:1: it is empty, expected a list of jobs"),
    "a template alone": ("template: {command: [a]}\n", "a single job has its keys at the top"),
    "jobs and template": ("template: {}\njobs: []\n", "f.yaml:2: jobs: give either `jobs`, or"),
    "a parameter that is neither": (
        "template: {command: [a]}\nparameters:\n  - n: 1\n  - n: [2]\n",
        "f.yaml:4: parameters[1].n: expected text or a number",
    ),
    "an input that is not there": (
        "command: [a]\ninputs: [absent.txt]\n",
        "f.yaml:2: inputs[0].path: there is no file",
    ),
    "a number that is too small, with what stands there": (
        "command: [a]\nneeds:\n  cores_min: -1\n",
        "f.yaml:3: needs[0].cores_min: expected a whole number from 1 to 4096, found -1",
    ),
    "a version without quotes, as it was written": (
        "command: [a]\nneeds: {glibc_min: 2.30}\n",
        'f.yaml:2: needs[0].glibc_min: expected text, got a number: write it in quotes, "2.30"',
    ),
    "a word that YAML takes for a truth": (
        "command: [a]\nname: yes\n",
        'got true or false: write it in quotes, "yes"',
    ),
    "a number in quotes": (
        "- command: [a]\n- command: [a]\n  priority: '5'\n",
        'f.yaml:3: [1].priority: expected a whole number from 0 to 10, got text, found "5"',
    ),
    "a value of a mapping": (
        "command: [a]\nenvironment:\n  A: 5\n  B: [1]\n",
        "f.yaml:4: environment.B: expected text, got a list, found [1]",
    ),
    "a key with nothing behind it": (
        "command: [a]\nneeds:\n",
        "f.yaml:2: needs: expected a list, got nothing: add a value, or remove the key",
    ),
    "a key that is a list": ("? [a]\n: 1\n", "f.yaml:1: found unhashable key"),
    "JSON, with its line": ('{"command": ["a"],\n "nme": "x"}', "f.yaml:2: unknown key 'nme'"),
    "a limit that is no number": (
        "running_max: -1\njobs: [{command: [a]}]\n",
        "f.yaml:1: running_max: found -1, expected a number of jobs, 0 or more",
    ),
    "an event that there is not": (
        "jobs: [{command: [a]}]\nnotify: [end, often]\n",
        "f.yaml:2: notify: found ['end', 'often'], expected some of end, fail, half",
    ),
    "events that are a number": (
        "notify: 3\njobs: [{command: [a]}]\n",
        "f.yaml:1: notify: found 3, expected some of end, fail, half",
    ),
    "an executable tag": (
        "!!python/object/apply:os.getcwd []\n",
        "could not determine a constructor",
    ),
}


def parse(text: str) -> JobFile:
    return parse_job_file(text, "f.yaml", Path("nowhere"))


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadJobFile) as caught:
        parse(text)

    assert said in str(caught.value)


def test_numbers_in_a_command_are_words_as_they_were_written() -> None:
    job = parse("command: [sleep, 010, 1e3, yes]\nenvironment: {A: 1.50}\n").jobs[0].job

    assert job.command == ("sleep", "010", "1e3", "yes")
    assert job.environment == {"A": "1.50"}


def test_one_need_and_bare_patterns_are_enough() -> None:
    job = parse("command: [a]\nneeds: {cores_min: 2}\noutputs: ['*.txt']\n").jobs[0].job

    assert [need.cores_min for need in job.needs] == [2]
    assert [(one.pattern, one.required) for one in job.outputs] == [("*.txt", True)]


@pytest.mark.parametrize(
    "text", ["- command: [a]\n- command: [b]\n", "jobs:\n- command: [a]\n- command: [b]\n"]
)
def test_several_jobs_in_a_file(text: str) -> None:
    assert [draft.job.command for draft in parse(text).jobs] == [("a",), ("b",)]


def test_a_template_comes_with_its_parameters() -> None:
    read = parse(
        "name: scan\nkey: k1\ntemplate:\n  command: [run, '{n}']\nparameters:\n- n: 1\n- n: two\n"
    )

    assert read.template is not None
    assert read.template.job.command == ("run", "{n}")
    assert (read.name, read.key) == ("scan", "k1")
    assert read.parameters == ({"n": 1}, {"n": "two"})


def test_how_many_run_at_once_stands_at_the_top() -> None:
    assert parse("running_max: 3\njobs:\n- command: [a]\n").running_max == 3


@pytest.mark.parametrize("events", ["[end, half]", "end, half", "'end,half'"])
def test_events_to_be_notified_of_stand_at_the_top(events: str) -> None:
    assert parse(f"notify: {events}\njobs: [{{command: [a]}}]\n").notify == "end,half"


@pytest.mark.parametrize("key", ["running_max", "key"])
def test_a_key_of_several_jobs_is_not_advised_where_it_stands_beside_a_single_job(key: str) -> None:
    with pytest.raises(BadJobFile) as caught:
        parse(f"command: [echo]\n{key}: 2\n")
    assert f"{key!r} is allowed only in a file with `jobs:` or `template:`" in str(caught.value)
    assert "did you mean" not in str(caught.value)


def test_inputs_are_paths_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    path = tmp_path / "job.yaml"
    sha = "0" * 64
    path.write_text(
        "command: [a]\ninputs:\n- a.txt\n- {path: a.txt, name: b.txt}\n"
        f"- {{name: c, sha256: '{sha}', size_bytes: 3}}\n"
    )
    draft = read_job_file(path).jobs[0]

    assert [(one.path, one.name) for one in draft.files] == [
        (tmp_path / "a.txt", ""),
        (tmp_path / "a.txt", "b.txt"),
    ]
    assert [one.name for one in draft.job.inputs] == ["c"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(BadJobFile, match="No such file"):
        read_job_file(tmp_path / "absent.yaml")
    with pytest.raises(BadJobFile, match="UTF-8"):
        read_job_file(tmp_path / "binary.yaml")


def test_limits_and_a_checkpoint_are_said_as_the_job_has_them() -> None:
    text = "command: [run]\ncheckpoint: state\nlimits: {cpu_s: 60, warning_s: 120}\n"
    (draft,) = parse_job_file(text, "job.yaml", Path()).jobs

    assert draft.job.checkpoint == "state"
    assert draft.job.limits == JobLimits(cpu_s=60, warning_s=120)
    with pytest.raises(BadJobFile, match="it belongs in `limits`"):
        parse_job_file("command: [run]\ncpu_s: 60\n", "job.yaml", Path())
    with pytest.raises(BadJobFile, match="cpu_s"):
        parse_job_file("command: [run]\nlimits: {cpu: 60}\n", "job.yaml", Path())
