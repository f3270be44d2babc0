"""What is wrong with a workflow is told with its line, the value, and what would be right."""

from pathlib import Path

import pytest

from .written_here import faults

GOOD = """
    workflow: demo
    metadata: {MCCampaign: DEMO}
    keys: {quality: number}
    steps:
      make:
        tasks: 2
        job: {command: [make, "{task}"]}
        metadata: {particle: gamma}
        outputs:
          raw: {pattern: "*.raw", sets: {nsb: [1, 5]}}
          count: {value: count.json, type: integer}
      use:
        inputs:
          raw: {from: make.raw, where: {nsb: 5}}
        grouping: 10
        job: {command: [use, "{raw}"]}
        outputs: {out: "*.out"}
"""

# what is written instead of what, and what is said of it
WRONG = {
    "the confirmation of a value": (
        "{value: count.json,",
        "{value: count.json, confirm: true,",
        "flow.yaml:12: step make: outputs.count.confirm: is for files, but this port gives a value",
    ),
    "a word in a scope": (
        '{pattern: "*.raw",',
        '{pattern: "*.raw", scope: "users.{nobody}",',
        "flow.yaml:11: step make: outputs.raw.scope: ",
    ),
    "a word": (
        "grouping: 10",
        "groping: 10",
        "flow.yaml:16: step use: groping: there is no field 'groping'; did you mean 'grouping'?",
    ),
    "a word at the top": (
        "keys:",
        "key:",
        "flow.yaml:4: unknown key 'key': did you mean 'keys'?",
    ),
    "a step": (
        "make.raw",
        "mace.raw",
        "flow.yaml:15: step use: inputs.raw.from: unknown step 'mace': did you mean 'make'?",
    ),
    "an output": (
        "make.raw",
        "make.row",
        "flow.yaml:15: step use: inputs.raw.from: unknown output of make 'row': did you"
        " mean 'raw'?",
    ),
    "no output": (
        "make.raw,",
        "make,",
        "flow.yaml:15: step use: inputs.raw.from: expected STEP.OUTPUT, found 'make'",
    ),
    "a key": (
        "where: {nsb",
        "where: {nsp",
        "flow.yaml:15: step use: inputs.raw.where.nsp: files of make.raw do not have "
        "it: unknown key 'nsp': did you mean 'nsb'?",
    ),
    "a type": (
        "{nsb: 5}",
        "{nsb: dark}",
        "flow.yaml:15: step use: inputs.raw.where.nsb: nsb is a number, found 'dark'",
    ),
    "what nothing meets": (
        "{nsb: 5}",
        "{nsb: 19}",
        "flow.yaml:15: step use: inputs.raw.where.nsb: no file of make.raw has the "
        "value 19: the values are 1, 5",
    ),
    "an operator": (
        "{nsb: 5}",
        '{nsb: {"=>": 5}}',
        "flow.yaml:15: step use: inputs.raw.where.nsb: found '=>', expected",
    ),
    "braces": (
        '"{raw}"',
        '"{row}"',
        "flow.yaml:17: step use: job.command[1]: unknown name in braces 'row': did you mean 'raw'?",
    ),
    "a lone brace": (
        '"{raw}"',
        '"{raw"',
        "flow.yaml:17: steps.use.job.command[1]: braces without a name: write {{ and }} for "
        "plain braces",
    ),
    "braces of YAML": (
        '"{raw}"',
        "{raw}",
        "flow.yaml:17: steps.use.job.command[1]: quote it: '{raw}' is a mapping in YAML",
    ),
    "a rule": (
        "grouping: 10",
        "grouping: {rule: cuont}",
        "flow.yaml:16: step use: grouping.rule: unknown rule 'cuont': did you mean 'count'?",
    ),
    "keys of a rule": (
        "grouping: 10",
        "grouping: {keys: [nsb]}",
        "flow.yaml:16: step use: grouping.keys: the rule count takes no keys; key and join do",
    ),
    "a key of groups": (
        "grouping: 10",
        "grouping: {rule: key, keys: [nbs]}",
        "flow.yaml:16: step use: grouping.keys: files of make.raw do not have it: "
        "unknown key 'nbs': did you mean 'nsb'?",
    ),
    "a size": (
        "grouping: 10",
        "grouping: 0",
        "flow.yaml:16: step use: grouping.size: expected a whole number from 1 to 10000, found 0",
    ),
    "a value of many tasks": (
        "from: make.raw, where: {nsb: 5}",
        "from: make.count",
        "flow.yaml:15: step use: inputs.raw.from: make.count has one value for each task "
        "of make: name the port in `gather` or in `scatter`",
    ),
    "two sources": (
        "where: {nsb: 5}",
        "query: {quality: 1}",
        "flow.yaml:15: step use: inputs.raw: expected one of from, query, dataset, "
        "value, parameter; found from and query",
    ),
    "an undeclared key": (
        "from: make.raw, where: {nsb: 5}",
        "query: {qualty: 1}",
        "flow.yaml:15: step use: inputs.raw.query.qualty: unknown key 'qualty': did you"
        " mean 'quality'?; declare keys of catalogue files under `keys`",
    ),
    "a path outside": (
        '"*.out"',
        '"../*.out"',
        "flow.yaml:18: step use: outputs.out: ../*.out leaves the folder of the task",
    ),
    "a key of ours": (
        "particle: gamma",
        "did: gamma",
        "flow.yaml:9: step make: metadata.did: found 'did', expected another key",
    ),
    "a need": (
        '[make, "{task}"]',
        "[make], needs: {core_min: 2}",
        "flow.yaml:8: step make: job.needs[0].core_min: there is no field 'core_min'; "
        "did you mean 'cores_min'?",
    ),
    "a condition": (
        "grouping: 10",
        "when: {particel: gamma}",
        "flow.yaml:16: step use: when.particel: unknown value 'particel': did you mean 'particle'?",
    ),
    "no job": (
        'job: {command: [use, "{raw}"]}',
        "scouts: 1",
        "flow.yaml:13: steps.use.job: expected a mapping with at least `command`",
    ),
    "a file that is not there": (
        "grouping: 10",
        "files: [use.py]",
        "there is no file",
    ),
    "twice the same key": (
        "tasks: 2",
        "tasks: 2\n        tasks: 3",
        "flow.yaml:8: the key 'tasks' occurs twice",
    ),
    "no tasks": (
        "tasks: 2",
        "tasks: 0",
        "flow.yaml:7: step make: tasks: found 0, expected at least 1",
    ),
}


def test_a_parameter_does_not_make_a_step_of_no_tasks(tmp_path: Path) -> None:
    text = GOOD.replace("tasks: 2", 'tasks: "{runs}"') + "    parameters: {runs: 2}\n"

    assert faults(tmp_path, text, runs="3") == []
    assert "step make: tasks: found 0, expected at least 1" in faults(tmp_path, text, runs="0")[0]


def test_a_good_workflow_has_no_faults(tmp_path: Path) -> None:
    assert faults(tmp_path, GOOD) == []


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name: str, tmp_path: Path) -> None:
    right, wrong, said = WRONG[name]
    assert right in GOOD

    found = faults(tmp_path, GOOD.replace(right, wrong))

    assert said in found[0] and len(found) <= 2, found


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("{nsb: 5}", "{nsb: 19}").replace('"{raw}"', '"{row}"')

    assert len(faults(tmp_path, text)) == 2


def test_a_circle_is_told_with_its_way(tmp_path: Path) -> None:
    text = """
        workflow: circle
        steps:
          a: {inputs: {x: c.x}, job: {command: [a]}, outputs: {x: x}}
          b: {inputs: {x: a.x}, job: {command: [b]}, outputs: {x: x}}
          c: {inputs: {x: b.x}, job: {command: [c]}, outputs: {x: x}}
    """

    (found,) = faults(tmp_path, text)

    assert "feed each other in a cycle: " in found
    assert any(way in found for way in ("a → b → c → a", "b → c → a → b", "c → a → b → c"))


def test_files_of_one_task_that_may_differ_have_no_common_key(tmp_path: Path) -> None:
    text = GOOD.replace("where: {nsb: 5}", "where: {particle: gamma}").replace("{raw}", "{nsb}")

    (found,) = faults(tmp_path, text)

    assert "files of one task may have different values" in found
    grouped = text.replace("grouping: 10", "grouping: {rule: key, keys: [nsb], size: 10}")
    assert faults(tmp_path, grouped) == []


def test_what_children_ask_is_what_parents_hand_down(tmp_path: Path) -> None:
    text = """
        workflow: heirs
        metadata: {campaign: A}
        steps:
          make: {job: {command: [x]}, metadata: {a: 1}, outputs: {o: {pattern: "*", sets: {n: []}}}}
          pass: {inputs: {i: make.o}, job: {command: [x]}, outputs: {o: "*"}}
          own: {inputs: {i: pass.o}, inherit: false, job: {command: [x]}, outputs: {o: "*"}}
          last: {inputs: {i: {from: own.o, where: {campaign: A}}}, job: {command: [x]}}
          deep: {inputs: {i: {from: pass.o, where: {a: 1, n: {">": 3}}}}, job: {command: [x]}}
    """

    assert faults(tmp_path, text) == []
    (found,) = faults(tmp_path, text.replace("where: {campaign: A}", "where: {a: 1}"))
    assert "files of own.o do not have it" in found


def test_a_step_can_name_the_keys_that_it_hands_down(tmp_path: Path) -> None:
    text = """
        workflow: heirs
        keys: {site: string}
        steps:
          make: {inputs: {i: {query: {site: {"!=": A}}}}, inherit: [site], metadata: {site: none},
                 grouping: 5, job: {command: [x]}, outputs: {o: "*"}}
          use: {inputs: {i: {from: make.o, where: {site: B}}}, job: {command: [x]}}
    """

    assert faults(tmp_path, text) == []
    (found,) = faults(tmp_path, text.replace("inherit: [site], metadata: {site: none}", "title: t"))
    assert "files of make.o" in found
    found, *_ = faults(tmp_path, text.replace("inherit: [site]", "inherit: no"))
    assert "has the value B: the values are none" in found


def test_joins_need_keys_in_which_files_agree(tmp_path: Path) -> None:
    text = """
        workflow: join
        steps:
          a: {job: {command: [x]}, outputs: {o: "*"}}
          b: {job: {command: [x]}, outputs: {o: "*"}}
          c: {inputs: {a: a.o, b: b.o}, job: {command: [x]}}
    """

    (found,) = faults(tmp_path, text)

    assert "flow.yaml:6: step c: inputs: a, b are joined: give the keys" in found


def test_values_have_the_type_that_they_are_taken_as(tmp_path: Path) -> None:
    text = """
        workflow: types
        parameters: {n: {type: integer, default: 3}, words: [a, b]}
        steps:
          one: {job: {command: [x]}, outputs: {v: {value: v.json, type: "string"}}}
          two: {inputs: {v: {from: one.v, type: string}}, job: {command: [x, "{v}"]}}
          three:
            {inputs: {w: {parameter: words, type: string}}, scatter: w, job: {command: ["{w}"]}}
    """

    assert faults(tmp_path, text) == []
    (found,) = faults(tmp_path, text.replace("{from: one.v, type: string}",
                                             "{from: one.v, type: number}"))  # fmt: skip
    assert "step two: inputs.v.type: one.v gives string, not number" in found
    found = faults(tmp_path, text.replace("words: [a, b]", "words: ab"))[0]
    assert "w is 'ab', but scatter needs a list" in found
    (found,) = faults(tmp_path, text, n="three")
    assert "expected a number" in found
    assert "unknown parameter 'm'" in faults(tmp_path, text, m="3")[0]


def test_keys_are_what_is_written_whatever_yaml_takes_them_for(tmp_path: Path) -> None:
    text = """
        workflow: words
        steps:
          a: {job: {command: [x]}, metadata: {yes: 1, off: 2}, outputs: {o: "*"}}
          b: {job: {command: [x]}, metadata: {yes: 1}, outputs: {o: "*"}}
          c: {inputs: {a: {from: a.o, on: [yes]}, b: {from: b.o, on: ["yes"]}}, job: {command: [x]}}
    """

    (found,) = faults(tmp_path, text)

    assert "step c: inputs.a.on[0]: expected text, got true or false" in found
    assert faults(tmp_path, text.replace("on: [yes]", "on: ['yes']")) == []
    assert "unknown key '1'" in faults(tmp_path, "{workflow: x, 1: 2, steps: {}}")[0]
    assert "`<<` is not supported" in faults(tmp_path, "{workflow: x, <<: {a: 1, b: 2}}")[0]
