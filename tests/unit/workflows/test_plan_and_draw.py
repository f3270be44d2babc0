"""What would be made, as numbers, as documents of transformations, and as pictures."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotage.central.transformations.task_jobs import checked
from pilotage.central.workflows import draw, graph
from pilotage.central.workflows.flow import StepCounts, WorkflowFile, WorkflowRun
from pilotage.central.workflows.layout import HEIGHT, WIDTH
from pilotage.central.workflows.plan import plan
from pilotage.central.workflows.translation import obstacles, to_transformations
from pilotage.proto.catalogue import parse_query

from .written_here import workflow

ROOT = Path(__file__).parents[3]

DIAMOND = """
    workflow: diamond
    title: a <diamond> & more
    metadata: {campaign: A}
    steps:
      make:
        tasks: 7
        job: {command: [make, "{task}"]}
        outputs:
          data: {pattern: "*.dat", files: 3, sets: {nsb: [1, 5, 19]}}
          log: {pattern: "*.log", metadata: {kind: log}}
      dark:
        inputs: {i: {from: make.data, where: {nsb: 1}}}
        grouping: 2
        job: {command: [use, "{i}"]}
        outputs: {o: {pattern: "*", files: per_input}}
      bright:
        inputs: {i: {from: make.data, where: {nsb: {">": 1}}}}
        grouping: {rule: key, keys: [nsb], size: 5}
        job: {command: [use, "{nsb}", "{inputs}"]}
        outputs: {o: "*"}
      sum:
        inputs: {a: dark.o, b: bright.o}
        grouping: all
        job: {command: [sum, "{inputs}"]}
"""

OVER = """
    workflow: over
    steps:
      a: {tasks: 1, job: {command: [x]}, outputs: {o: "*"}}
      b: {inputs: {i: a.o}, job: {command: [x]}, outputs: {o: "*"}}
      c: {inputs: {i: b.o}, job: {command: [x]}, outputs: {o: "*"}}
      d: {inputs: {i: c.o, j: {from: a.o, use: shared}}, job: {command: [x]}, outputs: {o: "*"}}
      e: {inputs: {i: d.o, j: {from: a.o, use: shared}}, job: {command: [x]}}
"""


def test_jobs_and_files_are_counted(tmp_path: Path) -> None:
    found = plan(workflow(tmp_path, DIAMOND))

    said = {one.step: (str(one.tasks), *map(str, one.outputs.values())) for one in found.steps}
    assert said == {
        "make": ("7", "21", "7"),
        "dark": ("≈ 4", "≈ 7"),
        "bright": ("≈ 4", "≈ 4"),
        "sum": ("≈ 1",),
    }
    assert str(found.tasks) == "≈ 16"
    assert str(found.files) == "≈ 39"


def test_files_of_the_catalogue_are_counted_where_they_are_known(tmp_path: Path) -> None:
    text = """
        workflow: w
        keys: {k: number}
        steps:
          a: {inputs: {i: {query: {k: 1}}}, grouping: 2, job: {command: [x]}, outputs: {o: "*"}}
          b: {inputs: {i: a.o}, job: {command: [x]}}
    """
    definition = workflow(tmp_path, text)
    known = plan(definition, [WorkflowFile(f"f{n}", f"/f{n}", 1, {"k": n % 2}) for n in range(10)])

    assert [str(one.tasks) for one in plan(definition).steps] == ["?", "?"]
    assert [str(one.tasks) for one in known.steps] == ["3", "3"]
    assert known.steps[0].names == {"i": ["f1", "f3", "f5", "f7", "f9"]}


def test_a_plan_says_what_a_run_does(tmp_path: Path) -> None:
    from .written_here import run_here

    text = """
        workflow: w
        parameters: {words: [a, b, c]}
        steps:
          a: {tasks: 5, job: {command: [touch, x]}, outputs: {o: x}}
          b: {inputs: {i: a.o}, grouping: 2, job: {command: [touch, x, y]}, outputs: {o: {pattern: "?", files: 2}}}
          c: {inputs: {w: {parameter: words}}, scatter: w, job: {command: [touch, x]}, outputs: {o: x}}
          d: {inputs: {i: b.o, j: c.o}, gather: [i, j], job: {command: [touch, x]}, outputs: {o: x}}
    """  # noqa: E501
    definition = workflow(tmp_path, text)
    found = plan(definition)

    outcome = run_here(definition, tmp_path)

    assert {one.step: one.tasks.count for one in found.steps} == {
        name: one.done for name, one in outcome.counts.items()
    }
    assert found.files.count == len(outcome.record.files) == 5 + 6 + 3 + 1
    assert found.tasks.exact and found.files.exact


def test_steps_become_transformations_that_ask_for_parts_of_what_their_parents_make(
    tmp_path: Path,
) -> None:
    definition = workflow(tmp_path, DIAMOND)
    found = to_transformations(definition)

    assert obstacles(definition) == []
    assert list(found) == graph.order(definition)
    assert found["make"].tasks == 7 and found["make"].inputs == ()
    (dark,) = found["dark"].inputs
    assert (dark.from_, dark.query) == ("diamond-make", {"nsb": 1, "workflow_port": "data"})
    assert found["dark"].job.command == ("use", "{inputs}")
    assert found["dark"].metadata == {"campaign": "A", "nsb": 1}
    assert found["bright"].metadata == {"campaign": "A", "nsb": "{nsb}"}
    assert [one.to for one in found["sum"].inputs] == ["a", "b"]
    assert [one.from_ for one in found["sum"].inputs] == ["diamond-dark", "diamond-bright"]
    assert found["sum"].grouping.rule == "all"
    data = found["make"].job.data
    assert data is not None
    asked = parse_query(dark.query)
    assert [asked.meets({"nsb": 1, **one.metadata}) for one in data.outputs] == [True, False]


def test_outputs_go_to_the_catalogue_as_those_of_jobs(tmp_path: Path) -> None:
    text = """
        workflow: w
        steps:
          make:
            tasks: 1
            job: {command: [make]}
            outputs:
              data: {pattern: a, scope: users.out, storages: [pic], confirm: true}
              log: {pattern: b}
    """
    data = to_transformations(workflow(tmp_path, text))["make"].job.data

    assert data is not None
    assert [(one.scope, one.storages, one.confirm) for one in data.outputs] == [
        ("users.out", ("pic",), True),
        ("", (), False),
    ]


def test_what_only_one_machine_can_do_is_named(tmp_path: Path) -> None:
    text = """
        workflow: w
        parameters: {words: [a, b]}
        steps:
          a: {inputs: {w: {parameter: words}, o: c.o}, scatter: w, gather: o, job: {command: ["{w}"]}, outputs: {v: {value: v}}}
          k: {inputs: {w: {parameter: words}}, scatter: w, when: {w: a}, job: {command: ["{w}{task}"]}}
          l: {inputs: {w: {value: [[1]]}}, scatter: w, job: {command: ["{w}"]}}
          n: {inputs: {w: {parameter: words}}, scatter: w, when: {w: z}, job: {command: ["{w}"]}}
          b: {inputs: {v: a.v}, gather: v, job: {command: ["{v}"]}}
          c: {job: {command: [x]}, outputs: {o: "*", p: "*"}}
          d: {inputs: {o: c.o, p: {from: c.p, use: shared}}, job: {command: [x, "{o}"]}}
          f: {inputs: {o: {from: [c.o, c.p], files_max: 2}}, job: {command: [x]}}
          g: {inputs: {o: c.o}, gather: o, tasks: 3, job: {command: [x]}}
          e: {inputs: {o: c.o, w: {parameter: words}}, job: {command: [x, "{w}", "-{w}", "{o}"]}}
          h: {inputs: {w: {value: 3}, o: c.o}, when: {w: 4}, job: {command: [x]}}
          i: {tasks: 5, when: {task: 4}, job: {command: [x]}}
          j: {inputs: {o: c.o, p: c.p}, scatter: [o, p], job: {command: [x]}}
          m: {inputs: {o: {from: [c.o, c.p]}}, grouping: 2, job: {command: [x]}}
    """  # noqa: E501
    definition = workflow(tmp_path, text)

    faults = obstacles(definition)
    found = {fault.step: fault.place for fault in faults}

    assert found == {
        "a": ("scatter",),
        "b": ("inputs", "v"),
        "d": ("job", "command", 1),
        "f": ("inputs", "o", "files_max"),
        "g": ("tasks",),
        "h": ("when", "w"),
        "i": ("when", "task"),
        "j": ("scatter",),
        "k": ("when",),
        "l": ("scatter",),
        "n": ("scatter",),
    }
    assert "m" not in found, "files of two ports that come as one are grouped as they come"
    said = [str(one) for one in faults]
    assert said[0] == (
        "step a: scatter: a task for each of w, beside files of o, works only in a run on one "
        "machine: use `for` in the step"
    )
    assert "step d: job.command[1]: {o} works only in a run on one machine: use {inputs} alone; "\
        "the files of each port are in a folder with its name: o/" in said  # fmt: skip


def test_a_task_for_each_file_conditions_on_keys_and_all_side_files_are_possible(
    tmp_path: Path,
) -> None:
    text = """
        workflow: w
        steps:
          a: {tasks: 3, job: {command: [x]}, outputs: {o: {pattern: "*", sets: {n: [1, 2], k: [x]}}}}
          each: {inputs: {o: a.o}, scatter: o, when: {n: {"<": 2}}, job: {command: [x]}}
          part: {inputs: {o: {from: a.o, where: {k: x}}}, when: {n: 1}, job: {command: [x]}}
          side: {inputs: {o: a.o, s: {from: a.o, use: shared}, t: {from: a.o, use: shared, count: 2}},
                 job: {command: [x]}, failover: false}
          all: {inputs: {s: {from: a.o, use: shared}}, job: {command: [x]}}
          both: {inputs: {o: a.o, g: a.o}, gather: g, job: {command: [x]}}
    """  # noqa: E501
    definition = workflow(tmp_path, text)
    found = to_transformations(definition)

    assert obstacles(definition) == []
    assert [one.query for one in found["each"].inputs] == [{"n": {"<": 2}}]
    assert (found["each"].grouping.rule, found["each"].grouping.size) == ("count", 1)
    assert [one.query for one in found["part"].inputs] == [{"k": "x", "n": 1}]
    side = [(one.name, one.use, one.count) for one in found["side"].inputs]
    assert side == [("o", "once", 1), ("s", "shared", 0), ("t", "shared", 2)]
    assert (found["all"].grouping.rule, found["all"].inputs[0].use) == ("all", "once")
    assert [(one.name, one.use, one.count) for one in found["both"].inputs] == [
        ("o", "once", 1),
        ("g", "shared", 0),
    ]
    assert [name for name, one in found.items() if not one.failover] == ["side"]


def test_the_graph_as_text(tmp_path: Path) -> None:
    definition = workflow(tmp_path, DIAMOND)

    assert draw.as_text(definition) == [
        "make",
        "├─ dark",
        "│  └─ sum  + bright",
        "└─ bright",
    ]
    counts = {
        "make": StepCounts(7, 7, 0, 0, 7),
        "dark": StepCounts(4, 2, 1, 0),
        "bright": StepCounts(0, 0, 0, 0, 0),
        "sum": StepCounts(),
    }
    lines = draw.as_text(definition, draw.of_counts(counts))
    assert lines[0].endswith("████████████████████  7/7 done")
    assert any(line.endswith("██████████▒▒▒▒▒░░░░░  2/4 done, 1 failed") for line in lines)
    assert any(line.endswith("nothing to do") for line in lines)


def test_a_long_chain_is_drawn_too() -> None:
    from pilotage.central.workflows.builders import Workflow

    flow = Workflow("long")
    made = flow.step("s0", ["x"], outputs={"o": "*"})
    for n in range(1, 2_000):
        made = flow.step(f"s{n}", ["x"], inputs={"i": made["o"]}, outputs={"o": "*"})

    assert len(flow.text().splitlines()) == 2_000


def test_the_graph_as_svg(tmp_path: Path) -> None:
    definition = workflow(tmp_path, DIAMOND)

    plain = ElementTree.fromstring(draw.as_svg(definition))
    shown = ElementTree.fromstring(
        draw.as_svg(definition, draw.of_counts({"make": StepCounts(7, 3, 1, 0)}))
    )

    space = "{http://www.w3.org/2000/svg}"
    names = [one.text for one in plain.iter(f"{space}text")]
    assert sorted(filter(None, names)) == ["bright", "dark", "make", "sum"]
    assert len(list(plain.iter(f"{space}path"))) == 4
    assert plain.findtext(f"{space}title") == "a <diamond> & more"
    assert "3/7 done, 1 failed" in [one.text for one in shown.iter(f"{space}text")]
    boxes = [one.get("transform") for one in plain.iter(f"{space}g")]
    assert len(set(boxes)) == 4


def test_what_stands_and_why_is_told_below_the_graph(tmp_path: Path) -> None:
    definition = workflow(tmp_path, DIAMOND)
    nodes = {
        "make": draw.DrawnStep("7/7 done", done=1.0, look="over"),
        "dark": draw.DrawnStep("1/4 done, 2 run", done=0.999, failed=0.5),
        "bright": draw.DrawnStep("paused, 0/4 done", look="stuck", why="3 of <4> tasks failed"),
        "sum": draw.DrawnStep("0/1 done"),
    }

    lines = draw.as_text(definition, nodes)
    assert lines[-1] == "bright is stuck: 3 of <4> tasks failed"
    assert "█" * 19 + "▒" in lines[1], "it is not full before all is done"
    space = "{http://www.w3.org/2000/svg}"
    drawn = ElementTree.fromstring(draw.as_svg(definition, nodes))
    texts = [one.text for one in drawn.iter(f"{space}text")]
    assert texts[-1] == "bright is stuck: 3 of <4> tasks failed"
    looks = [one.get("class") for one in drawn.iter(f"{space}rect")]
    assert looks.count("box stuck") == looks.count("box over") == 1
    plain = ElementTree.fromstring(draw.as_svg(definition))
    assert float(drawn.get("height", 0)) > float(plain.get("height", 0))


def test_forty_eight_steps_are_legible() -> None:
    """No name is cut, no box lies on another, and no line of the text is longer than a window."""
    from pilotage.central.workflows.workflow_files import read_workflow

    definition = read_workflow(ROOT / "examples" / "prod6" / "prod6.yaml").workflow
    nodes = {name: draw.DrawnStep("1 234/5 678 done, 90 failed", 0.5) for name in definition.steps}
    space = "{http://www.w3.org/2000/svg}"
    drawn = ElementTree.fromstring(draw.as_svg(definition, nodes))

    assert len(definition.steps) == 48
    assert max(map(len, draw.as_text(definition, nodes))) <= 170
    texts = {one.text for one in drawn.iter(f"{space}text")}
    assert set(definition.steps) <= texts and "1 234/5 678 done, 90 failed" in texts
    places = [one.get("transform", "") for one in drawn.iter(f"{space}g")]
    corners = [tuple(map(float, one[10:-1].split())) for one in places]
    for i, (x, y) in enumerate(corners):
        for other_x, other_y in corners[:i]:
            assert abs(x - other_x) >= WIDTH or abs(y - other_y) >= HEIGHT


def _points(way: str) -> Iterator[tuple[float, float]]:
    """Yield points on a path of lines and cubic curves, near each other."""
    x = y = 0.0
    for sign, numbers in re.findall(r"([MLC])([^MLC]*)", way):
        ends = [float(one) for one in numbers.split()]
        for k in range(41):
            t = k / 40
            if sign == "L":
                yield x + t * (ends[0] - x), y + t * (ends[1] - y)
            elif sign == "C":
                a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                yield (
                    a * x + b * ends[0] + c * ends[2] + d * ends[4],
                    a * y + b * ends[1] + c * ends[3] + d * ends[5],
                )
        x, y = ends[-2:]


@pytest.mark.parametrize("name", ["prod6", "over"])
def test_no_link_runs_behind_a_box_or_on_another_step_s(name: str, tmp_path: Path) -> None:
    """Also those over several columns, which have a lane in each."""
    from pilotage.central.workflows.workflow_files import read_workflow

    if name == "prod6":
        definition = read_workflow(ROOT / "examples" / "prod6" / "prod6.yaml").workflow
    else:
        definition = workflow(tmp_path, OVER)
    space = "{http://www.w3.org/2000/svg}"
    drawn = ElementTree.fromstring(draw.as_svg(definition))
    places = [one.get("transform", "") for one in drawn.iter(f"{space}g")]
    boxes = [tuple(map(float, one[10:-1].split())) for one in places]
    ways = [one.get("d", "") for one in drawn.iter(f"{space}path")]

    assert len(ways) == sum(len(graph.parents(definition, one)) for one in definition.steps)
    hidden = [
        (way, box)
        for way in ways
        for x, y in _points(way)
        for box in boxes
        if box[0] < x - 1 < box[0] + WIDTH - 2 and box[1] < y - 1 < box[1] + HEIGHT - 2
    ]
    assert not hidden
    height = float(drawn.get("height", 0))
    assert all(0 < y < height for way in ways for _, y in _points(way))


@pytest.mark.parametrize("method", ["dot", "cross"])
@pytest.mark.parametrize("when", ["{}", "{x: {'<': 20}}", "{y: b, z: 3}"])
def test_tasks_of_given_values_are_those_of_a_run_here(
    method: str, when: str, tmp_path: Path
) -> None:
    text = f"""
        workflow: w
        parameters: {{x: [10, 15, 20]}}
        steps:
          a:
            inputs: {{x: {{parameter: x}}, y: {{value: [a, b]}}, z: {{value: 3}}}}
            scatter: [x, y]
            scatter_method: {method}
            when: {when}
            job: {{command: [run, "{{x}}", "-{{y}}", "{{z}}"]}}
            metadata: {{energy: "{{x}}"}}
            outputs: {{o: "*"}}
    """
    definition = workflow(tmp_path, text)
    assert obstacles(definition) == []
    document = to_transformations(definition)["a"]
    template = checked(document)
    jobs = [
        template.job(transformation_id=1, number=n + 1, metadata={}) for n in range(document.tasks)
    ]

    here = [(one.values["x"], one.values["y"]) for one in WorkflowRun(definition).begin()]
    assert here and [one.command for one in jobs] == [
        ("run", str(x), f"-{y}", "3") for x, y in here
    ]
    data = [one.data for one in jobs]
    assert [one and one.outputs[0].metadata["energy"] for one in data] == [x for x, _ in here]
    with pytest.raises(LookupError, match="rows of values for"):
        template.job(transformation_id=1, number=document.tasks + 1, metadata={})
